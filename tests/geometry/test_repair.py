"""Repair: what is a solid stays as it is, holes are filled, gaps are bridged, and the rung that helped is named."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry import fill, remesh, repair, solid_report
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.primitives import Sphere, Torus
from geomflow.metrics import volumetric_iou


def joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(meshes)


def without_faces(mesh: trimesh.Trimesh, count: int) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces[count:], process=False)


def test_a_solid_stays_as_it_is():
    mesh = Torus().mesh()
    assert repair(mesh)[:2] == (mesh, "none")


def test_a_missing_face_is_filled():
    box = trimesh.creation.box()
    found = repair(without_faces(box, 1))
    assert (found.rung, found.report.passes) == ("fill", True)
    assert found.mesh.volume == pytest.approx(box.volume)


def test_turned_faces_are_turned_back():
    ball = trimesh.creation.icosphere(subdivisions=2)
    faces = ball.faces.copy()
    faces[::3] = faces[::3, ::-1]
    fixed = fill(trimesh.Trimesh(ball.vertices, faces, process=False))
    assert solid_report(fixed).passes
    assert fixed.volume == pytest.approx(ball.volume)


def test_an_open_ball_is_remeshed_in_its_own_frame():
    ball = Sphere(0.8).mesh().apply_scale(30.0).apply_translation((100.0, 0.0, -50.0))
    lower = ball.triangles_center[:, 1] < ball.vertices[:, 1].max() - 3.0  # a cap is missing
    found = remesh(trimesh.Trimesh(ball.vertices, ball.faces[lower], process=False), resolution=64)
    assert solid_report(found).passes
    assert found.volume == pytest.approx(ball.volume, rel=0.05)
    np.testing.assert_allclose(found.centroid, (100.0, 0.0, -50.0), atol=1.0)


def test_a_gap_between_pieces_is_closed_and_nothing_else_moves():
    seat = trimesh.creation.box((1.2, 0.2, 1.2))
    leg = trimesh.creation.box((0.3, 0.8, 0.3)).apply_translation((0.0, -0.53, 0.0))  # 0.03 apart
    mesh = joined(seat, leg)
    assert repair(mesh, up_to="fill").rung == "none"
    found = repair(mesh, resolution=96)
    assert (found.rung, found.report.outer_components) == ("remesh", 1)
    fields = [SignedDistanceField(body) for body in (mesh, found.mesh)]
    assert volumetric_iou(*(lambda p, f=f: f(p).distance for f in fields), resolution=64) > 0.93


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_cannot_be_repaired_comes_back_as_it_was():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.3)
    mesh = joined(ball, ball.copy().apply_translation((3.0, 0.0, 0.0)))
    found = repair(mesh, resolution=32)
    assert (found.rung, found.mesh) == ("none", mesh)
    assert found.report.reasons() == ["2 outer components"]
    with pytest.raises(ValueError, match="repair must be one of none, fill, remesh, given 'magic'"):
        repair(mesh, up_to="magic")  # pyright: ignore
