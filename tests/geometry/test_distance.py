"""Signed distances against exact primitives, whole and damaged."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from geomflow.errors import MeshDegenerate, MeshHasNoFaces
from geomflow.geometry.distance import SignedDistanceField, signed_distance
from geomflow.geometry.primitives import Box, Capsule, Moved, RoundedCylinder, Sphere, Torus, Union
from geomflow.geometry.surface import sample_surface

SOLIDS = [Sphere(), Box(), Torus(), Capsule(), RoundedCylinder(), Moved(Sphere(0.3), (0.4, -0.2, 0.1))]
FACETED = 2e-4  # how far the test meshes are from the smooth solids


def near_surface(mesh: trimesh.Trimesh, count: int, seed: int) -> np.ndarray:
    points = sample_surface(mesh, count, seed).points
    return points + np.random.default_rng(seed).normal(0, 0.02, points.shape)


def wrong_signs(solid, field: SignedDistanceField, points: np.ndarray) -> np.ndarray:
    exact = solid(points)
    return (np.sign(field(points).distance) != np.sign(exact)) & (np.abs(exact) > FACETED)


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_distance_is_exact_and_no_sign_is_wrong_on_closed_meshes(solid):
    mesh = solid.mesh()
    points = np.vstack([np.random.default_rng(0).uniform(-1, 1, (4000, 3)), near_surface(mesh, 4000, 1)])
    field = SignedDistanceField(mesh)
    assert np.abs(field(points).distance - solid(points)).max() < FACETED
    assert not wrong_signs(solid, field, points).any()


@pytest.mark.parametrize("solid", [Sphere(), Torus(), RoundedCylinder()], ids=lambda solid: type(solid).__name__)
def test_five_percent_of_the_faces_missing_costs_half_a_percent_of_the_signs_and_confidence_knows(solid):
    mesh = solid.mesh()
    keep = np.random.default_rng(2).random(len(mesh.faces)) > 0.05
    field = SignedDistanceField(trimesh.Trimesh(mesh.vertices, mesh.faces[keep], process=False))
    points = near_surface(mesh, 20_000, 3)
    wrong = wrong_signs(solid, field, points)
    doubtful = field(points).confidence < 0.5
    assert wrong.mean() <= 0.005
    assert doubtful[wrong].sum() >= 0.5 * wrong.sum()
    assert doubtful.mean() < 0.02  # confidence that doubts everything would be worthless


def test_unwelded_triangles_are_the_same_surface():
    mesh = Box().mesh()
    soup = trimesh.Trimesh(mesh.triangles.reshape(-1, 3), np.arange(36).reshape(12, 3), process=False)
    points = np.random.default_rng(6).uniform(-1, 1, (2000, 3))
    np.testing.assert_array_equal(signed_distance(soup, points).distance, signed_distance(mesh, points).distance)


def test_overlapping_bodies_are_their_union():
    union = Union(Box((0.3, 0.3, 0.3)), Moved(Box((0.2, 0.2, 0.5)), (0.1, 0.0, 0.3)))
    points = np.random.default_rng(7).uniform(-1, 1, (5000, 3))
    exact = union(points)
    outside = exact > 0
    for walls in (True, False):
        found = SignedDistanceField(union.mesh(), internal_walls=walls)(points).distance
        np.testing.assert_allclose(found[outside], exact[outside], atol=1e-6)
        assert (found[~outside] < 0).all()


def test_buried_walls_do_not_count_as_boundary_when_asked():
    inner = Box((0.2, 0.2, 0.2))
    nested = trimesh.util.concatenate([Box((0.6, 0.6, 0.6)).mesh(), inner.mesh()])
    at_inner_wall = np.array([[0.2, 0.0, 0.0]])
    assert signed_distance(nested, at_inner_wall).distance[0] == pytest.approx(0.0, abs=1e-6)
    solid = SignedDistanceField(nested, internal_walls=False)
    assert solid(at_inner_wall).distance[0] == pytest.approx(-0.4, abs=1e-6)
    assert solid.boundary().area == pytest.approx(6 * 1.2**2)


def test_a_large_offset_costs_no_accuracy():
    points = np.random.default_rng(9).uniform(-1, 1, (500, 3))
    far = np.array([1e4, -2e4, 3e4])
    moved = trimesh.Trimesh(Box().mesh().vertices + far, Box().mesh().faces, process=False)
    np.testing.assert_allclose(signed_distance(moved, points + far).distance, Box()(points), atol=1e-5)


def torus() -> trimesh.Trimesh:
    return trimesh.creation.torus(0.6, 0.25, 48, 32)


SIMILARITIES = {
    "turned": (1.0, Rotation.from_rotvec([0.3, 1.1, -0.7]), (0.0, 0.0, 0.0)),
    "in millimetres": (1e3, Rotation.identity(), (0.0, 0.0, 0.0)),
    "tiny, turned and elsewhere": (1e-3, Rotation.from_rotvec([-1.0, 0.2, 0.4]), (0.5, -0.3, 0.2)),
}


@pytest.mark.parametrize(("scale", "turn", "shift"), SIMILARITIES.values(), ids=SIMILARITIES.keys())
@pytest.mark.parametrize(("missing", "changes"), [(0.0, 0.0), (0.2, 1e-3)], ids=["closed", "a fifth missing"])
def test_distances_move_with_the_mesh(scale, turn, shift, missing, changes):
    """Where faces are missing the sign is a tie somewhere, and decided by rounding and by witnesses there."""
    keep = np.random.default_rng(10).random(len(torus().faces)) >= missing
    mesh = trimesh.Trimesh(torus().vertices, torus().faces[keep], process=False)
    points = np.vstack([np.random.default_rng(11).uniform(-1, 1, (5000, 3)), near_surface(torus(), 5000, 12)])
    moved = trimesh.Trimesh(scale * turn.apply(mesh.vertices) + shift, mesh.faces, process=False)
    here = SignedDistanceField(mesh)(points)
    there = SignedDistanceField(moved)(scale * turn.apply(points) + shift)
    np.testing.assert_allclose(np.abs(there.distance) / scale, np.abs(here.distance), atol=1e-6)
    changed = np.sign(there.distance) != np.sign(here.distance)
    assert changed.mean() <= changes
    assert np.maximum(here.confidence, there.confidence)[changed].max(initial=0) < 0.7


def test_points_asked_together_or_apart_have_the_same_answers():
    field = SignedDistanceField(torus())
    points = near_surface(torus(), 3000, 13)
    together = field(points)
    parts = [field(part) for part in np.array_split(points, 9)]
    for k in range(2):
        np.testing.assert_array_equal(np.concatenate([part[k] for part in parts]), together[k])
    assert field(points[:0]).distance.shape == field(points[:0]).confidence.shape == (0,)
    assert field(points[:1]).distance[0] == together.distance[0]


def test_slender_faces_cost_no_accuracy():
    """A cylinder of 720 sides, whose side faces are 1 by 0.003."""
    cylinder = trimesh.creation.cylinder(0.3, 1.0, sections=720)
    points = np.random.default_rng(14).uniform(-1, 1, (4000, 3))
    radial, axial = np.linalg.norm(points[:, :2], axis=1) - 0.3, np.abs(points[:, 2]) - 0.5
    exact = np.hypot(np.maximum(radial, 0), np.maximum(axial, 0)) + np.minimum(np.maximum(radial, axial), 0)
    sagitta = 0.3 * (1 - np.cos(np.pi / 720))
    assert np.abs(signed_distance(cylinder, points).distance - exact).max() < sagitta + 1e-6


def test_far_points_are_outside_by_their_distance():
    far = np.array([[1e4, 0, 0], [0, -1e6, 0], [0, 0, 1e8]])
    found = signed_distance(torus(), far)
    np.testing.assert_allclose(found.distance, np.abs(far).max(axis=1), rtol=1e-4)
    assert (found.confidence == 1).all()


def test_on_the_surface_the_distance_is_zero():
    mesh = torus()
    for spots in (mesh.vertices, mesh.triangles_center, mesh.vertices[mesh.edges_unique].mean(axis=1)):
        np.testing.assert_allclose(signed_distance(mesh, np.asarray(spots)).distance, 0, atol=1e-6)


def test_vertices_without_faces_do_not_count():
    mesh = torus()
    more = trimesh.Trimesh(np.vstack([mesh.vertices, [[1e6, 0, 0]]]), mesh.faces, process=False)
    points = np.random.default_rng(15).uniform(-1, 1, (500, 3))
    np.testing.assert_array_equal(signed_distance(more, points).distance, signed_distance(mesh, points).distance)
    np.testing.assert_allclose(SignedDistanceField(more).bounds, mesh.bounds, atol=1e-12)


def test_bad_input_is_named():
    with pytest.raises(MeshHasNoFaces, match="without any"):
        SignedDistanceField(trimesh.Trimesh())
    with pytest.raises(ValueError, match="points must be finite"):
        signed_distance(Box().mesh(), np.array([[np.nan, 0, 0]]))
    with pytest.raises(MeshDegenerate, match=r"extent 0\.0"):
        SignedDistanceField(trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False))
