"""USD: what a stage says of a mesh, read by Pixar's own library."""

import sys

import numpy as np
import pytest
import trimesh

from geomflow.errors import LibraryMissing
from geomflow.geometry.primitives import Box
from geomflow.interop import write_usd
from tests.interop.shapes import library, painted_cloud, painted_mesh, textured_mesh


@pytest.fixture
def geom():
    return library("pxr.UsdGeom", "usd-core")


def read(path):
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(path))
    return stage, UsdGeom.Mesh(stage.GetDefaultPrim())


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usd"])
def test_a_stage_holds_the_mesh(geom, tmp_path, suffix):
    mesh = painted_mesh()
    write_usd(mesh, tmp_path / f"torus{suffix}", meters_per_unit=0.01, normals=True)
    stage, prim = read(tmp_path / f"torus{suffix}")
    assert geom.GetStageUpAxis(stage) == "Y"
    assert geom.GetStageMetersPerUnit(stage) == 0.01
    assert prim.GetSubdivisionSchemeAttr().Get() == "none"
    points, normals = np.asarray(prim.GetPointsAttr().Get()), np.asarray(prim.GetNormalsAttr().Get())
    np.testing.assert_array_equal(points, mesh.vertices.astype(np.float32))
    np.testing.assert_array_equal(normals, mesh.vertex_normals.astype(np.float32))
    assert prim.GetNormalsInterpolation() == "vertex"
    np.testing.assert_array_equal(prim.GetFaceVertexCountsAttr().Get(), np.full(len(mesh.faces), 3))
    np.testing.assert_array_equal(prim.GetFaceVertexIndicesAttr().Get(), mesh.faces.ravel())
    np.testing.assert_array_equal(prim.GetExtentAttr().Get(), mesh.bounds.astype(np.float32))
    colors = prim.GetDisplayColorPrimvar()
    assert colors.GetInterpolation() == "vertex"
    np.testing.assert_array_equal(np.rint(255 * np.asarray(colors.Get())), mesh.visual.vertex_colors[:, :3])
    assert not prim.GetDisplayOpacityPrimvar().HasValue()
    assert [path.name for path in tmp_path.iterdir()] == [f"torus{suffix}"]


def test_the_stage_passes_pixars_checks(geom, tmp_path):
    from pxr import Usd

    validation = library("pxr.UsdValidation", "'usd-core>=25.2'")
    write_usd(painted_mesh(), tmp_path / "torus.usda", normals=True)
    context = validation.ValidationContext(validation.ValidationRegistry().GetOrLoadAllValidators())
    assert [error.GetMessage() for error in context.Validate(Usd.Stage.Open(str(tmp_path / "torus.usda")))] == []


def test_faces_may_have_colours_and_glass_may_be_seen_through(geom, tmp_path):
    mesh = Box().mesh()
    mesh.visual.face_colors = np.random.default_rng(0).integers(0, 255, (len(mesh.faces), 4), dtype=np.uint8)
    write_usd(mesh, tmp_path / "box.usda")
    _, prim = read(tmp_path / "box.usda")
    colors, opacity = prim.GetDisplayColorPrimvar(), prim.GetDisplayOpacityPrimvar()
    assert colors.GetInterpolation() == opacity.GetInterpolation() == "uniform"
    found = np.column_stack([np.asarray(colors.Get()), np.asarray(opacity.Get())])
    np.testing.assert_array_equal(np.rint(255 * found), mesh.visual.face_colors)


def test_what_is_not_carried_is_not_written(geom, tmp_path):
    box = Box().mesh()
    assert len(box.vertex_normals) == 8  # somebody looked at them
    write_usd(box, tmp_path / "box.usda")
    _, prim = read(tmp_path / "box.usda")
    assert not prim.GetNormalsAttr().HasAuthoredValue()
    assert not prim.GetDisplayColorPrimvar().HasValue()


def test_what_usd_has_no_place_for_is_left_out_aloud(geom, tmp_path, caplog):
    mesh = textured_mesh()
    mesh.face_attributes["part"] = np.zeros(12)
    write_usd(mesh, tmp_path / "box.usda")
    _, prim = read(tmp_path / "box.usda")
    assert not prim.GetDisplayColorPrimvar().HasValue()
    assert caplog.messages == [
        "USD gets colours of vertices and faces only: those of the mesh's texture are left out",
        "USD gets no named attributes: part left out",
    ]


def test_what_keeps_all_is_silent(geom, tmp_path, caplog):
    mesh = Box().mesh()
    mesh.visual.face_colors = np.full((12, 4), [1, 2, 3, 255], dtype=np.uint8)
    write_usd(mesh, tmp_path / "box.usda")
    write_usd(painted_mesh(), tmp_path / "torus.usda", normals=True)
    assert caplog.messages == []


def test_what_is_no_mesh_with_faces_is_refused(tmp_path, unchecked_shapes):
    with pytest.raises(TypeError, match=r"mesh must be a trimesh.Trimesh, given a PointCloud"):
        write_usd(painted_cloud(), tmp_path / "cloud.usda")
    with pytest.raises(TypeError, match=r"mesh must be a trimesh.Trimesh, given a list"):
        write_usd([painted_mesh()], tmp_path / "list.usda")
    with pytest.raises(ValueError, match="mesh must have faces, given one without any"):
        write_usd(trimesh.Trimesh(), tmp_path / "empty.usda")
    assert not any(tmp_path.iterdir())


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"box.obj: wanted one of .usda, .usdc, .usd, given '.obj'"):
        write_usd(trimesh.creation.box(), tmp_path / "box.obj")
    with pytest.raises(ValueError, match=r"meters_per_unit must be positive, given -1.0"):
        write_usd(trimesh.creation.box(), tmp_path / "box.usda", meters_per_unit=-1.0)


def test_without_the_library_one_line_says_how_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    monkeypatch.setitem(sys.modules, "pxr.Usd", None)
    with pytest.raises(LibraryMissing, match=r"write_usd needs pxr: pip install 'geomflow\[usd\]'"):
        write_usd(trimesh.creation.box(), tmp_path / "box.usda")
