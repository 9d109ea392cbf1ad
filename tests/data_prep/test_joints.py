"""Joints: real and procedural rigs in one table, which prep makes one dataset of."""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_prep import joints
from data_prep._table import run
from data_prep.procedural_rigs import FAMILIES, rig
from data_prep.rigs import COLUMNS
from geomflow.errors import ConfigError, RecordError
from geomflow.geometry import write_rig
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare
from geomflow.prep.sources import find_sources
from geomflow.records import load_record


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder whose manifest has one rig."""
    folder = tmp_path / "data" / "rigs"
    folder.mkdir(parents=True)
    write_rig(*rig("fish", 100, 32), tmp_path / "carp.npz")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(tmp_path / "carp.npz", "carp.npz")
    (folder / "manifest.csv").write_text(f"{','.join(COLUMNS)}\ncarp,test,a.zip,carp.npz,rig-7,CC0-1.0,Ann,\n")
    return folder.parent


def test_one_table_of_both_becomes_one_dataset(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(joints.procedural_rigs, "FAMILIES", ("serpent",))
    out, made = tmp_path / "joints.csv", tmp_path / "made"
    run(joints.RECIPE, [str(data), "--count", "2", "--seed", "8", "--made", str(made), "--out", str(out)])
    assert f"geomflow prep {out} {tmp_path / 'joints'} --rig --resolution 0" in capsys.readouterr().out
    sources = {source.id: source for source in find_sources(out)}
    assert {(name, source.class_name, source.split) for name, source in sources.items()} == {
        ("carp", "rig-7", "test"),
        ("serpent-000008", "serpent", "train"),
        ("serpent-000009", "serpent", "test"),
    }
    lean = Recipe(resolution=0, surface_points=50, volume_points=0, near_points=0, sharp_points=0, rig=True)
    assert prepare(out, tmp_path / "set", lean, workers=1, progress=False).made == 3
    record = load_record(tmp_path / "set" / "records" / "serpent" / "serpent-000009.safetensors")
    mesh, skeleton = rig("serpent", 9)
    middle, half = mesh.bounds.mean(axis=0), float(mesh.extents.max()) / 2
    np.testing.assert_allclose(record.distinct_joints(), (skeleton.joints - middle) * 0.95 / half, atol=1e-5)
    assert record.surface_normals.shape == (50, 3)


def test_a_dry_run_makes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    run(joints.RECIPE, [str(data), "--made", str(tmp_path / "made"), "--dry-run"])
    assert f"to be made or downloaded: {60 * len(FAMILIES)}" in capsys.readouterr().out
    assert not (tmp_path / "made").exists()


def test_bad_input_is_named(data: Path, tmp_path: Path):
    with pytest.raises(RecordError, match="wanted a manifest of rigs, found nothing"):
        joints.find(tmp_path)
    with pytest.raises(ConfigError, match="count must be at least 0, given -1"):
        joints.find(data, count=-1)
    assert [item.id for item in joints.find(data, count=0).items] == ["carp"]


def test_the_real_rigs_and_the_made_ones_share_no_class_between_splits_but_families(data_root: Path):
    if not (data_root / "rigs" / "manifest.csv").is_file():
        pytest.skip("no rigs in the data")
    items = joints.find(data_root, count=10).items
    assert Counter(item.split for item in items) == {"train": 83 + 9 * len(FAMILIES), "test": 9 + len(FAMILIES)}
    splits = {split: {item.class_name for item in items if item.split == split} for split in ("train", "test")}
    assert splits["train"] & splits["test"] == set(FAMILIES)
