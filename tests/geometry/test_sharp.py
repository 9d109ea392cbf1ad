"""Points on sharp edges: where they are, how many, and which way they look."""

import numpy as np
import pytest
import trimesh
from scipy.stats import chisquare, kstest

from geomflow.geometry.sharp import SHARP_ANGLE, sample_sharp_edges

HALF = np.array([0.5, 0.3, 0.2])


def box() -> trimesh.Trimesh:
    return trimesh.creation.box(2 * HALF)


def roof(angle: float) -> trimesh.Trimesh:
    """Two triangles about the x axis whose normals are `angle` apart."""
    corners = [[0, 0, 0], [1, 0, 0], [0.5, 1, 0], [0.5, -np.cos(angle), -np.sin(angle)]]
    return trimesh.Trimesh(corners, [[0, 1, 2], [1, 0, 3]], process=False)


def test_points_lie_on_the_edges_of_a_box_and_normals_bisect_its_sides():
    found = sample_sharp_edges(box(), 5000)
    on_side = np.abs(np.abs(found.points) - HALF) < 1e-9
    assert found.points.shape == found.normals.shape == (5000, 3)
    assert (on_side.sum(axis=1) >= 2).all()  # on two sides, never on the diagonal of one
    np.testing.assert_allclose(found.normals, on_side * np.sign(found.points) / np.sqrt(2), atol=1e-9)


def test_points_are_uniform_by_length():
    points = sample_sharp_edges(box(), 12_000, seed=1).points
    axis = (np.abs(np.abs(points) - HALF) < 1e-9).argmin(axis=1)  # the direction of the edge
    assert chisquare(np.bincount(axis), 12_000 * HALF / HALF.sum()).pvalue > 1e-3
    for k in range(3):
        assert kstest(points[axis == k, k] / HALF[k] / 2 + 0.5, "uniform").pvalue > 1e-3
        corner = (points[axis == k] > 0)[:, np.arange(3) != k] @ [1, 2]
        assert chisquare(np.bincount(corner, minlength=4)).pvalue > 1e-3


def test_an_edge_is_sharp_from_an_angle_on():
    assert not len(sample_sharp_edges(roof(SHARP_ANGLE - 0.01), 10).points)
    found = sample_sharp_edges(roof(SHARP_ANGLE + 0.01), 10)
    np.testing.assert_allclose(found.points[:, 1:], 0, atol=1e-12)
    middle = (SHARP_ANGLE + 0.01) / 2
    np.testing.assert_allclose(found.normals, np.tile([0, -np.sin(middle), np.cos(middle)], (10, 1)), atol=1e-9)


def test_a_sphere_a_sheet_and_a_fold_shut_have_none():
    shut = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0.5, 1, 0]], [[0, 1, 2], [1, 0, 2]], process=False)
    for mesh in (trimesh.creation.icosphere(3), roof(0.0), shut):
        assert sample_sharp_edges(mesh, 50).points.shape == (0, 3)


def test_faces_without_area_are_no_edges():
    """The midpoint of an edge belongs to one of its faces only; a face without area fills the crack."""
    mesh = trimesh.creation.icosphere(3)
    a, b, c = mesh.faces[0]
    vertices = np.vstack([mesh.vertices, (mesh.vertices[a] + mesh.vertices[b]) / 2])
    new = len(mesh.vertices)
    faces = np.vstack([mesh.faces[1:], [[a, new, c], [new, b, c], [a, b, new], [a, a, c]]])
    assert not len(sample_sharp_edges(trimesh.Trimesh(vertices, faces, process=False), 50).points)


def test_vertices_at_the_same_place_are_one():
    soup = trimesh.Trimesh(box().triangles.reshape(-1, 3), np.arange(36).reshape(12, 3), process=False)
    welded, given = sample_sharp_edges(box(), 2000), sample_sharp_edges(soup, 2000)
    assert (np.sum(np.abs(np.abs(given.points) - HALF) < 1e-9, axis=1) >= 2).all()
    np.testing.assert_allclose(np.abs(given.points).mean(axis=0), np.abs(welded.points).mean(axis=0), atol=0.02)
    assert len(soup.vertices) == 36


def test_a_seed_fixes_the_points():
    first, again, other = (sample_sharp_edges(box(), 100, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.points, again.points)
    assert not np.isclose(first.points, other.points).all(axis=1).any()


def test_no_points_are_none_and_fewer_are_an_error():
    assert sample_sharp_edges(box(), 0).points.shape == (0, 3)
    with pytest.raises(ValueError, match="count must be at least 0, not -1"):
        sample_sharp_edges(box(), -1)
