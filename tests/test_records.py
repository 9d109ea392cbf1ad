"""Shape records: exact round trip, equal bytes, and one clear error per kind of damage."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from geomflow.errors import RecordError
from geomflow.files import write_atomically
from geomflow.geometry.primitives import Box
from geomflow.prep.job import sample
from geomflow.prep.recipe import Recipe
from geomflow.records import SCHEMA, RecordHeader, ShapeRecord, load_record, save_record

RECIPE = Recipe(resolution=16, surface_points=50, volume_points=60, near_points=70)


@pytest.fixture(scope="module")
def record() -> ShapeRecord:
    header = RecordHeader(id="box", source="box.ply", sha256="0" * 64, quality={"watertight": True})
    return ShapeRecord(header=header, **sample(Box((3.0, 2.0, 1.0)).mesh(), RECIPE, seed=1))


def test_what_is_written_is_read(record, tmp_path):
    save_record(record, tmp_path / "box.safetensors")
    found = load_record(tmp_path / "box.safetensors")
    assert found.header == record.header
    for name, array in record.arrays().items():
        np.testing.assert_array_equal(getattr(found, name), array)


def test_the_same_record_gives_the_same_bytes(record, tmp_path):
    for name in ("one", "two"):
        save_record(record, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_arrays_mean_what_the_schema_says(record):
    unit = Box(tuple(0.95 / 3 * np.array([3.0, 2.0, 1.0])))
    np.testing.assert_allclose(record.vol_sdf, unit(record.vol_points), atol=1e-6)
    np.testing.assert_allclose(record.near_sdf, unit(record.near_points), atol=1e-6)
    assert np.abs(unit(record.surface_points)).max() < 1e-6
    np.testing.assert_allclose(
        record.vertices / record.scale + record.shifts, Box((3.0, 2.0, 1.0)).mesh().vertices, atol=1e-5
    )
    assert record.sdf_grid is not None
    assert np.abs(record.sdf_grid).max() <= np.float16(RECIPE.band)
    assert (len(record.surface_points), len(record.vol_points), len(record.near_points)) == (50, 60, 70)


def test_only_named_arrays_are_read(record, tmp_path):
    save_record(record, tmp_path / "box")
    found = load_record(tmp_path / "box", ("vol_points", "vol_sdf", "vol_confidence"))
    assert found.vol_points.shape == (60, 3)
    np.testing.assert_array_equal(found.vol_sdf, record.vol_sdf)
    assert found.sdf_grid is None
    assert len(found.near_points) == 0


def test_joints_that_move_the_surface_are_told_from_the_others(record):
    with pytest.raises(RecordError, match="wanted a rig's joints and weights, found none; prepare it with --rig"):
        record.distinct_joints()
    weights = np.zeros((len(record.vertices), 4), dtype=np.float32)
    weights[:, 0] = 1
    moved = np.zeros((len(record.vertices), 4), dtype=np.int16)
    moved[0, 0], moved[1, 0] = 2, 3
    joints = np.array([[0, 0, 0], [9, 9, 9], [0.5, 0, 0], [0, 0, 4e-4]], dtype=np.float32)
    rigged = replace(record, joints=joints, skin_joints=moved, skin_weights=weights)
    np.testing.assert_allclose(rigged.distinct_joints(), [[0, 0, 2e-4], [0.5, 0, 0]], atol=1e-7)


def test_damage_is_named(record, tmp_path):
    path = tmp_path / "box.safetensors"
    with pytest.raises(RecordError, match=r"box.safetensors: no such shape record"):
        load_record(path)
    save_record(record, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordError, match="truncated"):
        load_record(path)
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}))
    with pytest.raises(RecordError, match="not a shape record"):
        load_record(path)
    newer = json.dumps({**vars(record.header), "schema": SCHEMA + 1})
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, {"geomflow_record": newer}))
    with pytest.raises(RecordError, match=f"schema {SCHEMA + 1} is newer"):
        load_record(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
