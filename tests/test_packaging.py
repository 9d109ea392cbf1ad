"""Packaging: one version, one set of ranges, pins that satisfy them, what is shipped, and no word of a machine."""

import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import geomflow
from geomflow.pipeline import pretrained_names

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"pytorch": "torch"}


def ranges(requirements: list[str]) -> dict[str, str]:
    parsed = [Requirement(text) for text in requirements]
    return {requirement.name: str(requirement.specifier) for requirement in parsed}


def conda_ranges() -> dict[str, str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [line for line in environment["dependencies"] if isinstance(line, str) and line != "pip"]
    pip = next(line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    found = ranges([*plain, *(line for line in pip if not line.startswith("-e"))])
    return {CONDA_NAMES.get(name, name): specifier for name, specifier in found.items()}


def test_environment_and_pyproject_agree():
    conda = conda_ranges()
    assert conda.pop("python") == str(Requirement(f"python{PROJECT['requires-python']}").specifier)
    assert {"pytorch3d", "open3d"} <= conda.keys()
    wanted = ranges(PROJECT["dependencies"])
    assert {name: conda.get(name) for name in wanted} == wanted


def test_constraints_satisfy_the_ranges():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {name.lower(): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *extras["test"], *extras["docs"]]:
        requirement = Requirement(text)
        assert requirement.name.lower() in pins, f"{requirement.name} has no pin"
        assert requirement.specifier.contains(pins[requirement.name.lower()])


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == geomflow.__version__
    assert f"## {geomflow.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def tracked(*options: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *options], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_speaks_of_a_machine():
    private = re.compile(r"(?<![\w.])/(work|root|home)/\w")
    text = (".py", ".md", ".toml", ".txt", ".yml", ".cff", ".json", "")
    for file in tracked():
        if file.suffix in text:
            assert not private.search(file.read_text(errors="ignore")), file


def test_the_repository_stays_small():
    assert sum(file.stat().st_size for file in tracked()) < 120e6
    for file in tracked():
        assert file.stat().st_size < 25e6, file


def test_readme_commands_exist():
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"make ([a-z]+)", readme)) <= targets


def test_continuous_integration_runs_what_there_is():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    lines = "\n".join(step["run"] for job in jobs.values() for step in job["steps"] if "run" in step)
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"test", "docs"} <= set(re.findall(r"make ([\w./-]+)", lines)) <= targets
    assert all((ROOT / path).exists() for path in re.findall(r"tests/\w+\.py", lines))
    supported = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert all(version in supported for version in jobs["test"]["strategy"]["matrix"]["python"])


def test_documents_have_no_gaps_and_their_links_lead_somewhere():
    for file in [path for path in tracked() if path.suffix == ".md"]:
        text = file.read_text()
        assert not re.search(r"@[A-Z_]{3,}@", text), f"{file}: a number was never filled in"
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (file.parent / link).exists(), f"{file}: {link} is not there"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source distribution of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def build(tree: Path, out: Path, *targets: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    subprocess.run([*command, *(f"--target={name}" for name in targets)], cwd=tree, check=True, capture_output=True)
    return out


def wheel_of(folder: Path) -> zipfile.ZipFile:
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def contents(wheel: zipfile.ZipFile) -> dict[str, str]:
    """Hash of each file of the package in a wheel."""
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    return {name: hashlib.sha256(wheel.read(name)).hexdigest() for name in names}


def test_the_wheel_holds_the_package_and_nothing_else(built):
    here = tracked("--cached", "--others", "--exclude-standard")
    package = [file for file in here if ROOT / "geomflow" in file.parents]
    wanted = {file.relative_to(ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in package}
    found = contents(wheel_of(built))
    assert found == wanted  # no tests, no recipes, no benchmarks
    assert "geomflow/py.typed" in found
    assert {f"geomflow/models/{name}/model.safetensors" for name in pretrained_names()} <= found.keys()


def test_the_wheel_says_what_it_is(built):
    wheel = wheel_of(built)
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    about = message_from_bytes(wheel.read(metadata))
    assert about["Version"] == geomflow.__version__
    assert about["Requires-Python"] == ",".join(sorted(PROJECT["requires-python"].split(",")))
    needed = [Requirement(text) for text in about.get_all("Requires-Dist") if "extra ==" not in text]
    assert ranges([str(requirement) for requirement in needed]) == ranges(PROJECT["dependencies"])


def test_the_source_distribution_is_enough_to_test_and_build(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    rooms = ("geomflow", "data_prep", "tests", "docs/examples", "benchmarks")
    wanted = {file.relative_to(ROOT).as_posix() for file in tracked()}
    assert {name for name in wanted if name.startswith(tuple(f"{room}/" for room in rooms))} <= names
    assert {"pyproject.toml", "LICENSE", "README.md", "Makefile", "constraints.txt", "environment.yml"} <= names


@pytest.mark.slow
def test_a_wheel_of_the_source_distribution_is_the_same(built, tmp_path):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert contents(wheel_of(build(tree, tmp_path / "dist", "wheel"))) == contents(wheel_of(built))


@pytest.mark.slow
def test_an_installed_wheel_generates_far_from_the_checkout(built, tmp_path):
    home, away = tmp_path / "home", tmp_path / "away"
    away.mkdir()
    venv.create(home, with_pip=False)
    python, (wheel,) = home / "bin" / "python", built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    library = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (library / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")  # torch and the rest, not a second time
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str | Path) -> str:
        return subprocess.run(command, cwd=away, env=clean, capture_output=True, text=True, check=True).stdout.strip()

    assert Path(run(python, "-c", "import geomflow; print(geomflow.__file__)")).is_relative_to(home)
    options = ["--count", "2", "--steps", "1", "--resolution", "48", "--out", "out"]
    run(home / "bin" / "geomflow", "generate", "chairs", *options)
    about = json.loads((away / "out" / "generation.json").read_text())
    assert [shape["volume"] > 0.01 for shape in about["shapes"]] == [True, True]
    assert (away / "out" / "0001.ply").stat().st_size > 10_000
