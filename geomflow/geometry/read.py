"""Mesh files to trimesh objects: OBJ, PLY, OFF, STL, GLB, glTF, NPY, NPZ; problems are geomflow errors naming the file.

Only positions and faces are read, straight into float64 and int64 arrays: no materials, no textures, no merging and no
reordering. Every count that a header declares is held against the bytes that are there before anything is allocated, so
a file of a few hundred bytes cannot ask for gigabytes. Polygons are cut into fans from their first corner.

Each format has its reader in `_read_*.py`; it returns vertices (n, 3) and faces (m, 3), and `_surface` judges them.
"""

from pathlib import Path

import numpy as np
import trimesh

from geomflow.errors import (
    MeshDegenerate,
    MeshEmpty,
    MeshHasNoFaces,
    MeshMissing,
    MeshNotFinite,
    MeshTooLarge,
    MeshUnsupported,
)
from geomflow.geometry._file_errors import file_errors
from geomflow.geometry._mesh_arrays import Arrays, in_range
from geomflow.geometry._read_gltf import read_gltf
from geomflow.geometry._read_npy import read_npy
from geomflow.geometry._read_npz import read_npz
from geomflow.geometry._read_ply import read_ply
from geomflow.geometry._read_stl import read_stl
from geomflow.geometry._read_text import read_obj, read_off

MAX_BYTES = 1 << 29
_SMALLEST_AREA = 1e-12  # of the squared extent: rounding leaves collinear points that much
_STRETCH = 1 << 16


def read_mesh(path: str | Path, max_bytes: int = MAX_BYTES) -> trimesh.Trimesh | trimesh.PointCloud:
    """Return the surface of a mesh file, or its points if it holds nothing else, in the file's own frame and unit.

    Scene graphs are flattened with their transforms; skins and morph targets stay in the pose of the stored positions.
    Vertices keep the file's order and are not merged. Left out: lines, faces of fewer than three corners, unused
    vertices that are not finite, and unused glTF vertices where there are more vertices than corners.

    Args:
        path: An .obj, .ply, .off, .stl, .glb or .gltf file, an .npy array of points (n, 3) or an .npz rig
            (docs/formats.md), in any letter case.
        max_bytes: Largest file, and largest flattened scene, that may be read.

    Raises:
        MeshMissing: There is no such file.
        MeshUnsupported: Another format, or one that needs a decoder that geomflow does not have (Draco, meshopt).
        MeshUnreadable: The content is not what the suffix says.
        MeshTooLarge: The file is larger than `max_bytes`, or declares more than its bytes can hold.
        MeshEmpty: There are neither faces nor points.
        MeshIndexOutOfRange: A face names a vertex that does not exist.
        MeshNotFinite: A face or point has a NaN or infinite coordinate.
        MeshDegenerate: There is no extent or no area.
    """
    path = Path(path)
    with file_errors(path):
        return _surface(*_parse(path, max_bytes))


def read_surface(path: str | Path, max_bytes: int = MAX_BYTES) -> trimesh.Trimesh:
    """Return `read_mesh(path)` where only a mesh with faces will do.

    Args:
        path: The file.
        max_bytes: Size beyond which a file is refused.

    Raises:
        MeshHasNoFaces: The file holds only points.
        MeshError: Everything that `read_mesh` raises.
    """
    mesh = read_mesh(path, max_bytes)
    if isinstance(mesh, trimesh.PointCloud):
        raise MeshHasNoFaces(f"{path}: wanted a mesh with faces, found {len(mesh.vertices)} points only")
    return mesh


def _parse(path: Path, max_bytes: int) -> Arrays:
    if not path.is_file():
        raise MeshMissing(f"wanted a file, found {'something else' if path.exists() else 'nothing'} of that name")
    if path.suffix.lower() not in _READERS:
        raise MeshUnsupported(f"wanted one of {', '.join(SUFFIXES)}, found {path.suffix or 'no suffix'!r}")
    if path.stat().st_size > max_bytes:
        raise MeshTooLarge(f"wanted at most {max_bytes} bytes (max_bytes), found {path.stat().st_size}")
    data = path.read_bytes()
    if not data:
        raise MeshEmpty("wanted a mesh, found 0 bytes")
    return _READERS[path.suffix.lower()](data, path.parent, max_bytes)


def _surface(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh | trimesh.PointCloud:
    if not len(vertices):
        raise MeshEmpty("wanted a mesh, found neither faces nor points")
    named = np.full(len(vertices), not len(faces))
    named[in_range(faces, len(vertices))] = True
    finite = np.isfinite(vertices).all(axis=1)
    bad = np.count_nonzero(named & ~finite)
    if bad:
        raise MeshNotFinite(f"wanted finite coordinates, found NaN or infinity in {bad} of {len(vertices)} vertices")
    extent = _extent(vertices[named])
    if not len(faces):
        return trimesh.PointCloud(vertices)
    if not _has_area(vertices, faces, extent):
        raise MeshDegenerate(f"wanted a surface, found {len(faces)} faces without area")
    if not finite.all():
        vertices, faces = vertices[finite], (np.cumsum(finite) - 1)[faces]
    return trimesh.Trimesh(vertices, faces, process=False)


def _extent(vertices: np.ndarray) -> float:
    extent = float(np.ptp(vertices, axis=0).max())
    if not np.isfinite(extent):
        raise MeshNotFinite("wanted a finite extent, found one beyond double precision")
    if extent == 0:
        raise MeshDegenerate("wanted a positive extent, found all coordinates equal")
    return extent


def _has_area(vertices: np.ndarray, faces: np.ndarray, extent: float) -> bool:
    """Whether any stretch of faces has area; a good mesh says so at the first stretch."""
    for start in range(0, len(faces), _STRETCH):
        corners = vertices[faces[start : start + _STRETCH]]
        edges = (corners[:, 1:] - corners[:, :1]) / extent
        if np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum() > 2 * _SMALLEST_AREA:
            return True
    return False


_READERS = {
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply,
    ".stl": read_stl,
}
SUFFIXES = tuple(_READERS)
"""Endings of files that may hold meshes."""

POINT_SUFFIXES = (".npy",)
"""Endings of files that hold points only."""

ARRAY_SUFFIXES = (".npz",)
"""Endings of files that are taken for meshes only where rigs are wanted: most others of that name hold no mesh."""

_READERS |= {".npy": read_npy, ".npz": read_npz}
