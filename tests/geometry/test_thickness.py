"""Wall thickness of solids of which it is known in closed form, and what can be printed."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from geomflow.errors import MeshDegenerate, MeshHasNoFaces
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import normalize
from geomflow.geometry.primitives import Box, Sphere, Torus
from geomflow.geometry.profiles import Extruded, Hull
from geomflow.geometry.read import read_surface
from geomflow.geometry.solid import solid_report
from geomflow.geometry.surface import sample_surface
from geomflow.geometry.thickness import STEP, print_report, thinnest, wall_thickness


def faces_removed(mesh: trimesh.Trimesh, normal: tuple[float, float, float]) -> trimesh.Trimesh:
    """The mesh without the faces that look along `normal`."""
    return trimesh.Trimesh(mesh.vertices, mesh.faces[mesh.face_normals @ normal < 0.99], process=False)


def shell(outer: float, inner: float) -> trimesh.Trimesh:
    hollow = Sphere(inner).mesh()
    hollow.invert()
    return trimesh.util.concatenate([Sphere(outer).mesh(), hollow])


def block_with_plate(length: float, thick: float = 0.01) -> trimesh.Trimesh:
    """A unit cube with a plate that stands out of one side, over its whole depth."""
    low, high = 0.5 - thick / 2, 0.5 + thick / 2
    fin = [[1, low], [1 + length, low], [1 + length, high], [1, high]]
    return Extruded(np.array([[0, 0], [1, 0], *fin, [1, 1], [0, 1]], dtype=float), 0.5).mesh()


@pytest.mark.parametrize("half", [(0.8, 0.5, 0.3), (1.0, 1.0, 0.01), (30.0, 0.05, 40.0)])
def test_the_thickness_of_a_box_is_its_extent_across_each_side_up_to_the_very_edge(half):
    normals = sample_surface(Box(half).mesh(), 2000).normals
    np.testing.assert_allclose(
        wall_thickness(Box(half).mesh()), 2 * np.abs(normals) @ half, rtol=0, atol=2e-6 * max(half)
    )


def test_a_cube_is_as_thin_as_its_edge_is_long_where_the_largest_ball_would_say_a_two_hundredth():
    assert thinnest(wall_thickness(Box((1.0, 1.0, 1.0)).mesh()), share=0.0) == pytest.approx(2.0, abs=4e-6)
    points = sample_surface(Box((1.0, 1.0, 1.0)).mesh(), 100_000).points
    ball = 2 * (1 - np.sort(np.abs(points), axis=1)[:, 1])  # it touches the nearest side
    assert thinnest(ball) == pytest.approx(0.01, rel=0.1)


def test_a_tetrahedron_is_thin_along_its_edges():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(2)
    tetrahedron = Hull(corners).mesh()
    slope = 2 * np.sqrt(2)  # of one face against another
    in_strips = 24 * 0.01 / slope / tetrahedron.area  # two along each of six edges of length 2, and their overlaps
    assert (wall_thickness(tetrahedron, 50_000) < 0.01).mean() == pytest.approx(in_strips, rel=0.1)


def test_a_sphere_is_as_thick_as_its_diameter_and_a_torus_as_its_tube():
    np.testing.assert_allclose(wall_thickness(Sphere(0.7).mesh()), 1.4, rtol=1e-3)
    np.testing.assert_allclose(wall_thickness(Torus(0.6, 0.25).mesh()), 0.5, rtol=1e-3)


def test_a_shell_is_measured_from_both_of_its_walls():
    mesh = shell(0.8, 0.7)
    on_inner = np.linalg.norm(sample_surface(mesh, 2000).points, axis=1) < 0.75
    assert on_inner.mean() == pytest.approx(0.49 / (0.49 + 0.64), abs=0.04)
    np.testing.assert_allclose(wall_thickness(mesh), 0.1, atol=2e-4)


def test_a_tube_is_as_thick_as_its_wall_and_as_long_as_it_is_from_its_rims():
    tube = trimesh.creation.annulus(r_min=0.5, r_max=0.55, height=1.5, sections=256)
    on_rim = np.abs(sample_surface(tube, 2000).normals[:, 2]) > 0.5
    thickness = wall_thickness(tube)
    np.testing.assert_allclose(thickness[~on_rim], 0.05, atol=1e-4)  # sagitta of 256 sections: 4e-5
    np.testing.assert_allclose(thickness[on_rim], 1.5, atol=2e-6)
    assert on_rim.sum() > 20


@pytest.mark.parametrize("degrees", [10, 30, 60])
def test_in_a_wedge_the_ray_is_longer_than_the_ball_is_wide_by_a_known_factor(degrees):
    angle = np.radians(degrees)
    wedge = Extruded(np.array([[0, 0], [1, 0], [1, np.tan(angle)]]), 0.5).mesh()
    points, normals = sample_surface(wedge, 2000)
    from_floor = normals[:, 1] < -0.99
    thickness, along = wall_thickness(wedge)[from_floor], points[from_floor, 0]
    measured = along * np.tan(angle) > STEP
    np.testing.assert_allclose(thickness[measured], (along * np.tan(angle))[measured], atol=4e-6)
    ball = 2 * along * np.tan(angle / 2)
    np.testing.assert_allclose((thickness / ball)[measured], 1 / (1 - np.tan(angle / 2) ** 2), rtol=4e-6 / STEP)


def test_a_thin_plate_is_found_if_it_has_its_share_of_the_area_and_let_go_if_it_is_a_sliver():
    large, sliver = block_with_plate(0.5), block_with_plate(0.01)
    thickness = wall_thickness(large)
    of_plate = np.isclose(thickness, 0.01, rtol=0, atol=2e-6)
    assert of_plate.mean() == pytest.approx(2 * 0.5 / large.area, abs=0.025)  # three standard errors
    assert thickness[~of_plate].min() > 0.4
    assert thinnest(thickness) == pytest.approx(0.01, abs=2e-6)
    assert 2 * 0.01 / sliver.area == pytest.approx(0.0033, abs=1e-4)
    assert thinnest(wall_thickness(sliver)) > 0.4
    assert thinnest(wall_thickness(sliver), share=0.0) == pytest.approx(0.01, abs=2e-6)


def test_the_robust_minimum_is_the_least_value_that_a_share_does_not_undercut():
    values = np.random.default_rng(0).permutation(np.arange(1.0, 1001.0))
    assert [thinnest(values, share) for share in (0.0, 0.01, 0.5, 1.0)] == [1.0, 10.0, 500.0, 1000.0]
    assert thinnest(np.array([0.1, np.inf, np.inf, np.inf]), 0.5) == np.inf


@pytest.mark.parametrize("factor", [1e-3, 25.4])
def test_thickness_scales_with_the_mesh_and_does_not_know_where_it_is(factor):
    mesh = block_with_plate(0.5)
    moved = trimesh.Trimesh(mesh.vertices * factor + [7 * factor, 0, 0], mesh.faces, process=False)
    np.testing.assert_allclose(wall_thickness(moved), factor * wall_thickness(mesh), rtol=0, atol=factor * 4e-6)


def test_the_same_seed_gives_the_same_thickness_and_another_seed_other_points():
    mesh = trimesh.creation.icosphere(2)
    np.testing.assert_array_equal(wall_thickness(mesh, 500, seed=3), wall_thickness(mesh, 500, seed=3))
    assert (wall_thickness(mesh, 500, seed=3) != wall_thickness(mesh, 500, seed=4)).any()
    assert wall_thickness(mesh, 1).shape == (1,)


def test_which_way_faces_look_does_not_matter():
    mesh = shell(0.8, 0.7)
    for flipped in (np.ones(len(mesh.faces), dtype=bool), np.random.default_rng(0).random(len(mesh.faces)) < 0.5):
        faces = np.where(flipped[:, None], mesh.faces[:, ::-1], mesh.faces)
        turned = trimesh.Trimesh(mesh.vertices, faces, process=False)
        np.testing.assert_allclose(wall_thickness(turned), wall_thickness(mesh), atol=2e-4)


def test_rays_that_leave_through_a_hole_have_no_end():
    half = (0.5, 0.4, 0.3)
    cup = faces_removed(Box(half).mesh(), (0, 0, 1))
    on_floor = sample_surface(cup, 2000).normals[:, 2] < -0.5
    thickness = wall_thickness(cup)
    assert np.isinf(thickness[on_floor]).mean() > 0.9
    assert np.isfinite(thickness[~on_floor]).all()
    assert "not watertight" in print_report(cup, 0.01).reasons()


def test_behind_a_lone_sheet_there_is_no_wall():
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    points = sample_surface(sheet, 2000).points
    off_border = np.minimum(points[:, :2].min(axis=1), 1 - points[:, :2].sum(axis=1)) > 10 * STEP
    assert np.isinf(wall_thickness(sheet)[off_border]).all()


def test_a_wall_under_the_step_has_no_thickness_though_others_lie_behind_it():
    foil, block = Box((1.0, 1.0, STEP / 4)).mesh(), Box((1.0, 1.0, 0.2)).mesh().apply_translation((0, 0, -0.5))
    both = trimesh.util.concatenate([foil, block])
    of_foil = sample_surface(both, 2000).points[:, 2] > -0.2
    assert (wall_thickness(both)[of_foil] == 0).mean() > 0.99
    assert thinnest(wall_thickness(both)) == 0


def test_a_report_joins_the_solid_and_its_thickness():
    mesh = block_with_plate(0.5)
    report = print_report(mesh, 0.009)
    assert report.passes
    assert report.reasons() == []
    assert report.solid == solid_report(mesh)
    assert report.thickness == thinnest(wall_thickness(mesh))
    expected = {**solid_report(mesh).as_dict(), "thickness": report.thickness, "minimum_thickness": 0.009}
    assert report.as_dict() == expected


@pytest.mark.parametrize("half", [(1.0, 1.0, 0.01), (0.3, 0.7, 0.01), (1.0, 0.33, 0.0077)])
def test_a_wall_of_just_the_wanted_thickness_passes_and_a_thinner_one_does_not(half):
    assert print_report(Box(half).mesh(), 2 * half[2]).passes
    assert not print_report(Box(half).mesh(), 2.01 * half[2]).passes


def test_what_keeps_a_mesh_from_being_printed_is_said():
    assert print_report(block_with_plate(0.5), 0.02).reasons() == ["thickness 0.01 under 0.02"]
    assert print_report(block_with_plate(0.01), 0.02).passes
    assert not print_report(block_with_plate(0.01), 0.02, share=0.0).passes
    assert print_report(shell(0.8, 0.7), 0.09).passes
    inside_out = Box().mesh()
    inside_out.invert()
    assert print_report(inside_out, 0.7).reasons() == [
        *solid_report(inside_out).reasons(),
        "thickness 0.6 under 0.7",
    ]


@pytest.mark.parametrize("name", ["spot.obj", "armadillo.obj", "ycb_power_drill.obj"])
def test_of_real_solids_the_way_ends_on_the_surface_and_its_middle_is_inside(name, data_root: Path):
    mesh = normalize(read_surface(data_root / "classics" / name), margin=1.0).mesh
    points, normals = sample_surface(mesh, 2000)
    thickness = wall_thickness(mesh)
    assert (thickness > 0).all()
    assert np.isfinite(thickness).all()
    field, way = SignedDistanceField(mesh), -normals * thickness[:, None]
    np.testing.assert_allclose(field(points + way).distance, 0, atol=1e-5)
    assert (field(points + way / 2).distance < 0).all()
    assert print_report(mesh, 0.02).passes


def test_a_scan_with_holes_has_a_thickness_but_where_rays_leave_through_them(data_root: Path):
    bunny = normalize(read_surface(data_root / "classics" / "stanford_bunny.obj"), margin=1.0).mesh
    thickness = wall_thickness(bunny)
    assert 0.95 < np.isfinite(thickness).mean() < 1
    assert 0.02 < thinnest(thickness) < np.median(thickness) < 2
    assert print_report(bunny, 0.02).reasons() == ["not watertight"]


def test_bad_input_is_told():
    with pytest.raises(MeshHasNoFaces, match="a surface is wanted"):
        wall_thickness(trimesh.Trimesh())
    with pytest.raises(MeshHasNoFaces, match="a surface is wanted"):
        print_report(trimesh.Trimesh(), 0.02)
    with pytest.raises(MeshDegenerate, match="without area"):
        wall_thickness(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False))
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        wall_thickness(Box().mesh(), count=0)
    for minimum in (0.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="minimum_thickness must be positive, not"):
            print_report(Box().mesh(), minimum)
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\], not 1.5"):
        thinnest(np.ones(3), 1.5)
    with pytest.raises(ValueError, match="at least one value"):
        thinnest(np.ones(0))
