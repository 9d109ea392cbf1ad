"""Point files: what is written is what is read back, in parts or whole, and only if there is room."""

import numpy as np
import pytest
import trimesh

from geomflow.errors import DiskFull
from geomflow.geometry.attributes import point_source
from geomflow.geometry.write_points import check_room, write_points

NAMES = ("points", "normals", "colors", "labels")


def parts(count: int = 1000, size: int = 300):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    whole = {
        "points": points,
        "normals": normals,
        "colors": rng.random((count, 3)),
        "labels": rng.integers(0, 9, count),
    }
    return whole, [{name: v[i : i + size] for name, v in whole.items()} for i in range(0, count, size)]


def test_ply_is_what_other_readers_expect(tmp_path):
    whole, pieces = parts()
    write_points(pieces, tmp_path / "a.ply", 1000, NAMES)
    found = trimesh.load(tmp_path / "a.ply")
    np.testing.assert_array_equal(np.asarray(found.vertices, np.float32), whole["points"])
    np.testing.assert_array_equal(np.asarray(found.colors)[:, :3], np.rint(255 * whole["colors"]))
    source = point_source(tmp_path / "a.ply", ["normals", "labels"])
    rows = source.draw(500, np.random.default_rng(1))
    order = np.random.default_rng(1).integers(1000, size=500)
    np.testing.assert_allclose(rows[:, 3:6], whole["normals"][order], atol=1e-6)
    assert source.labels == tuple(np.unique(whole["labels"]))
    np.testing.assert_array_equal(np.array(source.labels)[rows[:, 6:].argmax(1)], whole["labels"][order])


def test_npy_has_one_column_per_number(tmp_path):
    whole, pieces = parts()
    write_points(pieces, tmp_path / "a.npy", 1000, NAMES)
    found = np.load(tmp_path / "a.npy")
    assert found.shape == (1000, 10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 6:9], whole["colors"], atol=1e-7)
    np.testing.assert_array_equal(found[:, 9], whole["labels"])


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path):
    _, pieces = parts()
    with pytest.raises(ValueError, match="wanted 2000 points, given 1000"):
        write_points(pieces, tmp_path / "a.ply", 2000, NAMES)
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_refused_before_it_is_computed(tmp_path):
    with pytest.raises(DiskFull, match=r"big\.npy: wanted room for .* GB \(1000000000000000 points\), found"):
        check_room(tmp_path / "deep" / "big.npy", 10**15, ("points",))
    with pytest.raises(ValueError, match=r"wanted one of \.ply, \.npy, given '\.obj'"):
        check_room(tmp_path / "a.obj", 1, ("points",))
