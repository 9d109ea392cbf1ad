"""Grids: node positions, narrow bands that equal dense evaluation, frames that undo."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh

from geomflow.errors import MeshDegenerate
from geomflow.geometry.frame import normalize
from geomflow.geometry.grid import SdfGrid, dense, narrow_band, sdf_grid
from geomflow.geometry.primitives import Box, Sphere, Torus
from geomflow.geometry.surface import sample_surface


def test_nodes_start_at_minus_one_and_end_at_plus_one():
    grid = dense(lambda points: points[:, 0] + 10 * points[:, 2], 5)
    np.testing.assert_allclose(grid.values[:, 0, 2], [-1, -0.5, 0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(grid.values[2, 2, :], [-10, -5, 0, 5, 10], atol=1e-5)
    np.testing.assert_allclose(grid.points()[-1], [1, 1, 1])
    np.testing.assert_allclose(grid.spacing, 0.5)


@pytest.mark.parametrize("resolution", [40, 65, 100, 128])
@pytest.mark.parametrize(
    "solid", [Sphere(0.63), Torus(), Box((0.9, 0.004, 0.7))], ids=["sphere", "torus", "thin sheet"]
)
def test_narrow_band_equals_dense_near_the_surface_and_in_sign_everywhere(solid, resolution):
    coarse_to_fine, everywhere = narrow_band(solid, resolution).values, dense(solid, resolution).values
    np.testing.assert_array_equal(coarse_to_fine < 0, everywhere < 0)
    near = np.abs(everywhere) < 2 / (resolution - 1)
    np.testing.assert_array_equal(coarse_to_fine[near], everywhere[near])


def test_narrow_band_asks_for_a_small_part():
    asked = []
    narrow_band(lambda points: asked.append(len(points)) or Sphere()(points), 256)
    assert sum(asked) < 256**3 / 10


def test_a_band_is_exact_up_to_its_width_and_cut_off_beyond():
    grid = sdf_grid(Box().mesh(), resolution=48, band=0.15).values
    exact = dense(Box(), 48).values
    np.testing.assert_allclose(grid, exact.clip(-0.15, 0.15), atol=1e-6)


def test_the_sign_of_an_open_mesh_is_the_dense_one_across_its_hole():
    mesh = Box((0.8, 0.8, 0.8)).mesh()
    open_box = trimesh.Trimesh(mesh.vertices, mesh.faces[np.asarray(mesh.face_normals)[:, 1] < 0.5], process=False)
    banded = sdf_grid(open_box, resolution=96, band=0.05).values
    np.testing.assert_array_equal(banded < 0, sdf_grid(open_box, resolution=96).values < 0)


@pytest.mark.parametrize("frame", ["box", "sphere"])
def test_normalize_fills_the_frame_and_is_undone(frame):
    mesh = Box((3.0, 1.0, 0.2)).mesh().apply_translation((100, -50, 7))
    unit, similarity = normalize(mesh, frame)
    reach = np.abs(unit.vertices).max() if frame == "box" else np.linalg.norm(unit.vertices, axis=1).max()
    assert reach == pytest.approx(0.95)
    np.testing.assert_allclose(similarity.undo(np.asarray(unit.vertices)), mesh.vertices, atol=1e-9)
    np.testing.assert_allclose(similarity.apply(np.asarray(mesh.vertices)), unit.vertices, atol=1e-12)


def test_normalize_looks_at_used_vertices_only():
    mesh = Box().mesh()
    stray = trimesh.Trimesh(np.vstack([mesh.vertices, [[1e6, 0, 0]]]), mesh.faces, process=False)
    assert normalize(stray).similarity.scale == pytest.approx(normalize(mesh).similarity.scale)


def test_surface_samples_are_uniform_by_area():
    box = Box((0.8, 0.5, 0.3))
    samples = sample_surface(box.mesh(), 60_000, seed=3)
    assert np.abs(box(samples.points)).max() < 1e-9
    a, b, c = box.half_extents
    shares = np.array([b * c, b * c, a * c, a * c, a * b, a * b]) / (2 * (a * b + b * c + a * c))
    faces = [(samples.normals @ axis > 0.9).mean() for axis in (*np.eye(3), *-np.eye(3))]
    expected = shares[[0, 2, 4, 1, 3, 5]]
    assert np.abs(np.array(faces) - expected).max() < 4 * np.sqrt(0.25 / 60_000)
    top = samples.points[samples.normals[:, 2] > 0.9, 0] / a
    assert abs(top.mean()) < 0.02
    assert top.var() == pytest.approx(1 / 3, abs=0.01)


def test_sampling_repeats_with_its_seed_and_skips_faces_without_area():
    mesh = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]], [[0, 1, 3], [0, 1, 2], [3, 3, 3]], process=False
    )
    points, normals = sample_surface(mesh, 1000, seed=5)
    np.testing.assert_array_equal(points, sample_surface(mesh, 1000, seed=5).points)
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 1000)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"resolution must be at least 2 .* not 1"):
        dense(Sphere(), 1)
    with pytest.raises(ValueError, match=r"call normalize first"):
        sdf_grid(Box((2.0, 1.0, 1.0)).mesh())
    with pytest.raises(ValueError, match=r"band must be a positive distance"):
        sdf_grid(Box().mesh(), band=0.0)
    with pytest.raises(ValueError, match=r"must return shape \(27,\)"):
        dense(lambda points: points, 3)
    with pytest.raises(ValueError, match="NaN at 27 of 27"):
        dense(lambda points: np.full(len(points), np.nan), 3)
    with pytest.raises(ValueError, match="margin must be in"):
        normalize(Box().mesh(), margin=1.5)
    flat = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
    with pytest.raises(MeshDegenerate, match="extent"):
        normalize(flat)
    with pytest.raises(MeshDegenerate, match="without area"):
        sample_surface(flat, 10)
    with pytest.raises(ValueError, match="count must be at least 0"):
        sample_surface(Box().mesh(), -1)


def test_a_grid_knows_its_points_in_any_box():
    grid = SdfGrid(np.zeros((2, 3, 2), dtype=np.float32), np.array([0.0, 0, 0]), np.array([1.0, 4, 2]))
    np.testing.assert_allclose(grid.points()[2], [0, 2, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("normalize(Box().mesh(), 'ball')", "unknown frame 'ball': use one of ['box', 'sphere']"),
        ("extract_mesh(Sphere(), 32, 'sparse')", "method must be 'hierarchical' or 'dense', not 'sparse'"),
    ],
)
def test_choices_are_listed_to_users_without_a_type_checker(call, message):
    """In a process of its own, because the tests' type checker would speak first."""
    code = f"from geomflow.geometry import *\nfrom geomflow.geometry.primitives import Box, Sphere\n{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith(f"ValueError: {message}")
