"""PyTorch3D: batches of meshes and clouds, in float32, there and back."""

import sys

import numpy as np
import pytest
import torch
import trimesh

from geomflow.errors import LibraryMissing
from geomflow.geometry.primitives import Box
from geomflow.interop import from_pytorch3d, to_pytorch3d
from tests.interop.shapes import assert_same, bare, library, painted_cloud, painted_mesh, tilted


@pytest.fixture
def structures():
    return library("pytorch3d.structures", "'git+https://github.com/facebookresearch/pytorch3d.git@stable'")


@pytest.fixture
def textures(structures):
    """Its renderer loads compiled parts that may not fit this torch; coordinates need none of it."""
    try:
        import pytorch3d.renderer
    except ImportError as error:
        pytest.skip(f"pytorch3d.renderer does not load: {error}")
    return pytorch3d.renderer


def boxes() -> list[trimesh.Trimesh]:
    """Two meshes of different sizes with normals and no colours."""
    shapes = [Box().mesh(), painted_mesh()]
    rng = np.random.default_rng(1)
    return [
        trimesh.Trimesh(shape.vertices, shape.faces, vertex_normals=tilted(shape.vertices, rng), process=False)
        for shape in shapes
    ]


def test_meshes_there_and_back(structures):
    meshes = boxes()
    batch = to_pytorch3d(meshes, normals=True)
    assert isinstance(batch, structures.Meshes)
    assert batch.num_verts_per_mesh().tolist() == [len(mesh.vertices) for mesh in meshes]
    assert batch.verts_packed().dtype == torch.float32
    assert batch.faces_packed().dtype == torch.int64
    for mesh, back in zip(meshes, from_pytorch3d(batch), strict=True):
        assert_same(mesh, back, single=True)


def test_their_areas_are_ours(structures):
    batch = to_pytorch3d(boxes())
    corners = batch.verts_packed()[batch.faces_packed()]
    doubled = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    areas = torch.zeros(2).index_add(0, batch.mesh_to_faces_packed_first_idx().new_tensor(_owners(batch)), doubled / 2)
    assert areas.tolist() == pytest.approx([mesh.area for mesh in boxes()], rel=1e-5)


def test_colours_there_and_back(textures):
    meshes = [painted_mesh(0), painted_mesh(1)]
    batch = to_pytorch3d(meshes, normals=True)
    assert isinstance(batch.textures, textures.TexturesVertex)
    for mesh, back in zip(meshes, from_pytorch3d(batch), strict=True):
        assert_same(mesh, back, single=True)


def test_clouds_there_and_back(structures):
    clouds = [painted_cloud(0), painted_cloud(1)]
    clouds[1] = trimesh.PointCloud(clouds[1].vertices[:7], clouds[1].colors[:7], {"normals": np.eye(3)[[0] * 7]})
    batch = to_pytorch3d(clouds)
    assert isinstance(batch, structures.Pointclouds)
    for cloud, back in zip(clouds, from_pytorch3d(batch), strict=True):
        assert_same(cloud, back, single=True)


def test_what_is_not_carried_is_not_made_up(structures):
    points = np.random.default_rng(0).normal(size=(5, 3))
    looked_at = Box().mesh()
    assert len(looked_at.vertex_normals) == 8
    assert all(bare(shape) for shape in from_pytorch3d(to_pytorch3d([Box().mesh(), looked_at, boxes()[1]])))
    (cloud,) = from_pytorch3d(to_pytorch3d([points]))
    assert bare(cloud)
    np.testing.assert_array_equal(cloud.vertices, points.astype(np.float32))


def test_normals_that_no_one_gave_are_computed(structures):
    given, plain = boxes()[1], Box().mesh()
    batch = to_pytorch3d([given, plain], normals=True)
    np.testing.assert_array_equal(batch.verts_normals_list()[0], given.vertex_normals.astype(np.float32))
    np.testing.assert_allclose(batch.verts_normals_list()[1], Box().mesh().vertex_normals, atol=1e-6)


def test_colours_of_some_are_refused(structures):
    with pytest.raises(ValueError, match="shapes must all have colours or none, given 1 of 2 with colours"):
        to_pytorch3d([painted_mesh(), Box().mesh()])


def test_meshes_and_clouds_do_not_mix(structures, unchecked_shapes):
    with pytest.raises(TypeError, match="meshes or clouds, given 1 meshes and 1 clouds"):
        to_pytorch3d([painted_mesh(), painted_cloud()])
    with pytest.raises(TypeError, match="Meshes or Pointclouds, given a list"):
        from_pytorch3d([])


def test_features_that_are_no_colours_are_left_out_aloud(structures, caplog):
    clouds = structures.Pointclouds([torch.rand(4, 3)], features=[torch.rand(4, 8)])
    assert bare(from_pytorch3d(clouds)[0])
    assert "features of 8 numbers are left out" in caplog.text


def test_without_the_library_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.setitem(sys.modules, "pytorch3d.structures", None)
    with pytest.raises(LibraryMissing, match="to_pytorch3d needs pytorch3d: pip install"):
        to_pytorch3d([Box().mesh()])


def _owners(batch) -> list[int]:
    """Which mesh of a batch each of its faces belongs to."""
    return [i for i, faces in enumerate(batch.faces_list()) for _ in range(len(faces))]
