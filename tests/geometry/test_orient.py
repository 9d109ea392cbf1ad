"""Orientation of damaged surfaces: closed, open, in patches, nested, one-sided."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from geomflow.geometry.distance import SignedDistanceField, signed_distance
from geomflow.geometry.orient import MOST_SPOTS, orient
from geomflow.geometry.primitives import Box, Moved, Sphere, Torus
from geomflow.geometry.surface import sample_surface


def sphere(radius: float = 0.7, subdivisions: int = 3) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions, radius)


def inverted(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)


def joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(list(meshes))


def some_flipped(mesh: trimesh.Trimesh, share: float) -> trimesh.Trimesh:
    flip = np.random.default_rng(4).random(len(mesh.faces)) < share
    faces = np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces)
    return trimesh.Trimesh(mesh.vertices, faces, process=False)


def patches(mesh: trimesh.Trimesh, count: int, turned: float = 0.5) -> trimesh.Trimesh:
    """The mesh in pieces with gaps between them, a share of them turned round."""
    rng = np.random.default_rng(0)
    centres = mesh.triangles_center
    label = cKDTree(centres[rng.permutation(len(centres))[:count]]).query(centres)[1]
    middle = np.stack([np.bincount(label, part) / np.bincount(label) for part in centres.T], axis=1)[label][:, None]
    triangles = middle + 0.995 * (mesh.triangles - middle)
    flip = (rng.random(count) < turned)[label]
    triangles[flip] = triangles[flip, ::-1]
    return trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(triangles.size // 3).reshape(-1, 3), process=False)


def sheet(size: float, height: float = 0.0) -> trimesh.Trimesh:
    corners = size * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) + [0, 0, height]
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def looking_away(mesh: trimesh.Trimesh) -> float:
    """Share of the faces that look away from the origin."""
    return (np.einsum("nd,nd->n", mesh.face_normals, mesh.triangles_center) > 0).mean()


def cube(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3))


def test_orient_makes_every_manifold_edge_agree():
    mesh = sphere()
    oriented = orient(some_flipped(mesh, 0.5))
    assert oriented.mesh.is_winding_consistent
    assert oriented.mesh.volume == pytest.approx(mesh.volume)
    assert oriented.encloses.all()


@pytest.mark.parametrize("flipped", [0.2, 1.0], ids=["a fifth of the faces flipped", "inside out"])
@pytest.mark.parametrize("missing", [0.0, 0.02], ids=["closed", "with holes"])
def test_orientation_of_the_file_does_not_matter(flipped, missing):
    whole = trimesh.creation.torus(0.5, 0.2, 96, 64)
    keep = np.random.default_rng(1).random(len(whole.faces)) >= missing
    mesh = trimesh.Trimesh(whole.vertices, whole.faces[keep], process=False)
    turned = some_flipped(mesh, flipped)
    points = np.vstack([cube(3000), sample_surface(whole, 3000).points + 0.03 * cube(3000, 1)])
    signs = [np.sign(signed_distance(given, points).distance) for given in (mesh, turned)]
    assert orient(turned).mesh.volume == pytest.approx(whole.volume, rel=0.1)
    assert (signs[0] != signs[1]).mean() <= 5e-4
    if not missing:
        np.testing.assert_array_equal(*signs)


@pytest.mark.parametrize(("subdivisions", "count"), [(4, 40), (4, 400), (5, 3000), (6, 9000)])
def test_rays_turn_patches_outward_that_share_no_edge(subdivisions, count):
    mesh = patches(sphere(0.7, subdivisions), count)
    assert 0.4 < looking_away(mesh) < 0.6
    oriented = orient(mesh)
    assert looking_away(oriented.mesh) > 0.999
    assert oriented.encloses.mean() > 0.999


def test_more_patches_than_spots_still_have_one_ray_bundle_each():
    soup = patches(sphere(0.7, 5), 20_480)
    assert len(soup.faces) > MOST_SPOTS
    assert looking_away(orient(soup).mesh) > 0.999


def test_signs_of_a_torus_in_patches_are_those_of_the_torus():
    whole = trimesh.creation.torus(0.5, 0.2, 96, 64)
    points = sample_surface(whole, 4000).points + np.random.default_rng(2).normal(0, 0.03, (4000, 3))
    wrong = np.sign(signed_distance(patches(whole, 40), points).distance) != np.sign(Torus(0.5, 0.2)(points))
    assert (wrong & (np.abs(Torus(0.5, 0.2)(points)) > 1e-3)).mean() <= 0.005


def test_a_lone_sheet_encloses_nothing_and_everything_is_surely_outside_of_it():
    assert not orient(sheet(1.0)).encloses.any()
    points = np.vstack([cube(2000), np.random.default_rng(3).normal(0, 0.01, (200, 3))])
    found = signed_distance(sheet(1.0), points)
    assert (found.distance > 0).all()
    assert (found.confidence == 1).all()


@pytest.mark.parametrize("turned", [False, True], ids=["as given", "turned"])
def test_a_sheet_beside_a_body_changes_no_sign(turned):
    beside = inverted(sheet(0.5, 0.9)) if turned else sheet(0.5, 0.9)
    both = joined(sphere(), beside)
    oriented = orient(both)
    assert oriented.encloses.tolist() == [True] * len(sphere().faces) + [False, False]
    near_sheet = np.random.default_rng(5).uniform((-0.5, -0.5, 0.85), (0.5, 0.5, 0.95), (2000, 3))
    points = np.vstack([cube(2000), near_sheet])
    found = SignedDistanceField(both)(points)
    np.testing.assert_array_equal(found.distance < 0, signed_distance(sphere(), points).distance < 0)
    assert (found.confidence == 1).all()


@pytest.mark.parametrize("turned", [False, True], ids=["as given", "turned"])
def test_a_bowl_opens_inward(turned):
    half = trimesh.Trimesh(sphere().vertices, sphere().faces[sphere().triangles_center[:, 2] < 0], process=False)
    oriented = orient(inverted(half) if turned else half)
    assert looking_away(oriented.mesh) == 1
    assert oriented.encloses.all()
    inside = np.array([[0, 0, -0.35]])
    assert signed_distance(half, inside).distance[0] < 0 < signed_distance(half, -2 * inside).distance[0]


def test_a_cavity_that_faces_inward_is_outside_and_an_inverted_body_is_not():
    shell, hole = Box((0.6, 0.6, 0.6)).mesh(), inverted(Box((0.2, 0.2, 0.2)).mesh())
    assert signed_distance(joined(shell, hole), np.zeros((1, 3))).distance[0] > 0
    apart = inverted(Moved(Box((0.2, 0.2, 0.2)), (2.0, 0.0, 0.0)).mesh())
    assert signed_distance(joined(shell, apart), np.array([[2.0, 0, 0]])).distance[0] < 0


@pytest.mark.parametrize("outer_turned", [False, True], ids=["outer outward", "outer inward"])
@pytest.mark.parametrize("inner_turned", [False, True], ids=["inner outward", "inner inward"])
def test_of_nested_bodies_only_an_inner_wall_alone_turned_inward_is_a_cavity(outer_turned, inner_turned):
    outer, inner = sphere(0.9), sphere(0.4)
    both = joined(inverted(outer) if outer_turned else outer, inverted(inner) if inner_turned else inner)
    cavity = inner_turned and not outer_turned
    oriented = orient(both)
    expected = outer.volume + (-inner.volume if cavity else inner.volume)
    assert oriented.mesh.volume == pytest.approx(expected)
    points = cube(2000)
    radius = np.linalg.norm(points, axis=1)
    inside = (radius < 0.88) & ~(cavity & (radius < 0.4))
    judged = (np.abs(radius - 0.4) > 0.02) & (np.abs(radius - 0.9) > 0.02)
    np.testing.assert_array_equal((signed_distance(both, points).distance < 0)[judged], inside[judged])


def test_a_moebius_strip_has_no_orientation_and_is_left_alone():
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rims = [
        np.stack(
            [
                (1 + w * np.cos(angle / 2)) * np.cos(angle),
                (1 + w * np.cos(angle / 2)) * np.sin(angle),
                w * np.sin(angle / 2),
            ],
            axis=1,
        )
        for w in (-0.3, 0.3)
    ]
    here, there = np.arange(40), np.roll(np.arange(40), -1)
    other_here, other_there = here + 40, there + 40
    there, other_there = np.where(there == 0, 40, there), np.where(other_there == 40, 0, other_there)
    faces = np.vstack([np.stack([here, there, other_here], 1), np.stack([there, other_there, other_here], 1)])
    strip = trimesh.Trimesh(np.vstack(rims), faces, process=False)
    kept = (orient(strip).mesh.triangles == strip.triangles).all(axis=(1, 2))
    assert kept.all() or not kept.any()


def test_faces_that_welding_made_edges_or_points_change_nothing_and_enclose_nothing():
    mesh = some_flipped(sphere(), 0.2)
    collapsed = np.vstack([mesh.faces[:9, [0, 0, 1]], np.full((1, 3), 5)])
    oriented = orient(trimesh.Trimesh(mesh.vertices, np.vstack([mesh.faces, collapsed]), process=False))
    assert oriented.encloses[: len(mesh.faces)].all()
    assert len(oriented.encloses) > len(mesh.faces)
    assert not oriented.encloses[len(mesh.faces) :].any()
    np.testing.assert_array_equal(oriented.mesh.faces[: len(mesh.faces)], orient(mesh).mesh.faces)


@pytest.mark.parametrize("other", [lambda mesh: mesh, inverted], ids=["twice", "from both sides"])
@pytest.mark.parametrize("missing", [0.0, 0.02], ids=["closed", "with holes"])
def test_a_surface_that_is_there_twice_is_one(other, missing):
    keep = np.random.default_rng(6).random(len(sphere().faces)) >= missing
    once = trimesh.Trimesh(sphere().vertices, sphere().faces[keep], process=False)
    twice = joined(some_flipped(once, 0.3), other(once))
    oriented = orient(twice)
    assert len(oriented.mesh.faces) == len(once.faces)
    assert looking_away(oriented.mesh) == 1
    assert oriented.encloses.all()
    points = 0.95 * cube(2000)
    np.testing.assert_array_equal(
        signed_distance(twice, points).distance < 0, signed_distance(once, points).distance < 0
    )


def test_many_bodies_that_face_inward_and_the_cavities_of_some_are_told_apart():
    """Every second body is hollow, and holes and the other bodies face inward."""
    places = np.stack(np.meshgrid(*3 * [np.arange(5.0)]), axis=-1).reshape(-1, 3)
    bodies = [inverted(trimesh.creation.box((0.6, 0.6, 0.6)).apply_translation(place)) for place in places[1::2]]
    hollow = [trimesh.creation.box((0.6, 0.6, 0.6)).apply_translation(place) for place in places[::2]]
    holes = [inverted(trimesh.creation.box((0.2, 0.2, 0.2)).apply_translation(place)) for place in places[::2]]
    oriented = orient(joined(*bodies, *hollow, *holes)).mesh
    assert oriented.volume == pytest.approx(len(places) * 0.6**3 - len(holes) * 0.2**3)


def test_faces_without_area_enclose_nothing():
    line = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    assert not orient(line).encloses.any()
    found = signed_distance(line, np.array([[0.0, 1.0, 0.0], [3.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found.distance, 1)


def test_the_mesh_is_not_changed_and_neither_unit_nor_place_matters():
    mesh = joined(patches(sphere(), 30), sheet(0.3, 1.5))
    before = np.array(mesh.vertices), np.array(mesh.faces)
    oriented = orient(mesh)
    for kept, now in zip(before, (mesh.vertices, mesh.faces), strict=True):
        np.testing.assert_array_equal(now, kept)
    moved = orient(trimesh.Trimesh(mesh.vertices * 500 + [3e3, -2e3, 1e3], mesh.faces, process=False))
    np.testing.assert_array_equal(moved.mesh.faces, oriented.mesh.faces)
    np.testing.assert_array_equal(moved.encloses, oriented.encloses)


def test_an_exact_sphere_far_from_its_origin_is_still_outward():
    away = Moved(Sphere(0.3), (0.4, -0.2, 0.1))
    mesh = inverted(trimesh.creation.icosphere(3, 0.3).apply_translation((0.4, -0.2, 0.1)))
    points = cube(2000)
    clear = np.abs(away(points)) > 0.01
    np.testing.assert_array_equal((signed_distance(mesh, points).distance < 0)[clear], (away(points) < 0)[clear])


def leg_in_a_box(turned: bool) -> trimesh.Trimesh:
    """A closed box, and a leg below it without a lid, whose upper end reaches into the box."""
    leg = Box((0.05, 0.3, 0.05)).mesh().subdivide().subdivide().subdivide()
    leg = trimesh.Trimesh(leg.vertices, leg.faces[leg.triangles_center[:, 1] < 0.299], process=False)
    leg.apply_translation((0.2, -0.4, 0.2))
    return joined(Box((0.5, 0.2, 0.5)).mesh(), inverted(leg) if turned else leg)


@pytest.mark.parametrize("turned", [False, True])
def test_an_open_part_that_reaches_into_a_body_looks_outward(turned):
    spots = np.array([[0.2, -0.4, 0.2], [0.2, -0.65, 0.2], [0.2, -0.15, 0.2], [0.0, -0.4, 0.0], [0.2, -0.75, 0.2]])
    found = SignedDistanceField(leg_in_a_box(turned))(spots)
    np.testing.assert_array_equal(found.distance < 0, [True, True, True, False, False])
    assert found.confidence.min() > 0.5


def test_where_rays_contradict_each_other_the_file_is_believed():
    outer = Box((0.5, 0.6, 0.5)).mesh().subdivide().subdivide().subdivide()
    inner = Box((0.4, 0.6, 0.4)).mesh().subdivide().subdivide().subdivide()
    walls = [
        trimesh.Trimesh(m.vertices, m.faces[m.triangles_center[:, 1] < 0.599], process=False) for m in (outer, inner)
    ]
    walls[1].apply_translation((0, 0.1, 0)).invert()  # the lining of a cup: its own rays say that it is inside out
    cup = SignedDistanceField(trimesh.util.concatenate(walls))
    in_the_cup, in_the_wall, in_the_floor = [0.0, 0.0, 0.0], [0.45, -0.2, 0.0], [0.0, -0.55, 0.0]
    np.testing.assert_array_equal(
        cup(np.array([in_the_cup, in_the_wall, in_the_floor])).distance < 0, [False, True, True]
    )
