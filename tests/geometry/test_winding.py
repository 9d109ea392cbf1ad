"""Winding numbers against the exact sum of solid angles, closed forms, and another project's evaluation."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry.winding import AFAR, FARTHER, WindingTree, winding_number

EXACT = float("inf")  # radii from which groups count by expansion: never
ROUNDING = 3e-5
ERRORS = {EXACT: ROUNDING, FARTHER: 0.005, AFAR: 0.12}  # for one layer of surface


def solid_angles(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Winding numbers by the formula of Van Oosterom and Strackee, in float64, over all triangles."""
    total = np.zeros(len(points))
    for corners in triangles:
        a, b, c = (corner - points for corner in corners)
        x, y, z = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        volume = np.einsum("nd,nd->n", a, np.cross(b, c))
        total += np.arctan2(volume, x * y * z + (a * b).sum(1) * z + (b * c).sum(1) * x + (c * a).sum(1) * y)
    return total / (2 * np.pi)


def single(values: np.ndarray) -> np.ndarray:
    """The nearest numbers that float32 can hold."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def soup(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    corners = np.random.default_rng(seed).uniform(-1, 1, (count * 3, 3))
    return single(corners), np.arange(count * 3).reshape(-1, 3)


def arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return single(mesh.vertices), np.asarray(mesh.faces)


def asked(count: int = 800) -> np.ndarray:
    """Points around and inside of the unit ball, many of them near its surface."""
    rng = np.random.default_rng(1)
    around = rng.normal(size=(count, 3))
    near = around / np.linalg.norm(around, axis=1, keepdims=True) * rng.uniform(0.9, 1.1, (count, 1))
    return single(np.vstack([rng.uniform(-1.3, 1.3, (count, 3)), near]))


def with_holes(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    keep = np.random.default_rng(2).random(len(mesh.faces)) > 0.2
    return trimesh.Trimesh(mesh.vertices, mesh.faces[keep], process=False)


SURFACES = {f"{count} faces": soup(count, count) for count in (1, 2, 3, 4, 5, 100)}
SURFACES |= {"sphere": arrays(trimesh.creation.icosphere(3)), "box": arrays(trimesh.creation.box())}
SURFACES |= {"torus": arrays(trimesh.creation.torus(0.7, 0.3, 24, 16))}
SURFACES |= {"sphere with holes": arrays(with_holes(trimesh.creation.icosphere(3)))}
surfaces = pytest.mark.parametrize(("vertices", "faces"), SURFACES.values(), ids=SURFACES.keys())


@pytest.mark.parametrize("afar", ERRORS, ids=["exact", "farther", "afar"])
@surfaces
def test_the_tree_is_the_sum_of_solid_angles(vertices, faces, afar):
    error = WindingTree(vertices, faces)(asked(), afar) - solid_angles(vertices[faces], asked())
    assert np.abs(error).max() < ERRORS[afar]


@surfaces
def test_the_expansion_has_its_second_term(vertices, faces):
    """From r radii on it misses terms in 1 / r^2: a quarter of the error when r is twice as large."""
    exact = solid_angles(vertices[faces], asked())
    errors = [np.abs(WindingTree(vertices, faces)(asked(), afar) - exact).max() for afar in (2.0, 4.0, 8.0)]
    assert errors[1] <= errors[0] / 2 + ROUNDING
    assert errors[2] <= errors[1] / 2 + ROUNDING


def test_layers_add_up_and_what_looks_both_ways_or_has_no_area_counts_for_nothing():
    vertices, faces = arrays(trimesh.creation.icosphere(2))
    once = solid_angles(vertices[faces], asked())
    edges = faces[:, [0, 1, 1]]
    segments = np.arange(len(vertices))[:, None] + np.zeros((1, 3), dtype=int)
    for layers, times in (
        ([faces, faces, faces], 3),
        ([faces, faces[:, ::-1]], 0),
        ([faces, edges], 1),
        ([faces, segments], 1),
    ):
        number = WindingTree(vertices, np.vstack(layers))(asked(), EXACT)
        np.testing.assert_allclose(number, times * once, atol=3 * ROUNDING)
        coarse = WindingTree(vertices, np.vstack(layers))(asked())
        np.testing.assert_allclose(coarse, times * once, atol=len(layers) * ERRORS[AFAR])


def test_faces_turned_round_count_negative():
    vertices, faces = soup(50, 7)
    forth, back = (WindingTree(vertices, turned)(asked()) for turned in (faces, faces[:, ::-1]))
    np.testing.assert_allclose(forth, -back, atol=ROUNDING)


def test_on_the_surface_of_a_box_numbers_are_shares_of_the_sphere():
    vertices, faces = arrays(trimesh.creation.box())
    tree = WindingTree(vertices, faces)
    np.testing.assert_allclose(tree(vertices, EXACT), 1 / 8, atol=1e-6)
    sides = np.vstack([0.5 * np.eye(3), -0.5 * np.eye(3)]) + 0.1  # on or beside all six
    assert np.isfinite(tree(sides, EXACT)).all()
    middle_of_an_edge = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, -0.5, 0.5]])
    numbers = tree(middle_of_an_edge, EXACT)
    assert np.isin(np.round(numbers * 4), range(5)).all()
    np.testing.assert_allclose(numbers * 4, np.round(numbers * 4), atol=1e-5)


def test_neither_unit_nor_place_matters_nor_vertices_without_faces():
    vertices, faces = arrays(trimesh.creation.icosphere(3))
    number = winding_number(vertices, faces, asked())
    shift = np.array([3e5, -1e5, 2e5])
    np.testing.assert_allclose(winding_number(vertices * 1e3 + shift, faces, asked() * 1e3 + shift), number, atol=1e-3)
    beside = np.vstack([vertices, [[1e9, 0, 0]]])
    np.testing.assert_array_equal(winding_number(beside, faces, asked()), number)


def test_nothing_is_around_points_far_away_no_points_and_no_faces():
    vertices, faces = soup(300, 5)
    tree = WindingTree(vertices, faces)
    for far in (1e4, 1e9, 1e15):
        np.testing.assert_allclose(tree(far * np.eye(3)), 0, atol=1e-5)
    assert tree(np.zeros((0, 3))).shape == winding_number(vertices, faces, np.zeros((0, 3))).shape == (0,)
    np.testing.assert_array_equal(winding_number(vertices, faces[:0], asked(5)), 0)


def test_another_fast_evaluation_agrees():
    pcu = pytest.importorskip("point_cloud_utils")
    vertices, faces = SURFACES["sphere with holes"]
    other = np.reshape(pcu.triangle_soup_fast_winding_number(vertices, faces, asked()), -1)
    np.testing.assert_allclose(WindingTree(vertices, faces)(asked(), FARTHER), other, atol=0.01)
