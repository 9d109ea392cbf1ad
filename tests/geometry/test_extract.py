"""Extraction: no shift, no shrink, closed, and the same coarse to fine as dense."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from geomflow.errors import EmptySurface
from geomflow.geometry.extract import SLACK, extract_mesh
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


def gyroid(points: np.ndarray) -> np.ndarray:
    """A surface that leaves the cube on all sides, of slope 1 at most."""
    x, y, z = 6 * points.T
    return (np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)) / 12


def shell(points: np.ndarray) -> np.ndarray:
    """A hollow ball with a wall of 0.008, thinner than any coarse cell."""
    return np.abs(np.linalg.norm(points, axis=1) - 0.7) - 0.004


def tilted(solid, seed: int):
    """A solid turned at random, so that nothing lies along the grid."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return lambda points: solid(points @ turn)


FIELDS = {
    "sphere": Sphere(0.63),
    "speck": Moved(Sphere(0.04), (0.31, -0.52, 0.77)),
    "torus": Torus(),
    "box": Box((0.5, 0.3, 0.7)),
    "sheet along x": Box((0.004, 0.9, 0.6)),
    "sheet along y": Box((0.9, 0.01, 0.6)),
    "sheet along z": Box((0.9, 0.9, 0.003)),
    "needle": Box((0.9, 0.008, 0.008)),
    "two bodies": Union(Sphere(0.3), Moved(Sphere(0.2), (0.6, 0.0, 0.0))),
    "almost touching": Union(Moved(Sphere(0.3), (-0.302, 0.0, 0.0)), Moved(Sphere(0.3), (0.302, 0.0, 0.0))),
    "cut box": Difference(Box(), Sphere(0.4)),
    "thin hollow ball": shell,
    "tilted sheet": tilted(Box((0.9, 0.004, 0.5)), 0),
    "tilted needle": tilted(Box((0.9, 0.008, 0.008)), 1),
    "tilted torus": tilted(Torus(), 2),
    "gyroid": gyroid,
    "ball beyond the border": Moved(Sphere(0.6), (0.7, 0.0, 0.0)),
    "a little beyond the corner": Moved(Sphere(0.4), (0.9, 0.9, 0.9)),
    "cut off at a band": lambda points: Sphere(0.5)(points).clip(-0.05, 0.05),
    "slope of 1.5": lambda points: 1.5 * Torus()(points),
}


def rows(faces: np.ndarray) -> np.ndarray:
    """Faces in sorted order, each beginning with its lowest vertex."""
    start = faces.argmin(axis=1)
    turned = np.stack([faces[np.arange(len(faces)), (start + i) % 3] for i in range(3)], axis=1)
    return turned[np.lexsort(turned.T)]


def check_equal(field, resolution: int, level: float = 0.0) -> None:
    one, two = (extract_mesh(field, resolution, method, level) for method in ("hierarchical", "dense"))
    assert len(one.vertices) == len(two.vertices)
    off, other = cKDTree(two.vertices).query(one.vertices)
    assert off.max() < 1e-6
    assert len(np.unique(other)) == len(other)
    np.testing.assert_array_equal(rows(other[one.faces]), rows(np.asarray(two.faces)))


@pytest.mark.parametrize(("name", "resolution"), list(zip(FIELDS, [97, 66, 64, 100, 33, 128, 65] * 3, strict=False)))
def test_hierarchical_equals_dense(name, resolution):
    check_equal(FIELDS[name], resolution)


@pytest.mark.parametrize("resolution", [3, 5, 17, 31, 32, 33, 64])
def test_solids_at_the_border_are_whole(resolution):
    """Balls about corners, edges and faces of the cube, nearly filling it, and the outside of one."""
    for centre in ((-1.0, -1.0, -1.0), (1.0, 1.0, -1.0), (-1.0, -1.0, 0.0), (0.0, 1.0, 0.0)):
        for radius in (0.75, 1.36, 1.5):
            check_equal(Moved(Sphere(radius), centre), resolution)
    check_equal(lambda points: -Sphere(0.7)(points) if resolution > 3 else points[:, 0] - 0.1, resolution)


@pytest.mark.parametrize("normal", [(1, 1, 1), (1, -1, 0), (0, 0, 1), (1, 2, 3)])
def test_as_steep_as_allowed_nothing_is_lost(normal):
    """Planes of the greatest slope at many places between nodes, and balls in the middle of wider cells."""
    direction = np.array(normal) / np.linalg.norm(normal)
    for shift in np.linspace(-0.4, 0.4, 12):
        check_equal(lambda points, shift=shift: SLACK * (points @ direction - shift), 33)
    for centre in np.random.default_rng(0).integers(0, 8, (4, 3)) / 4 - 1 + 3 / 32:  # nodes 3, 11, 19 ... of 65
        check_equal(lambda points, at=centre: SLACK * (np.linalg.norm(points - at, axis=1) - 0.04), 65)


def test_levels_are_taken_off_alike_in_any_precision():
    for level in (0.1, -0.2):
        check_equal(lambda points: np.abs(points).max(axis=1) - 0.5, 21, level)


def test_thin_walls_stay_whole_and_closed():
    mesh = extract_mesh(shell, 400)
    assert mesh.is_watertight
    assert mesh.body_count == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * (0.704**3 - 0.696**3), rel=0.02)


@pytest.mark.parametrize("name", ["torus", "thin hollow ball", "tilted sheet", "needle"])
def test_few_samples_are_asked_for_and_none_twice_in_a_level(name):
    asked = []
    extract_mesh(lambda points: asked.append(points) or FIELDS[name](points), 256)
    points = np.concatenate(asked)
    assert len(points) < 256**3 / 8
    assert np.abs(points).max() <= 1
    assert len(np.unique(points, axis=0)) > 0.8 * len(points)  # a level asks again for some nodes of coarser ones


def test_a_lid_lies_half_a_spacing_beyond_the_border():
    for method in ("hierarchical", "dense"):
        mesh = extract_mesh(lambda points: points[:, 0] - 0.31, 41, method)
        np.testing.assert_allclose(mesh.bounds, [[-1.025] * 3, [0.31, 1.025, 1.025]], atol=1e-6)
        assert mesh.is_watertight


@pytest.mark.parametrize("seed", range(6))
def test_random_fields_that_leave_the_box_come_out_closed_and_facing_outward(seed):
    rng = np.random.default_rng(seed)
    points = SdfGrid(np.zeros((28,) * 3, dtype=np.float32)).points()
    waves = np.cos(points @ rng.normal(0, 6, (3, 12)) + rng.uniform(0, 2 * np.pi, 12)).sum(axis=1)
    mesh = extract_mesh(SdfGrid(waves.reshape((28,) * 3).astype(np.float32)))
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    cells = (waves < 0).sum() * (2 / 27) ** 3  # one around each inside node, whose outer faces are where lids are
    assert 0.97 * cells < mesh.volume < 1.01 * cells


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


def test_bad_input_is_named(unchecked_shapes):
    with pytest.raises(EmptySurface, match=r"no surface at level 0.0: the values range from 0.\d+ to"):
        extract_mesh(lambda points: np.linalg.norm(points, axis=1) + 0.5, 32)
    with pytest.raises(EmptySurface, match="all values are below it"):
        extract_mesh(lambda points: np.full(len(points), -1.0), 32)
    with pytest.raises(ValueError, match=r"resolution 100000 needs about \d+"):
        extract_mesh(Sphere(), 100_000)
    with pytest.raises(ValueError, match=r"a whole number, not 2\.5"):
        extract_mesh(Sphere(), 2.5)
    with pytest.raises(ValueError, match="level must be a number, given nan"):
        extract_mesh(Sphere(), 32, level=np.nan)
    with pytest.raises(ValueError, match="holds NaN"):
        extract_mesh(SdfGrid(np.full((4, 4, 4), np.nan, dtype=np.float32)))
