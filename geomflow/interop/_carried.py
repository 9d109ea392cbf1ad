"""What a mesh or a cloud carries beside its geometry, as every library's file wants it: normals and colours.

Vertex normals are those that trimesh's own writers would write: given ones, or ones that were asked for before.
`trimesh.PointCloud` has no place for normals; here they stand in its metadata, under `normals`.
"""

import logging
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Num, Shaped, UInt8

logger = logging.getLogger("geomflow")

Shape = trimesh.Trimesh | trimesh.PointCloud
NORMALS = "normals"
"""Name of a cloud's normals in its metadata."""


def shape_of(shape: Any) -> Shape:
    """Return a mesh or a cloud as it is, an array of points (n, 3) as a cloud.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(shape, Shape):
        return shape
    if isinstance(shape, np.ndarray) and shape.ndim == 2 and shape.shape[1] == 3:
        return trimesh.PointCloud(shape)
    given = f"an array of shape {shape.shape}" if isinstance(shape, np.ndarray) else f"a {type(shape).__name__}"
    raise TypeError(
        f"shape must be a trimesh.Trimesh, a trimesh.PointCloud or an array of points (n, 3), given {given}"
    )


def normals_of(shape: Shape) -> Float[np.ndarray, "n 3"] | None:
    """Return the normals of the vertices, None if there are none."""
    if isinstance(shape, trimesh.PointCloud):
        normals = shape.metadata.get(NORMALS)
        return None if normals is None else np.asarray(normals, dtype=np.float64)
    return np.array(shape.vertex_normals) if "vertex_normals" in shape._cache else None


def colors_of(shape: Shape, kind: str = "vertex") -> UInt8[np.ndarray, "n 4"] | None:
    """Return red, green, blue and opacity of the vertices, or of the faces, None if they have none of their own."""
    visual: Any = shape.visual
    if visual is None or visual.kind != kind:
        return None
    colors = np.array(visual.face_colors if kind == "face" else visual.vertex_colors)
    return colors if len(colors) else None  # a cloud without colours says that it has none of them


def vertex_colors_of(shape: Shape, library: str) -> UInt8[np.ndarray, "n 4"] | None:
    """Return the vertices' colours for a library that knows no others; others are left out with a warning."""
    kind = getattr(shape.visual, "kind", None)
    if kind in ("face", "texture"):
        logger.warning("%s gets colours of vertices only: those of the mesh's %s are left out", library, kind)
    return colors_of(shape)


def shares(colors: UInt8[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return colours as shares from 0 to 1."""
    return colors / 255


def color_bytes(shares: Num[np.ndarray, "n c"]) -> UInt8[np.ndarray, "n c"]:
    """Return colours as bytes, of shares from 0 to 1."""
    return (255 * np.clip(shares, 0, 1)).round().astype(np.uint8)


def cloud_with(
    points: Num[np.ndarray, "n 3"],
    normals: Num[np.ndarray, "n 3"] | None = None,
    colors: Shaped[np.ndarray, "n c"] | None = None,
) -> trimesh.PointCloud:
    """Return a cloud that carries what is given."""
    told = {} if normals is None else {NORMALS: np.array(normals, dtype=np.float64)}
    return trimesh.PointCloud(np.array(points, dtype=np.float64), colors=colors, metadata=told)


def mesh_with(
    points: Num[np.ndarray, "n 3"],
    faces: Shaped[np.ndarray, "m 3"],
    normals: Num[np.ndarray, "n 3"] | None = None,
    colors: Shaped[np.ndarray, "n c"] | None = None,
) -> trimesh.Trimesh:
    """Return a mesh that carries what is given."""
    arrays = np.array(points, dtype=np.float64), np.asarray(faces).astype(np.int64)
    return trimesh.Trimesh(*arrays, vertex_normals=normals, vertex_colors=colors, process=False)
