"""The awkward files of mesh libraries through a whole run: each gives a record or a reason, as its manifest expects."""

import csv
from pathlib import Path

import numpy as np
import pytest

from geomflow.prep import manifest
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare
from geomflow.prep.sources import find_sources
from geomflow.records import load_record

UNREAD = (".dae", ".3mf", ".ctm")
"""Formats that others read and geomflow says it does not."""

REASONS = {
    "points": ("MeshHasNoFaces",),
    "empty": ("MeshEmpty", "MeshUnsupported"),
    "reject": ("Mesh",),
    "either": ("Mesh",),
}


@pytest.fixture(scope="module")
def outcomes(data_root: Path, tmp_path_factory) -> tuple[Path, dict[str, manifest.Entry], list[dict[str, str]]]:
    out = tmp_path_factory.mktemp("messy")
    recipe = Recipe(resolution=0, surface_points=50, volume_points=50, near_points=50, sharp_points=50)
    prepare(data_root / "messy" / "files", out, recipe, workers=2, progress=False)
    with (data_root / "messy" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return out, manifest.read(out), rows


def test_no_mesh_is_lost(outcomes, data_root):
    _, entries, rows = outcomes
    sources = find_sources(data_root / "messy" / "files")
    assert entries.keys() == {source.id for source in sources}
    assert {Path(source.path).name for source in sources} >= {
        Path(row["file"]).name for row in rows if not row["file"].endswith((".bin", ".zip"))
    }


def surprise(row: dict[str, str], entry: manifest.Entry | None, out: Path) -> str:
    """What became of a file, if its manifest expects something else."""
    if entry is None:
        return "is missing"
    if entry.status == "failed":
        unread = ("MeshUnsupported",) if row["file"].endswith(UNREAD) else ()
        return "" if entry.error.startswith(REASONS.get(row["expect"], unread)) else entry.error
    record = load_record(out / entry.file)
    sane = len(record.faces) and all(np.isfinite(array).all() for array in record.arrays().values())
    return "" if sane and row["expect"] in ("mesh", "either") else "gave a record"


def test_every_file_does_what_its_manifest_expects(outcomes, data_root):
    out, entries, rows = outcomes
    by_path = {Path(entry.path).relative_to(data_root / "messy").as_posix(): entry for entry in entries.values()}
    found = {row["file"]: surprise(row, by_path.get(row["file"]), out) for row in rows}
    assert not {file: what for file, what in found.items() if what}
