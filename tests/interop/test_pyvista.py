"""PyVista: surfaces, clouds and grids, there and back, and polygons on the way."""

import sys

import numpy as np
import pytest
import trimesh

from geomflow.errors import LibraryMissing
from geomflow.geometry import SdfGrid, extract_mesh, sdf_grid
from geomflow.geometry.primitives import Box, Sphere
from geomflow.interop import from_pyvista, to_pyvista
from tests.interop.shapes import assert_same, bare, library, painted_cloud, painted_mesh, textured_mesh


@pytest.fixture
def pyvista():
    return library("pyvista", "pyvista")


@pytest.mark.parametrize("shape", [painted_mesh(), painted_cloud()], ids=["mesh", "cloud"])
def test_there_and_back(pyvista, shape):
    assert_same(shape, from_pyvista(to_pyvista(shape, normals=True)))


def test_attributes_keep_their_names_and_types(pyvista):
    mesh, rng = painted_mesh(), np.random.default_rng(0)
    mesh.vertex_attributes["label"] = rng.integers(9, size=len(mesh.vertices)).astype(np.int16)
    mesh.face_attributes["part"] = rng.normal(size=(len(mesh.faces), 2))
    back = from_pyvista(to_pyvista(mesh))
    assert back.vertex_attributes.keys() == {"label"}
    assert back.face_attributes.keys() == {"part"}
    assert back.vertex_attributes["label"].dtype == np.int16
    np.testing.assert_array_equal(back.vertex_attributes["label"], mesh.vertex_attributes["label"])
    np.testing.assert_array_equal(back.face_attributes["part"], mesh.face_attributes["part"])


def test_colours_of_faces_there_and_back(pyvista):
    mesh = Box().mesh()
    mesh.visual.face_colors = np.random.default_rng(0).integers(0, 256, (len(mesh.faces), 4), dtype=np.uint8)
    back = from_pyvista(to_pyvista(mesh))
    assert back.visual.kind == "face"
    np.testing.assert_array_equal(back.visual.face_colors, mesh.visual.face_colors)


def test_what_pyvista_sees(pyvista):
    mesh = painted_mesh()
    theirs = to_pyvista(mesh, normals=True)
    assert theirs.is_manifold
    assert theirs.volume == pytest.approx(mesh.volume, rel=1e-9)
    np.testing.assert_array_equal(theirs.point_data.active_normals, mesh.vertex_normals)
    np.testing.assert_array_equal(theirs["RGBA"], mesh.visual.vertex_colors)


def test_what_is_not_carried_is_not_made_up(pyvista):
    points = np.random.default_rng(0).normal(size=(5, 3))
    box = Box().mesh()
    assert len(box.vertex_normals) == 8  # somebody looked at them
    assert bare(from_pyvista(to_pyvista(box)))
    assert bare(from_pyvista(to_pyvista(points)))
    np.testing.assert_array_equal(from_pyvista(to_pyvista(points)).vertices, points)


def test_normals_that_no_one_gave_are_computed(pyvista):
    normals = to_pyvista(Sphere(0.5).mesh(), normals=True).point_data.active_normals
    np.testing.assert_allclose(normals, Sphere(0.5).mesh().vertices / 0.5, atol=0.05)


def test_a_texture_is_left_out_aloud(pyvista, caplog):
    assert "RGBA" not in to_pyvista(textured_mesh()).point_data
    assert caplog.messages == [
        "PyVista gets colours of vertices and faces only: those of the mesh's texture are left out"
    ]


def test_what_keeps_all_is_silent(pyvista, caplog):
    mesh = Box().mesh()
    mesh.visual.face_colors = np.full((12, 4), [1, 2, 3, 255], dtype=np.uint8)
    mesh.vertex_attributes["heat"] = np.arange(8.0)
    for shape in (mesh, painted_mesh(), painted_cloud(), sdf_grid(Sphere(0.6).mesh(), 8)):
        from_pyvista(to_pyvista(shape, normals=True))
    assert caplog.messages == []


def test_arrays_without_a_place_are_left_out_aloud(pyvista, caplog):
    cloud = to_pyvista(painted_cloud())
    cloud["heat"] = np.arange(cloud.n_points)
    assert_same(painted_cloud(), from_pyvista(cloud))
    mesh = to_pyvista(painted_mesh(), normals=True)
    mesh.cell_data["RGBA"] = np.zeros((mesh.n_cells, 4), dtype=np.uint8)
    assert_same(painted_mesh(), from_pyvista(mesh))
    image = to_pyvista(SdfGrid(np.zeros((2, 2, 2), dtype=np.float32), -np.ones(3), np.ones(3)))
    image["heat"] = np.arange(8.0)
    assert not from_pyvista(image).values.any()
    assert caplog.messages == [
        "a cloud keeps normals and colours of points: heat left out",
        "a mesh keeps colours of vertices or of faces: RGBA left out",
        "a grid keeps one array of its points: heat left out",
    ]


def test_the_copy_is_a_copy(pyvista):
    mesh = painted_mesh()
    theirs = to_pyvista(mesh, normals=True)
    theirs.points[:] = 0
    theirs["RGBA"][:] = 0
    theirs.point_data.active_normals[:] = 0
    assert_same(painted_mesh(), mesh)


def test_a_value_of_a_grid_stays_where_it_was(pyvista):
    rng = np.random.default_rng(0)
    grid = SdfGrid(rng.normal(size=(3, 4, 5)).astype(np.float32), np.array([-1.0, 0.0, 2.0]), np.array([1.0, 3.0, 2.5]))
    image = to_pyvista(grid)
    assert image.dimensions == (3, 4, 5)
    for i, j, k in [(0, 0, 0), (2, 0, 0), (0, 3, 0), (0, 0, 4), (1, 2, 3)]:
        place = grid.lower + grid.spacing * (i, j, k)
        assert image["sdf"][image.find_closest_point(place)] == grid.values[i, j, k]
    back = from_pyvista(image)
    assert back.values.dtype == np.float32
    np.testing.assert_array_equal(back.values, grid.values)
    np.testing.assert_allclose([back.lower, back.upper], [grid.lower, grid.upper], rtol=1e-15)


def test_their_contour_of_our_grid_is_our_surface(pyvista):
    grid = sdf_grid(Sphere(0.6).mesh(), 24)
    contour = from_pyvista(to_pyvista(grid).contour([0.0]))
    assert contour.is_watertight
    assert contour.volume == pytest.approx(-extract_mesh(grid).volume, rel=1e-6)  # VTK winds them towards lower values


def test_a_grid_may_name_its_values_otherwise(pyvista):
    image = pyvista.ImageData(dimensions=(2, 3, 2))
    with pytest.raises(ValueError, match="dataset must have scalars at its points, given none"):
        from_pyvista(image)
    image["distance"] = np.arange(12.0)
    np.testing.assert_array_equal(from_pyvista(image).values[:, 0, 0], [0, 1])


def test_squares_become_triangles_and_keep_what_they_carry(pyvista):
    box = pyvista.Box((-1, 1, -2, 2, -3, 3))
    box.cell_data["side"] = np.arange(6)
    mesh = from_pyvista(box)
    assert mesh.faces.shape == (12, 3)
    assert mesh.volume == pytest.approx(48)
    assert sorted(mesh.face_attributes["side"]) == sorted(2 * list(range(6)))
    along = np.abs(mesh.face_normals).argmax(axis=1)
    assert {(int(side), int(axis)) for side, axis in zip(mesh.face_attributes["side"], along, strict=True)} == {
        (side, side // 2) for side in range(6)
    }


def test_a_polygon_that_is_not_convex_is_cut_right(pyvista):
    corners = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [1, 0.5, 0], [0, 2, 0]], dtype=float)
    assert from_pyvista(pyvista.PolyData(corners, faces=[5, 0, 1, 2, 3, 4])).area == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"lines": [2, 0, 1]}, "1 lines, 0 strips and 0 points"),
        ({"faces": [3, 0, 1, 2], "verts": [1, 3]}, "0 lines, 0 strips and 1 points"),
        ({"strips": [4, 0, 1, 2, 3]}, "0 lines, 1 strips and 0 points"),
    ],
)
def test_what_is_more_than_faces_is_refused(pyvista, options, given):
    with pytest.raises(ValueError, match=f"faces alone or points alone, given {given}"):
        from_pyvista(pyvista.PolyData(np.eye(4, 3), **options))


def test_a_polygon_that_cannot_be_cut_is_refused(pyvista):
    crossed = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=float)
    with pytest.raises(ValueError, match="dataset must have polygons that VTK can triangulate"):
        from_pyvista(pyvista.PolyData(crossed, faces=[5, 0, 1, 2, 3, 4]))


def test_other_datasets_are_refused(pyvista):
    with pytest.raises(TypeError, match=r"PolyData or ImageData .* given UnstructuredGrid"):
        from_pyvista(pyvista.UnstructuredGrid())


def test_without_the_library_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(LibraryMissing, match=r"to_pyvista needs pyvista: pip install 'geomflow\[viz\]'"):
        to_pyvista(trimesh.creation.box())
