"""Extraction: no shift, no shrink, closed, and the same coarse to fine as dense."""

import numpy as np
import pytest

from geomflow.errors import EmptySurface
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.grid import SdfGrid, dense
from geomflow.geometry.primitives import Box, Difference, Moved, Sphere, Torus, Union
from geomflow.geometry.solid import solid_report


def test_vertex_error_of_a_sphere_falls_as_spacing_squared():
    for resolution in (64, 128, 256):
        vertices = np.asarray(extract_mesh(Sphere(0.8), resolution).vertices)
        spacing = 2 / (resolution - 1)
        largest = spacing**2 / 8 / 0.8  # sag of a chord of length `spacing` on a circle of radius 0.8
        assert np.abs(Sphere(0.8)(vertices)).max() == pytest.approx(largest, rel=0.05)
        assert np.linalg.norm(vertices, axis=1).mean() == pytest.approx(0.8, abs=0.4 * largest)
        assert np.abs(vertices.max(axis=0) + vertices.min(axis=0)).max() < 1e-6


@pytest.mark.parametrize("resolution", [33, 64, 100])
def test_a_plane_off_the_centre_lies_where_it_should(resolution):
    mesh = extract_mesh(lambda points: points[:, 0] - 0.3, resolution)
    inner = np.asarray(mesh.vertices)[np.abs(mesh.vertices).max(axis=1) < 0.9]
    np.testing.assert_allclose(inner[:, 0], 0.3, atol=1e-6)


@pytest.mark.parametrize(
    "solid",
    [
        Torus(),
        Box((0.9, 0.01, 0.6)),
        Union(Sphere(0.3), Moved(Sphere(0.2), (0.6, 0.0, 0.0))),
        Difference(Box(), Sphere(0.4)),
    ],
    ids=["torus", "thin sheet", "two bodies", "cut box"],
)
def test_hierarchical_equals_dense(solid):
    one, two = extract_mesh(solid, 97, "hierarchical"), extract_mesh(solid, 97, "dense")
    np.testing.assert_array_equal(one.faces, two.faces)
    np.testing.assert_allclose(one.vertices, two.vertices, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_random_fields_that_leave_the_box_come_out_closed_and_facing_outward(seed):
    rng = np.random.default_rng(seed)
    points = SdfGrid(np.zeros((28,) * 3, dtype=np.float32)).points()
    waves = np.cos(points @ rng.normal(0, 6, (3, 12)) + rng.uniform(0, 2 * np.pi, 12)).sum(axis=1)
    mesh = extract_mesh(SdfGrid(waves.reshape((28,) * 3).astype(np.float32)))
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    cells = (waves < 0).sum() * (2 / 27) ** 3  # one around each inside node; lids lie up to half a cell further out
    assert cells < mesh.volume < cells * (29 / 28) ** 3


def test_zeros_at_the_nodes_make_no_degenerate_faces():
    grid = dense(Box((0.5, 0.5, 0.5)), 33)  # the faces lie exactly on nodes
    assert (grid.values == 0).any()
    mesh = extract_mesh(grid)
    assert mesh.area_faces.min() > 0
    report = solid_report(mesh)
    assert report.passes, report.reasons()
    chamfers = 6 * grid.spacing[0] ** 2  # each edge of the unit cube is cut off between the nodes beside it
    assert mesh.volume == pytest.approx(1 - chamfers, rel=2e-3)


def test_a_level_moves_the_surface():
    assert np.linalg.norm(extract_mesh(Sphere(0.5), 64, level=0.2).vertices, axis=1).mean() == pytest.approx(
        0.7, abs=1e-3
    )


def test_bad_input_is_named():
    with pytest.raises(EmptySurface, match=r"no surface at level 0.0: the values range from 0.\d+ to"):
        extract_mesh(lambda points: np.linalg.norm(points, axis=1) + 0.5, 32)
    with pytest.raises(EmptySurface, match="all values are below it"):
        extract_mesh(lambda points: np.full(len(points), -1.0), 32)
    with pytest.raises(ValueError, match=r"resolution 100000 needs about \d+"):
        extract_mesh(Sphere(), 100_000)
    with pytest.raises(ValueError, match="holds NaN"):
        extract_mesh(SdfGrid(np.full((4, 4, 4), np.nan, dtype=np.float32)))
