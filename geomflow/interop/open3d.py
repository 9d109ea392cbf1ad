"""Meshes and clouds to Open3D and back, with their normals and the colours of their vertices."""

from types import ModuleType
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.interop._carried import (
    Shape,
    cloud_with,
    color_bytes,
    logger,
    mesh_with,
    normals_of,
    shape_of,
    shares,
    vertex_colors_of,
)
from geomflow.libraries import library


def to_open3d(shape: trimesh.Trimesh | trimesh.PointCloud | Float[np.ndarray, "n 3"], normals: bool = False) -> Any:
    """Return a mesh as `open3d.geometry.TriangleMesh`, a cloud or an array of points as `open3d.geometry.PointCloud`.

    Coordinates stay float64. Colours lose their opacity, which Open3D does not know.

    Args:
        shape: A mesh, a cloud, or points (n, 3).
        normals: Whether a mesh's vertex normals go with it: given ones, else trimesh computes them. Those of
            a cloud always do.

    Raises:
        TypeError: The shape is none of these.
        LibraryMissing: Open3D is not installed.
    """
    open3d, ours = _open3d("to_open3d"), shape_of(shape)
    rows = open3d.utility.Vector3dVector
    if isinstance(ours, trimesh.Trimesh):
        corners = open3d.utility.Vector3iVector(np.asarray(ours.faces, dtype=np.int32))
        theirs, of = open3d.geometry.TriangleMesh(rows(np.asarray(ours.vertices)), corners), "vertex_"
    else:
        theirs, of = open3d.geometry.PointCloud(rows(np.asarray(ours.vertices))), ""
    carried, colors = normals_of(ours, normals), vertex_colors_of(ours, "Open3D")
    if carried is not None:
        setattr(theirs, f"{of}normals", rows(carried))
    if colors is not None:
        setattr(theirs, f"{of}colors", rows(shares(colors[:, :3])))
    return theirs


def from_open3d(shape: Any) -> Shape:
    """Return an Open3D mesh as `trimesh.Trimesh`, a cloud as `trimesh.PointCloud`; tensor geometries, too.

    Normals of a cloud are put into its metadata, under `normals`. Those of triangles are left behind, textures
    with a logged warning.

    Args:
        shape: Open3D's, legacy or tensor.

    Raises:
        TypeError: It is neither a triangle mesh nor a cloud.
        LibraryMissing: Open3D is not installed.
    """
    open3d = _open3d("from_open3d")
    theirs = shape.to_legacy() if hasattr(shape, "to_legacy") else shape
    if isinstance(theirs, open3d.geometry.TriangleMesh):
        if theirs.has_triangle_uvs():
            logger.warning("the texture of an Open3D mesh is left out: colours of vertices are kept")
        carried = _rows(theirs, "vertex_normals"), _colors(theirs, "vertex_colors")
        return mesh_with(np.asarray(theirs.vertices), np.asarray(theirs.triangles), *carried)
    if isinstance(theirs, open3d.geometry.PointCloud):
        return cloud_with(np.asarray(theirs.points), _rows(theirs, "normals"), _colors(theirs, "colors"))
    raise TypeError(f"shape must be an Open3D TriangleMesh or PointCloud, given a {type(shape).__name__}")


def _rows(shape: Any, name: str) -> np.ndarray | None:
    """What a shape has of a name, None if it has none."""
    return np.asarray(getattr(shape, name)) if getattr(shape, f"has_{name}")() else None


def _colors(shape: Any, name: str) -> np.ndarray | None:
    """Its colours of a name as bytes, None if it has none."""
    found = _rows(shape, name)
    return None if found is None else color_bytes(found)


def _open3d(function: str) -> ModuleType:
    return library("open3d", function, "geomflow[open3d]")
