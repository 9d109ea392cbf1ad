"""Shelves find items by file name or dotted path, and say what exists when they do not."""

import subprocess
import sys
from pathlib import Path

import pytest

from geomflow import shelves
from geomflow.errors import ConfigError
from geomflow.flow import Formulation


def test_names_are_the_files_of_the_shelf() -> None:
    folder = Path(shelves.__file__).parent / "formulations"
    files = sorted(file.stem for file in folder.glob("*.py") if not file.name.startswith("_"))
    assert shelves.names("formulations") == files
    assert {"edm", "u_prediction"} <= set(files)


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys, geomflow.shelves as s; print(s.names('formulations'), s.names('networks')); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_options_reach_make() -> None:
    assert shelves.load("formulations", "edm", sigma_max=10.0).path.sigma_max == 10.0


def test_dotted_path_loads_an_item_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "straight.py").write_text(
        "from geomflow.flow import Formulation, LinearPath\n"
        "def make(predicts='data'):\n    return Formulation(LinearPath(), predicts)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    item = shelves.load("formulations", "stranger.straight", predicts="noise")
    assert isinstance(item, Formulation)
    assert item.predicts == "noise"


@pytest.mark.parametrize(
    ("shelf", "name", "options", "message"),
    [
        ("formulations", "emd", {}, "unknown formulation 'emd'.*edm.*u_prediction"),
        ("objectives", "semigrup", {}, "unknown objective 'semigrup'.*instantaneous.*semigroup"),
        ("formulation", "edm", {}, "unknown shelf 'formulation'.*formulations, objectives"),
        ("formulations", "edm", {"sigma": 1.0}, "formulation 'edm' has no option 'sigma'.*sigma_data, sigma_min"),
        ("formulations", "u_prediction", {"rho": 7.0}, "no option 'rho': its options are none"),
        ("formulations", "no_such_project.trig", {}, "no module 'no_such_project'"),
        ("formulations", "geomflow.errors", {}, "geomflow.errors has no function make"),
        ("formulations", ".edm", {}, "no dotted module path"),
    ],
)
def test_wrong_names_and_options_say_what_exists(shelf: str, name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shelves.load(shelf, name, **options)


def test_needed_options_and_broken_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_items").mkdir()
    (tmp_path / "needy_items" / "needs.py").write_text("def make(teacher):\n    return teacher\n")
    (tmp_path / "needy_items" / "broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="needs the option 'teacher'"):
        shelves.load("objectives", "needy_items.needs")
    with pytest.raises(ModuleNotFoundError, match="no_such_library") as caught:
        shelves.load("objectives", "needy_items.broken")
    assert not isinstance(caught.value, ConfigError)
