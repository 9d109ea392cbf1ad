"""Reader of the surface of a glTF 2.0 or GLB file: every primitive where its nodes put it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from geomflow.errors import MeshTooLarge, MeshUnreadable
from geomflow.geometry._gltf_tree import Gltf, Place, open_gltf
from geomflow.geometry._mesh_arrays import NO_FACES, Arrays, fans, in_range

_POINTS, _LINES, _TRIANGLES, _STRIP, _FAN = 0, (1, 2, 3), 4, 5, 6


def read_gltf(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of a glTF or GLB file's scene, every node's transform applied."""
    return _joined(surface_parts(open_gltf(data, folder, max_bytes)))


class Primitive(NamedTuple):
    """A primitive in its mesh's frame.

    Attributes:
        entry: What the tree says of it.
        rows: Which of its vertices are kept.
        arrays: The kept vertices, and the faces between them.
    """

    entry: dict[str, Any]
    rows: np.ndarray | slice
    arrays: Arrays


class Part(NamedTuple):
    """A primitive in the scene's frame, as one node places it (node -1 in files without nodes)."""

    node: int
    primitive: Primitive
    arrays: Arrays


def surface_parts(gltf: Gltf) -> list[Part]:
    """The parts, in order, whose vertices are the surface's: those with faces, or all if none has any."""
    parts = list(_limited(_parts(gltf), gltf.max_bytes))
    return [part for part in parts if len(part.arrays.faces)] or parts


def _parts(gltf: Gltf) -> Iterator[Part]:
    """Every primitive of every node with a mesh."""
    made: dict[int, list[Primitive]] = {}
    for place, mesh in _placed_meshes(gltf):
        if mesh not in made:
            made[mesh] = list(_limited(_primitives(gltf, gltf.entry("meshes", mesh)), gltf.max_bytes))
        for primitive in made[mesh]:
            yield Part(place.node, primitive, _transformed(primitive.arrays, place.matrix))


def _placed_meshes(gltf: Gltf) -> Iterator[tuple[Place, int]]:
    """Place and mesh index of each node that has a mesh; without nodes, each mesh as it is."""
    if not gltf.tree.get("nodes"):
        yield from ((Place(-1, -1, np.eye(4)), mesh) for mesh in range(len(gltf.tree.get("meshes", []))))
    for place in gltf.walk():
        node = gltf.entry("nodes", place.node)
        if "mesh" in node:
            yield place, node["mesh"]


_Item = TypeVar("_Item", Part, Primitive)


def _limited(parts: Iterable[_Item], max_bytes: int) -> Iterator[_Item]:
    """The parts, as long as all of them together stay below `max_bytes`."""
    size = 0
    for part in parts:
        size += part.arrays.vertices.nbytes + part.arrays.faces.nbytes
        if size > max_bytes:
            raise MeshTooLarge(f"wanted a scene of at most {max_bytes} bytes (max_bytes), found more")
        yield part


def _primitives(gltf: Gltf, mesh: dict[str, Any]) -> Iterator[Primitive]:
    """Points and triangles of a mesh; lines are skipped."""
    for entry in mesh["primitives"]:
        mode = entry.get("mode", _TRIANGLES)
        if "POSITION" not in entry["attributes"] or mode in _LINES:
            continue
        vertices = gltf.numbers(entry["attributes"]["POSITION"]).astype(np.float64)
        if vertices.shape[1] != 3:
            raise MeshUnreadable(f"wanted positions of 3 coordinates, found {vertices.shape[1]}")
        if mode == _POINTS:
            yield Primitive(entry, slice(None), Arrays(vertices, NO_FACES))
            continue
        corners = gltf.numbers(entry["indices"])[:, 0] if "indices" in entry else np.arange(len(vertices))
        faces = in_range(_assembled(corners.astype(np.int64), mode), len(vertices))
        yield _used(entry, vertices, faces)


def _assembled(corners: np.ndarray, mode: int) -> np.ndarray:
    """Triangles (m, 3) of a list, a strip or a fan; what is left of a list is ignored, as drawing does."""
    if mode == _TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if mode not in (_STRIP, _FAN):
        raise MeshUnreadable(f"wanted a primitive mode from 0 to 6, found {mode}")
    if len(corners) < 3:
        return NO_FACES
    if mode == _FAN:
        return fans(corners, np.array([len(corners)]))
    faces = np.column_stack([corners[:-2], corners[1:-1], corners[2:]])
    faces[1::2, 1:] = faces[1::2, :0:-1]
    return faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]  # repeated corners only join strips


def _used(entry: dict[str, Any], vertices: np.ndarray, faces: np.ndarray) -> Primitive:
    """Only the vertices in use if there are fewer corners than vertices: many primitives may share one large array."""
    if faces.size >= len(vertices):
        return Primitive(entry, slice(None), Arrays(vertices, faces))
    used, renumbered = np.unique(faces, return_inverse=True)
    return Primitive(entry, used, Arrays(vertices[used], renumbered.reshape(-1, 3)))


def _transformed(part: Arrays, matrix: np.ndarray) -> Arrays:
    """The part moved by an affine matrix; a mirror turns the faces round, so that outside stays outside."""
    vertices = part.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    return Arrays(vertices, part.faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else part.faces)


def _joined(parts: list[Part]) -> Arrays:
    """One mesh or cloud of all parts."""
    vertices = [part.arrays.vertices for part in parts]
    starts = np.cumsum([0, *map(len, vertices)])
    faces = [part.arrays.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    return Arrays(np.concatenate([np.zeros((0, 3)), *vertices]), np.concatenate([NO_FACES, *faces]))
