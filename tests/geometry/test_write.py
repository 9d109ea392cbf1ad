"""Mesh files: what they keep beside the geometry, and what is refused."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry import write_mesh
from tests.interop.shapes import painted_mesh


@pytest.mark.parametrize("suffix", [".glb", ".ply"])
def test_normals_and_colours_of_vertices_are_kept(tmp_path, suffix):
    mesh = painted_mesh()
    write_mesh(mesh, tmp_path / f"torus{suffix}")
    (back,) = trimesh.load_scene(tmp_path / f"torus{suffix}", process=False).geometry.values()
    np.testing.assert_array_equal(back.vertices.astype(np.float32), mesh.vertices.astype(np.float32))
    np.testing.assert_array_equal(back.faces, mesh.faces)
    assert "vertex_normals" in back._cache
    np.testing.assert_allclose(back.vertex_normals, mesh.vertex_normals, atol=1e-7)
    np.testing.assert_array_equal(back.visual.vertex_colors, mesh.visual.vertex_colors)


def test_glb_keeps_named_attributes(tmp_path):
    mesh = painted_mesh()
    mesh.vertex_attributes["_thickness"] = np.random.default_rng(0).random((len(mesh.vertices), 1)).astype(np.float32)
    write_mesh(mesh, tmp_path / "torus.glb")
    (back,) = trimesh.load_scene(tmp_path / "torus.glb", process=False).geometry.values()
    np.testing.assert_array_equal(back.vertex_attributes["_thickness"], mesh.vertex_attributes["_thickness"])


def test_what_a_mesh_does_not_carry_is_not_written(tmp_path):
    write_mesh(trimesh.creation.box(), tmp_path / "box.glb")
    (back,) = trimesh.load_scene(tmp_path / "box.glb", process=False).geometry.values()
    assert "vertex_normals" not in back._cache
    assert back.visual.kind != "vertex"


def test_other_suffixes_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"torus.fbx: wanted one of .ply, .obj, .glb, .stl, .off, given '.fbx'"):
        write_mesh(painted_mesh(), tmp_path / "torus.fbx")
    assert not list(tmp_path.iterdir())
