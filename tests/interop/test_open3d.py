"""Open3D: there and back, nothing lost that it has a place for."""

import sys

import numpy as np
import pytest
import trimesh

from geomflow.errors import LibraryMissing
from geomflow.geometry.primitives import Box
from geomflow.interop import from_open3d, to_open3d
from tests.interop.shapes import assert_same, bare, library, painted_cloud, painted_mesh


@pytest.fixture
def open3d():
    return library("open3d", "open3d")


@pytest.mark.parametrize("shape", [painted_mesh(), painted_cloud()], ids=["mesh", "cloud"])
def test_there_and_back(open3d, shape):
    assert_same(shape, from_open3d(to_open3d(shape, normals=True)))


def test_what_open3d_sees(open3d):
    mesh = painted_mesh()
    theirs = to_open3d(mesh, normals=True)
    assert isinstance(theirs, open3d.geometry.TriangleMesh)
    assert theirs.is_watertight()
    assert theirs.get_volume() == pytest.approx(mesh.volume, rel=1e-12)
    np.testing.assert_array_equal(np.asarray(theirs.vertex_normals), mesh.vertex_normals)
    np.testing.assert_array_equal(np.asarray(theirs.vertex_colors), mesh.visual.vertex_colors[:, :3] / 255)


def test_what_is_not_carried_is_not_made_up(open3d):
    box = Box().mesh()
    assert len(box.vertex_normals) == 8  # somebody looked at them
    assert bare(from_open3d(to_open3d(box)))
    points = np.random.default_rng(0).normal(size=(5, 3))
    cloud = to_open3d(points)
    assert isinstance(cloud, open3d.geometry.PointCloud)
    assert bare(from_open3d(cloud))
    np.testing.assert_array_equal(from_open3d(cloud).vertices, points)


def test_a_mesh_of_their_own(open3d):
    mesh = from_open3d(open3d.geometry.TriangleMesh.create_box(1, 2, 3))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(6)


def test_colours_of_their_own_are_the_nearest_bytes(open3d):
    box = open3d.geometry.TriangleMesh.create_box()
    box.paint_uniform_color([0.999, 0.2, 0.0])
    np.testing.assert_array_equal(from_open3d(box).visual.vertex_colors, [[255, 51, 0, 255]] * 8)


def test_tensor_geometries_come_back_as_well(open3d):
    mesh = painted_mesh()
    assert_same(
        mesh, from_open3d(open3d.t.geometry.TriangleMesh.from_legacy(to_open3d(mesh, normals=True))), single=True
    )


def test_colours_of_faces_are_left_out_aloud(open3d, caplog):
    mesh = trimesh.Trimesh(*_box(), process=False)
    mesh.visual.face_colors = np.full((12, 4), [1, 2, 3, 255], dtype=np.uint8)
    assert not to_open3d(mesh).has_vertex_colors()
    assert "Open3D gets colours of vertices only: those of the mesh's face are left out" in caplog.text


def test_named_attributes_are_left_out_aloud(open3d, caplog):
    mesh = Box().mesh()
    mesh.vertex_attributes["heat"], mesh.face_attributes["part"] = np.zeros(8), np.zeros(12)
    to_open3d(mesh)
    assert "Open3D gets no named attributes: heat, part left out" in caplog.text


def test_a_texture_of_theirs_is_left_out_aloud(open3d, caplog):
    box = open3d.geometry.TriangleMesh.create_box(create_uv_map=True)
    assert bare(from_open3d(box))
    assert "the texture of an Open3D mesh is left out" in caplog.text


def test_what_is_no_shape_is_refused(open3d):
    with pytest.raises(TypeError, match="TriangleMesh or PointCloud, given a LineSet"):
        from_open3d(open3d.geometry.LineSet())


@pytest.mark.parametrize("wrong", [np.zeros((4, 2)), "bunny.obj"], ids=["array", "text"])
def test_what_is_no_shape_of_ours_is_refused(open3d, unchecked_shapes, wrong):
    with pytest.raises(TypeError, match=r"shape must be a trimesh.Trimesh.* given a"):
        to_open3d(wrong)


def test_without_the_library_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(LibraryMissing, match=r"to_open3d needs open3d: pip install 'geomflow\[open3d\]'"):
        to_open3d(Box().mesh())


def _box() -> tuple[np.ndarray, np.ndarray]:
    box = Box().mesh()
    return np.asarray(box.vertices), np.asarray(box.faces)
