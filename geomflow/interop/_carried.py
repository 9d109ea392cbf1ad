"""What a mesh or a cloud carries beside its geometry, as every library's file wants it: normals and colours.

A mesh does not tell normals that it was given from those that it computed when somebody asked, so its normals are
carried where the caller wants them. `trimesh.PointCloud` has no place for normals; here they stand in its metadata,
under `normals`, and are always carried.
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


def normals_of(shape: Shape, of_meshes: bool) -> Float[np.ndarray, "n 3"] | None:
    """Return a mesh's vertex normals if they are wanted, a cloud's if it has some, else None."""
    if isinstance(shape, trimesh.PointCloud):
        normals = shape.metadata.get(NORMALS)
        return None if normals is None else np.asarray(normals, dtype=np.float64)
    return np.array(shape.vertex_normals) if of_meshes else None


def colors_of(shape: Shape, kind: str = "vertex") -> UInt8[np.ndarray, "n 4"] | None:
    """Return red, green, blue and opacity of the vertices, or of the faces, None if they have none of their own."""
    visual: Any = shape.visual
    if visual is None or visual.kind != kind:
        return None
    colors = np.array(visual.face_colors if kind == "face" else visual.vertex_colors)
    return colors if len(colors) else None  # a cloud without colours says that it has none of them


def warn_of_colors(shape: Shape, library: str, faces: bool = False) -> None:
    """Log that a shape has a texture, or colours of faces where a library takes none, which are left out."""
    kind, taken = getattr(shape.visual, "kind", None), "vertices and faces" if faces else "vertices"
    if kind == "texture" or (kind == "face" and not faces):
        logger.warning("%s gets colours of %s only: those of the mesh's %s are left out", library, taken, kind)


def warn_of_attributes(shape: Shape, library: str) -> None:
    """Log that a shape has named attributes of vertices or faces, which are left out."""
    names = [name for kind in ("vertex", "face") for name in getattr(shape, f"{kind}_attributes", {})]
    if names:
        logger.warning("%s gets no named attributes: %s left out", library, ", ".join(names))


def vertex_colors_of(shape: Shape, library: str) -> UInt8[np.ndarray, "n 4"] | None:
    """Return the vertices' colours for a library that knows nothing else; what else there is, is warned of."""
    warn_of_colors(shape, library)
    warn_of_attributes(shape, library)
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
