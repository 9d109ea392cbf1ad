"""Shelves find items by file name or dotted path, and say what exists when they do not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
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
        (
            "rewards",
            "geomflow.errors.RewardError",
            {},
            r"no module 'geomflow.errors.RewardError' .*: a dotted name is that of a module with a function "
            r"make\(\*\*options\), which returns the reward",
        ),
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


def test_options_are_of_the_types_that_make_is_annotated_with(tmp_path, monkeypatch):
    (tmp_path / "typed_items").mkdir()
    (tmp_path / "typed_items" / "typed.py").write_text(
        "from collections.abc import Callable, Sequence\n"
        "from typing import Any, Literal, Optional\n"
        "def make(number: float = 0.0, whole: int = 0, flag: bool = False, word: str = '',\n"
        "         size: tuple[int, ...] = (), corner: tuple[float, float] = (0, 0), places: Sequence[float] = (),\n"
        "         kind: Literal['a', 2] = 'a',\n"
        "         target: float | None = None, old: Optional[int] = None, free: Any = None, call: Callable = print,\n"
        "         later: 'NoSuchName' = 0, bare=0):\n"
        "    return dict(locals())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    good = {"number": [1, 0.5, np.float32(2)], "whole": [3, np.int64(3)], "flag": [True], "word": ["x"]}
    good |= {"size": [[1, 2], (3,), []], "corner": [(1, 2.5)], "places": [[1, 0.5], (2,), np.ones(2)]}
    good |= {"kind": ["a", 2], "target": [None, 1, 0.5], "old": [None, 1], "free": [1, "x"], "call": [1], "bare": ["x"]}
    bad = {"number": ["abc", True, None, [1.0]], "whole": [1.5, "1", True], "flag": [1, "yes"], "word": [5, None]}
    bad |= {
        "size": [[1.5], 1, "12"],
        "corner": [(1,), (1, 2, 3), (1, "x"), 0.5],
        "places": [["a"], 1.0, "ab", {"a": 1}],
    }
    bad |= {"kind": ["b", 2.0, True], "target": ["abc"], "old": [0.5]}
    for name, values in good.items():
        for value in values:
            assert shelves.load("rewards", "typed_items.typed", **{name: value})[name] is value
    for name, values in bad.items():
        for value in values:
            with pytest.raises(ConfigError, match=rf"^reward 'typed_items.typed': {name} must be .*, given "):
                shelves.load("rewards", "typed_items.typed", **{name: value})
    for name, wanted in [("places", r"Sequence\[float\], given \['a'\]"), ("kind", r"Literal\['a', 2\], given 'b'")]:
        with pytest.raises(ConfigError, match=f"{name} must be {wanted}$"):
            shelves.load("rewards", "typed_items.typed", **{name: bad[name][0]})
