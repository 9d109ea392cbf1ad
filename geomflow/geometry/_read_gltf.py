"""Reader of glTF 2.0 and GLB (Khronos glTF 2.0, chapters 3-5).

A tree of nodes places meshes, whose primitives name accessors into buffers.
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np
import trimesh

from geomflow.errors import MeshTooLarge, MeshUnreadable, MeshUnsupported
from geomflow.geometry._mesh_arrays import NO_FACES, Arrays, fans, in_range

_UNDECODED = {
    "KHR_draco_mesh_compression",
    "EXT_meshopt_compression",
    "KHR_meshopt_compression",
    "EXT_mesh_gpu_instancing",
}
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_POINTS, _LINES, _TRIANGLES, _STRIP, _FAN = 0, (1, 2, 3), 4, 5, 6


def read_gltf(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of a glTF or GLB file's scene, every node's transform applied."""
    text, chunk = _glb_chunks(data) if data.startswith(b"glTF") else (data, b"")
    tree = json.loads(text)
    version = str(tree.get("asset", {}).get("version", "2.0"))
    if version.startswith("1"):
        raise MeshUnsupported(f"wanted glTF 2.0, found {version}")
    undecoded = _UNDECODED.intersection(tree.get("extensionsRequired", []))
    if undecoded:
        raise MeshUnsupported(f"wanted plain buffers, found that {', '.join(sorted(undecoded))} is required")
    scene = _Scene(tree, _gltf_buffers(tree, chunk, folder, max_bytes), max_bytes)
    return _join(list(scene.limited(scene.parts())))


def _glb_chunks(data: bytes) -> tuple[bytes, bytes]:
    """The JSON chunk and the binary chunk, empty if there is none."""
    _, version, length = struct.unpack_from("<III", data)
    if version != 2:
        raise MeshUnsupported(f"wanted glTF 2, found version {version}")
    if length > len(data):
        raise MeshTooLarge(f"wanted {length} bytes as declared, found {len(data)}")
    chunks, offset = {}, 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, offset)
        if size > len(data) - offset - 8:
            raise MeshTooLarge(f"wanted a chunk of {size} bytes as declared, found {len(data) - offset - 8}")
        chunks.setdefault(kind, data[offset + 8 : offset + 8 + size])
        offset += 8 + size
    if b"JSON" not in chunks:
        raise MeshUnreadable("wanted a JSON chunk, found none")
    return chunks[b"JSON"], chunks.get(b"BIN\0", b"")


def _gltf_buffers(tree: dict, chunk: bytes, folder: Path, max_bytes: int) -> list[bytes]:
    """The bytes of each buffer, as many as are declared at least and as `max_bytes` in all at most."""
    declared = [buffer["byteLength"] for buffer in tree.get("buffers", [])]
    if sum(declared) > max_bytes:
        raise MeshTooLarge(f"wanted buffers of at most {max_bytes} bytes (max_bytes), found {sum(declared)} declared")
    buffers = [_gltf_buffer(buffer, chunk, folder) for buffer in tree.get("buffers", [])]
    for size, found in zip(declared, buffers, strict=True):
        if size > len(found):
            raise MeshTooLarge(f"wanted a buffer of {size} bytes as declared, found {len(found)}")
    return buffers


def _gltf_buffer(buffer: dict, chunk: bytes, folder: Path) -> bytes:
    uri = buffer.get("uri")
    if uri is None:
        return chunk
    if uri.startswith("data:"):
        return base64.b64decode(uri.partition(",")[2])
    name = PurePosixPath(unquote(uri))
    if name.is_absolute() or ".." in name.parts:
        raise MeshUnreadable(f"wanted its buffer beside or below it, found {uri!r}")
    if not (folder / name).is_file():
        raise MeshUnreadable(f"wanted its buffer {uri!r} beside it, found no such file")
    with (folder / name).open("rb") as stream:
        return stream.read(buffer["byteLength"])


@dataclass(frozen=True)
class _Scene:
    """The default scene of a glTF tree and the buffers that hold its numbers."""

    tree: dict
    buffers: list[bytes]
    max_bytes: int

    def parts(self) -> Iterator[Arrays]:
        """Every primitive of every node, in world coordinates."""
        made: dict[int, list[Arrays]] = {}
        for mesh, matrix in self.placed():
            if mesh not in made:
                made[mesh] = list(self.limited(self.primitives(self.entry("meshes", mesh))))
            yield from (_transformed(part, matrix) for part in made[mesh])

    def limited(self, parts: Iterator[Arrays]) -> Iterator[Arrays]:
        """The parts, as long as all of them together stay below `max_bytes`."""
        size = 0
        for part in parts:
            size += part.vertices.nbytes + part.faces.nbytes
            if size > self.max_bytes:
                raise MeshTooLarge(f"wanted a scene of at most {self.max_bytes} bytes (max_bytes), found more")
            yield part

    def entry(self, kind: str, index: int) -> dict:
        """One entry of a list of the tree, by index."""
        entries = self.tree.get(kind, [])
        if not 0 <= index < len(entries):
            raise MeshUnreadable(f"wanted an index into {len(entries)} {kind}, found {index}")
        return entries[index]

    def roots(self) -> list[int]:
        """The default scene's nodes; without scenes, all nodes that are no child."""
        if self.tree.get("scenes"):
            return self.entry("scenes", self.tree.get("scene", 0)).get("nodes", [])
        nodes = self.tree.get("nodes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        return [index for index in range(len(nodes)) if index not in children]

    def placed(self) -> Iterator[tuple[int, np.ndarray]]:
        """Mesh index and world matrix (4, 4) of each node that has a mesh; without nodes, each mesh as it is."""
        if not self.tree.get("nodes"):
            yield from ((index, np.eye(4)) for index in range(len(self.tree.get("meshes", []))))
        waiting = [(root, np.eye(4)) for root in reversed(self.roots())]
        seen = set()
        while waiting:
            index, parent = waiting.pop()
            if index in seen:
                raise MeshUnreadable(f"wanted a tree of nodes, found that node {index} is reached twice")
            seen.add(index)
            node = self.entry("nodes", index)
            matrix = parent @ _local_matrix(node)
            waiting.extend((child, matrix) for child in reversed(node.get("children", [])))
            if "mesh" in node:
                yield node["mesh"], matrix

    def primitives(self, mesh: dict) -> Iterator[Arrays]:
        """Points and triangles of a mesh; lines are skipped."""
        for primitive in mesh["primitives"]:
            mode = primitive.get("mode", _TRIANGLES)
            if "POSITION" not in primitive["attributes"] or mode in _LINES:
                continue
            vertices = self.numbers(primitive["attributes"]["POSITION"]).astype(np.float64)
            if vertices.shape[1] != 3:
                raise MeshUnreadable(f"wanted positions of 3 coordinates, found {vertices.shape[1]}")
            if mode == _POINTS:
                yield Arrays(vertices, NO_FACES)
                continue
            corners = self.numbers(primitive["indices"])[:, 0] if "indices" in primitive else np.arange(len(vertices))
            faces = in_range(_assembled(corners.astype(np.int64), mode), len(vertices))
            yield _used(vertices, faces)

    def numbers(self, index: int) -> np.ndarray:
        """An accessor's items (count, width), normalised integers as fractions."""
        accessor = self.entry("accessors", index)
        kind, width = np.dtype(_COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        if "bufferView" in accessor:
            values = self.block(accessor, kind, width, accessor["count"])
        elif "sparse" in accessor:
            values = self.sparse_base(kind, width, accessor["count"])
        else:
            raise MeshUnsupported(f"wanted accessor {index} in a buffer, found it in none (as Draco leaves it)")
        if "sparse" in accessor:
            values = self.replaced(values, accessor["sparse"], kind)
        if accessor.get("normalized") and kind.kind in "iu":
            return np.maximum(values / np.iinfo(kind).max, -1)
        return values

    def block(self, place: dict, kind: np.dtype, width: int, count: int) -> np.ndarray:
        """Items (count, width) of a buffer view, from `place`'s offset on."""
        view = self.entry("bufferViews", place["bufferView"])
        if "EXT_meshopt_compression" in view.get("extensions", {}):
            raise MeshUnsupported("wanted plain buffers, found EXT_meshopt_compression")
        if not 0 <= view["buffer"] < len(self.buffers):
            raise MeshUnreadable(f"wanted an index into {len(self.buffers)} buffers, found {view['buffer']}")
        offset, start = place.get("byteOffset", 0), view.get("byteOffset", 0)
        stride = view.get("byteStride") or kind.itemsize * width
        needed = offset + max(count - 1, 0) * stride + min(count, 1) * kind.itemsize * width
        if min(offset, start, stride, count) < 0 or needed > view["byteLength"]:
            raise MeshTooLarge(f"wanted {count} items as declared ({needed} bytes), found {view['byteLength']} bytes")
        buffer = self.buffers[view["buffer"]]
        return np.ndarray((count, width), kind, buffer, start + offset, (stride, kind.itemsize))

    def sparse_base(self, kind: np.dtype, width: int, count: int) -> np.ndarray:
        """Zeros for a sparse accessor, no more items than there are bytes."""
        found = sum(len(buffer) for buffer in self.buffers)
        if not 0 <= count <= found or count * width * 8 > self.max_bytes:
            raise MeshTooLarge(f"wanted {count} sparse items as declared, found {found} bytes of buffers")
        return np.zeros((count, width), kind)

    def replaced(self, values: np.ndarray, sparse: dict, kind: np.dtype) -> np.ndarray:
        """A copy of the values with a sparse accessor's exceptions put in."""
        places = np.dtype(_COMPONENTS[sparse["indices"]["componentType"]])
        rows = self.block(sparse["indices"], places, 1, sparse["count"])[:, 0]
        values = values.copy()
        values[rows] = self.block(sparse["values"], kind, values.shape[1], sparse["count"])
        return values


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


def _used(vertices: np.ndarray, faces: np.ndarray) -> Arrays:
    """Only the vertices in use if there are fewer corners than vertices: many primitives may share one large array."""
    if faces.size >= len(vertices):
        return Arrays(vertices, faces)
    used, renumbered = np.unique(faces, return_inverse=True)
    return Arrays(vertices[used], renumbered.reshape(-1, 3))


def _local_matrix(node: dict) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    matrix = trimesh.transformations.quaternion_matrix([w, x, y, z])
    matrix[:3, :3] *= np.asarray(node.get("scale", (1, 1, 1)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _transformed(part: Arrays, matrix: np.ndarray) -> Arrays:
    """The part moved by an affine matrix; a mirror turns the faces round, so that outside stays outside."""
    vertices = part.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    return Arrays(vertices, part.faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else part.faces)


def _join(parts: list[Arrays]) -> Arrays:
    """One mesh of all parts with faces, or one cloud if none has any."""
    parts = [part for part in parts if len(part.faces)] or parts
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    vertices = [part.vertices for part in parts]
    return Arrays(np.concatenate([np.zeros((0, 3)), *vertices]), np.concatenate([NO_FACES, *faces]))
