"""Exact solids against brute force on their meshes, closed forms of volume, and the eikonal equation."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from geomflow.geometry.primitives import (
    Assembly,
    Box,
    Capsule,
    Moved,
    RoundedCylinder,
    Scaled,
    Solid,
    Sphere,
    Torus,
    Turned,
    Union,
)
from geomflow.geometry.profiles import Extruded, Hull, Revolved
from geomflow.geometry.winding import winding_number

VASE = np.array([(0, -0.8), (0.5, -0.7), (0.3, 0.2), (0.6, 0.8), (0.55, 0.8), (0.25, 0.2), (0.44, -0.65), (0, -0.74)])
SHADE = np.array([(0.3, 0.4), (0.35, 0.4), (0.7, -0.4), (0.65, -0.4)])
ANGLE = np.pi / 5 * np.arange(10)
STAR = np.stack([np.sin(ANGLE), np.cos(ANGLE)], axis=1) * np.resize([[0.9], [0.4]], (10, 1))
ARROW = np.array([(-0.5, -0.5), (0.0, -0.2), (0.5, -0.5), (0.5, 0.1), (0.5, 0.3), (0.0, 0.8), (-0.5, 0.3)])
WEDGE = np.array([(-0.6, -0.5, 0.1), (0.7, -0.4, -0.2), (0.5, 0.4, 0.5), (-0.5, 0.6, 0.4), (0.1, 0.2, -0.8), (0, 0, 0)])

CLOSED = {
    "sphere": Sphere(),
    "torus": Torus(),
    "capsule": Capsule(),
    "rounded cylinder": RoundedCylinder(),
    "vase": Revolved(VASE, sections=720),
    "shade": Revolved(SHADE, sections=720),
    "star": Extruded(STAR, 0.3),
    "arrow, clockwise": Extruded(ARROW[::-1].copy(), 0.6),
    "hull": Hull(WEDGE),
    "turned": Turned(Box(), (0.4, -0.3, 0.9)),
    "scaled": Scaled(Extruded(STAR, 0.4), 0.7),
    "all three": Moved(Turned(Scaled(Hull(WEDGE), 0.6), (0.0, 2.0, 0.1)), (0.2, 0.1, -0.3)),
}
solids = pytest.mark.parametrize("solid", CLOSED.values(), ids=CLOSED.keys())


def brute_force(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    """Signed distance from every point to every triangle, the sign from the winding number."""
    nearest = np.full(len(points), np.inf)
    for corners in mesh.triangles:
        spots = trimesh.triangles.closest_point(np.broadcast_to(corners, (len(points), 3, 3)), points)
        nearest = np.minimum(nearest, np.linalg.norm(points - spots, axis=1))
    inside = np.abs(winding_number(np.asarray(mesh.vertices), np.asarray(mesh.faces), points)) > 0.5
    return np.where(inside, -nearest, nearest)


def cube(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3))


@pytest.mark.parametrize("name", ["star", "arrow, clockwise", "hull", "turned", "scaled", "all three"])
def test_distance_of_flat_faced_solids_equals_brute_force_over_their_triangles(name):
    solid, points = CLOSED[name], cube(4000, 1)
    np.testing.assert_allclose(solid(points), brute_force(solid.mesh(), points), atol=1e-12)


@pytest.mark.parametrize("profile", [VASE, SHADE, VASE[::-1].copy()], ids=["vase", "shade", "vase, clockwise"])
def test_distance_of_revolved_solids_equals_brute_force_over_a_fine_mesh(profile):
    points = cube(400, 2)
    np.testing.assert_allclose(
        Revolved(profile)(points), brute_force(Revolved(profile, 400).mesh(), points), atol=0.7 * np.pi**2 / 2 / 400**2
    )


@solids
def test_vertices_lie_on_the_surface_and_meshes_are_closed_and_look_outward(solid: Solid):
    mesh = solid.mesh()
    assert np.abs(solid(np.asarray(mesh.vertices))).max() < 1e-9
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert len(np.unique(mesh.faces)) == len(mesh.vertices)
    assert mesh.area_faces.min() > 0
    outward = mesh.triangles_center + 1e-3 * mesh.face_normals
    assert (solid(outward) > 0).mean() > 0.999


@solids
def test_the_gradient_has_length_one_almost_everywhere(solid: Solid):
    points, step = cube(4000, 3), 1e-6
    shifts = step * np.eye(3)
    gradient = np.stack([(solid(points + shift) - solid(points - shift)) / (2 * step) for shift in shifts], axis=1)
    length = np.linalg.norm(gradient, axis=1)
    assert (np.abs(length - 1) < 1e-5).mean() > 0.999
    assert length.max() < 1 + 1e-5


@pytest.mark.parametrize("profile", [VASE, SHADE, VASE[::-1].copy()], ids=["vase", "shade", "vase, clockwise"])
@pytest.mark.parametrize("sections", [3, 64])
def test_revolved_volume_is_that_of_pappus_times_the_share_of_a_circle_in_its_polygon(profile, sections):
    r, y = profile.T
    s, z = np.roll(profile, -1, axis=0).T
    moment = abs(np.sum((r + s) * (r * z - s * y))) / 6  # area times the radius of its centroid
    share = sections / (2 * np.pi) * np.sin(2 * np.pi / sections)
    assert Revolved(profile, sections).mesh().volume == pytest.approx(2 * np.pi * moment * share, rel=1e-12)


def test_volumes_of_prisms_and_hulls_are_closed_forms():
    star_area = 10 * 0.5 * 0.9 * 0.4 * np.sin(np.pi / 5)
    assert Extruded(STAR, 0.3).mesh().volume == pytest.approx(star_area * 0.6, rel=1e-12)
    assert Scaled(Extruded(STAR, 0.3), 0.5).mesh().volume == pytest.approx(star_area * 0.6 / 8, rel=1e-12)
    frustum = np.array([(x * s, h, z * s) for s, h in ((1, 0), (0.5, 2)) for x in (-1, 1) for z in (-1, 1)], float)
    assert Hull(frustum).mesh().volume == pytest.approx(2 / 3 * (4 + 1 + 2), rel=1e-12)


def test_the_same_solid_drawn_in_two_ways_has_the_same_distance():
    points = cube(3000, 4)
    corners = np.array([(x, y, z) for x in (-0.8, 0.8) for y in (-0.5, 0.5) for z in (-0.3, 0.3)])
    for twin in (Hull(corners), Extruded(corners[[0, 2, 6, 4], :2], 0.3)):
        np.testing.assert_allclose(twin(points), Box()(points), atol=1e-12)
    disc = Revolved(np.array([(0, -0.6), (0.5, -0.6), (0.5, 0.6), (0, 0.6)]))
    upright = Turned(RoundedCylinder(0.5, 0.6, 0.0), (np.pi / 2, 0.0, 0.0))
    np.testing.assert_allclose(disc(points), upright(points), atol=1e-12)


def test_turning_takes_z_to_minus_y_and_distances_with_it():
    turned = Turned(Moved(Sphere(0.1), (0.0, 0.0, 0.7)), (np.pi / 2, 0.0, 0.0))
    np.testing.assert_allclose(turned(np.array([[0, -0.7, 0], [0, -0.5, 0]])), [-0.1, 0.1], atol=1e-12)


def test_the_axis_is_no_boundary():
    cone = Revolved(np.array([(0, -0.5), (0.5, -0.5), (0, 0.5)]))
    middle = np.array([[0.0, -0.3, 0.0], [1e-9, -0.3, 0.0]])
    np.testing.assert_allclose(cone(middle), -0.2, atol=1e-8)


def test_an_assembly_is_exact_outside_never_wrong_in_sign_and_never_too_deep():
    parts = (
        Box((0.6, 0.2, 0.2)),
        Moved(Box((0.2, 0.6, 0.2)), (0.1, 0.1, 0.05)),
        Moved(Box((0.2, 0.2, 0.2)), (-0.5, 0.3, 0.0)),
    )
    assembly, points = Assembly(parts), cube(4000, 5)
    found, exact = assembly(points), brute_force(assembly.mesh(), points)
    outside = exact > 0
    np.testing.assert_allclose(found[outside], exact[outside], atol=1e-12)
    assert (found[~outside] < 0).all()
    grid = np.stack(np.meshgrid(*[np.linspace(-0.9, 0.9, 61)] * 3), -1).reshape(-1, 3)
    empty = grid[assembly(grid) > 0]
    to_outside, _ = cKDTree(empty).query(points[~outside])  # at least the true depth
    assert (-found[~outside] <= to_outside).all()
    np.testing.assert_array_equal(Assembly(parts[:2])(points), Union(*parts[:2])(points))


def test_an_assembly_of_one_part_is_that_part_and_meshes_keep_all_faces():
    points = cube(100, 6)
    np.testing.assert_array_equal(Assembly((Torus(),))(points), Torus()(points))
    both = Assembly((Box(), Moved(Hull(WEDGE), (2.0, 0.0, 0.0)))).mesh()
    assert both.body_count == 2
    assert both.volume == pytest.approx(Box().mesh().volume + Hull(WEDGE).mesh().volume)


BOW_TIE = np.array([(0, 0), (1, 1), (1, 0), (0, 1)], float)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Revolved(SHADE - [0.5, 0]), r"profile must have no negative radius, given -0\.2"),
        (lambda: Revolved(SHADE, 2), "sections must be at least 3, not 2"),
        (lambda: Revolved(SHADE[:2]), "profile must be three or more finite corners, given 2"),
        (lambda: Extruded(STAR * np.nan, 0.1), "outline must be three or more finite corners"),
        (lambda: Extruded(STAR[[0, 0, 1, 2]], 0.1), "outline must not name a corner twice in a row"),
        (lambda: Extruded(BOW_TIE, 0.1), "outline must be a polygon with an area whose edges do not cross"),
        (lambda: Extruded(STAR[:3] * [1, 0], 0.1), "outline must be a polygon with an area"),
        (lambda: Extruded(STAR, 0.0), r"half_depth must be positive, not 0\.0"),
        (lambda: Hull(WEDGE * [1, 1, 0]), "points must be four or more that span a volume, given 6 in one plane"),
        (lambda: Hull(WEDGE[:3]), "points must be four or more that span a volume"),
        (lambda: Scaled(Box(), -1.0), r"factor must be positive, not -1\.0"),
        (lambda: Assembly(()), "an assembly wants at least one part, given none"),
    ],
)
def test_bad_drawings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
