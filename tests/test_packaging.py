"""Packaging: one version, one set of ranges, pins that satisfy them, and nothing of a machine in the files."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import geomflow

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
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]:
        requirement = Requirement(text)
        assert requirement.name.lower() in pins, f"{requirement.name} has no pin"
        assert requirement.specifier.contains(pins[requirement.name.lower()])


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == geomflow.__version__
    assert f"## {geomflow.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
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


def test_documents_have_no_gaps_and_their_links_lead_somewhere():
    for file in [path for path in tracked() if path.suffix == ".md"]:
        text = file.read_text()
        assert not re.search(r"@[A-Z_]{3,}@", text), f"{file}: a number was never filled in"
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (file.parent / link).exists(), f"{file}: {link} is not there"
