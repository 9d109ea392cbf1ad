"""The doctor: finds what is broken, goes on after it, and every cure it names is one."""

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from geomflow import doctor
from geomflow.cli import main
from geomflow.geometry.bvh import Bvh

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def conda_packages() -> list[str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    return [line for line in environment["dependencies"] if isinstance(line, str)]


def test_a_healthy_machine_has_no_broken_finding(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "kernels on cpu: work" in said
    assert "rendering: works" in said
    assert "embedded models: categories, chairs" in said
    assert said.endswith("all that geomflow needs is here and works\n")


def test_a_kernel_that_answers_wrongly_is_broken(monkeypatch, capsys):
    monkeypatch.setattr(Bvh, "closest", lambda self, points: SimpleNamespace(distance=[0.5]))
    assert main(["doctor"]) == 1
    said = capsys.readouterr()
    assert "kernels on cpu: WRONG, 0.5 instead of 0.4" in said.out
    assert said.err == "geomflow: broken: kernels on cpu\n"
    assert "embedded models: " in said.out


def test_a_blank_picture_is_broken(monkeypatch):
    monkeypatch.setattr("geomflow.viz.render", lambda mesh, size: np.zeros((size, size, 3)))
    assert doctor.Finding("rendering: FAILED, the picture is blank", broken=True) in doctor.examine()


def test_models_that_are_not_there_are_broken(monkeypatch):
    monkeypatch.setattr("geomflow.pipeline.pretrained_names", list)
    assert doctor.Finding("embedded models: MISSING: pip install geomflow", broken=True) in doctor.examine()


def test_a_check_that_breaks_stops_no_other(monkeypatch):
    def _kernels():
        raise RuntimeError("no compiler\nof any kind")
        yield

    monkeypatch.setattr(doctor, "_kernels", _kernels)
    findings = doctor.examine()
    broken = [finding.text for finding in findings if finding.broken]
    assert broken == ["kernels: FAILED, RuntimeError: no compiler of any kind"]
    assert any(finding.text == "rendering: works" for finding in findings)


def test_a_library_that_is_not_there_is_missed_with_its_cure(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda name: "" if name in ("open3d", "scipy") else "1.0")
    findings = doctor.examine()
    assert doctor.Finding("scipy MISSING: pip install geomflow", broken=True) in findings
    cure = next(finding for finding in findings if finding.text.startswith("open3d"))
    assert not cure.broken
    assert cure.text.endswith("pip install 'geomflow[open3d]'")


@pytest.mark.parametrize("extra", doctor.OPTIONAL, ids=lambda extra: extra.name)
def test_cures_install_what_they_promise(extra):
    named = re.fullmatch(r"pip install 'geomflow\[(\w+)\]'", extra.cure)
    libraries = PROJECT["optional-dependencies"][named[1]] if named else conda_packages()
    assert any(re.match(rf"(dask\[)?{extra.name}\b", library) for library in libraries)


def test_settings_of_the_environment_are_shown(monkeypatch):
    monkeypatch.setenv("GEOMFLOW_OPS", "kdtree")
    assert "GEOMFLOW_OPS=kdtree" in doctor.examine()[-1].text
