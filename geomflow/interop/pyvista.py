"""Meshes, clouds and grids to PyVista and back, with normals, colours and every named attribute."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from trimesh.visual import ColorVisuals

from geomflow.geometry.grid import SdfGrid
from geomflow.interop._carried import (
    Shape,
    cloud_with,
    colors_of,
    logger,
    mesh_with,
    normals_of,
    shape_of,
    warn_of_colors,
)
from geomflow.libraries import library

NORMALS, COLORS, SDF = "Normals", ("RGBA", "RGB"), "sdf"
"""Names of the arrays that normals, colours (bytes) and signed distances are kept under."""


def to_pyvista(
    shape: trimesh.Trimesh | trimesh.PointCloud | Float[np.ndarray, "n 3"] | SdfGrid, normals: bool = False
) -> Any:
    """Return a mesh, a cloud or an array of points as `pyvista.PolyData`, a grid as `pyvista.ImageData`.

    Coordinates keep their type. Normals are the active normals of the points, colours the array `RGBA` of points or
    cells, signed distances the array `sdf`; vertex and face attributes keep their names. A texture is
    left out with a logged warning.

    Args:
        shape: A mesh, a cloud, points (n, 3), or a grid of signed distances.
        normals: Whether a mesh's vertex normals go with it: given ones, else trimesh computes them. Those of
            a cloud always do.

    Raises:
        TypeError: The shape is none of these.
        LibraryMissing: PyVista is not installed.
    """
    pyvista = library("pyvista", "to_pyvista", "geomflow[viz]")
    if isinstance(shape, SdfGrid):
        image = pyvista.ImageData(dimensions=shape.values.shape, spacing=shape.spacing, origin=shape.lower)
        image.point_data[SDF] = shape.values.ravel(order="F")
        return image
    shape = shape_of(shape)
    if isinstance(shape, trimesh.Trimesh):
        theirs = pyvista.PolyData.from_regular_faces(np.array(shape.vertices), np.array(shape.faces))
    else:
        theirs = pyvista.PolyData(np.array(shape.vertices))
    _attach(theirs, shape, normals)
    return theirs


def from_pyvista(dataset: Any) -> Shape | SdfGrid:
    """Return PolyData with faces as `trimesh.Trimesh`, without as `trimesh.PointCloud`, ImageData as `SdfGrid`.

    Polygons are triangulated by VTK; cell data follow. A grid's values are its array `sdf`, else its active scalars.
    Of a cloud, normals go into the metadata under `normals`, and arrays beside them and colours are left
    out with a logged warning, as are those of a grid beside its values and colours of cells beside those of points.

    Args:
        dataset: PyVista's.

    Raises:
        TypeError: It is neither PolyData nor ImageData.
        ValueError: There are lines, strips or loose points beside faces, polygons that VTK cannot triangulate, or no
            scalars at the points of an image.
        LibraryMissing: PyVista is not installed.
    """
    pyvista = library("pyvista", "from_pyvista", "geomflow[viz]")
    if isinstance(dataset, pyvista.ImageData):
        return _grid(dataset)
    if not isinstance(dataset, pyvista.PolyData):
        given = type(dataset).__name__
        raise TypeError(f"dataset must be PolyData or ImageData (others have extract_surface), given {given}")
    surface = _triangulated(dataset)
    points, cells = dict(surface.point_data.items()), dict(surface.cell_data.items())
    normals, colors = points.pop(surface.point_data.active_normals_name, None), _popped(points, COLORS)
    if not dataset.faces.size:
        _warn_of_arrays([*points, *cells], "a cloud keeps normals and colours of points")
        return cloud_with(surface.points, normals, colors)
    mesh = mesh_with(surface.points, surface.regular_faces, normals, colors)
    painted = _popped(cells, COLORS)
    if painted is not None and colors is not None:
        _warn_of_arrays([COLORS[0]], "a mesh keeps colours of vertices or of faces")
    elif painted is not None:
        mesh.visual = ColorVisuals(mesh, face_colors=painted)
    mesh.vertex_attributes.update({name: np.array(values) for name, values in points.items()})
    mesh.face_attributes.update({name: np.array(values) for name, values in cells.items()})
    return mesh


def _attach(theirs: Any, shape: Shape, normals: bool) -> None:
    """Put what a shape carries beside its geometry on PolyData."""
    warn_of_colors(shape, "PyVista", faces=True)
    for kind, data in (("vertex", theirs.point_data), ("face", theirs.cell_data)):
        for name, values in getattr(shape, f"{kind}_attributes", {}).items():
            data[name] = np.array(values)
        colors = colors_of(shape, kind)
        if colors is not None:
            data[COLORS[0]] = colors
    carried = normals_of(shape, normals)
    if carried is not None:
        theirs.point_data[NORMALS] = carried
        theirs.point_data.active_normals_name = NORMALS


def _triangulated(dataset: Any) -> Any:
    """PolyData whose faces are triangles.

    Raises:
        ValueError: There is more than faces, or a polygon that VTK cannot triangulate.
    """
    corners, faces = dataset.faces.size, dataset.n_cells
    if dataset.n_lines or dataset.n_strips or (corners and dataset.n_verts):
        given = f"{dataset.n_lines} lines, {dataset.n_strips} strips and {dataset.n_verts} points beside them"
        raise ValueError(f"dataset must have faces alone or points alone, given {given}")
    if not corners or dataset.is_all_triangles:
        return dataset
    surface, triangles = (
        dataset.triangulate(),
        corners - 3 * faces,
    )  # a face of k corners: k + 1 numbers, k - 2 triangles
    if surface.n_cells != triangles:
        given = f"{surface.n_cells} triangles instead of {triangles}"
        raise ValueError(f"dataset must have polygons that VTK can triangulate, given some that make {given}")
    return surface


def _grid(image: Any) -> SdfGrid:
    """An image as a grid."""
    name = SDF if SDF in image.point_data else image.point_data.active_scalars_name
    values = image.point_data.get(name) if name else None
    if values is None or values.ndim != 1:
        raise ValueError(f"dataset must have scalars at its points, given {', '.join(image.point_data) or 'none'}")
    _warn_of_arrays([other for other in image.array_names if other != name], "a grid keeps one array of its points")
    lower, upper = np.array(image.bounds, dtype=np.float64).reshape(3, 2).T
    return SdfGrid(np.array(values).reshape(image.dimensions, order="F"), lower, upper)


def _warn_of_arrays(names: Sequence[str], kept: str) -> None:
    """Log that arrays are left out of what is kept."""
    if names:
        logger.warning("%s: %s left out", kept, ", ".join(names))


def _popped(named: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    """The first array of some names that is there, taken out."""
    return next((np.array(named.pop(name)) for name in names if name in named), None)
