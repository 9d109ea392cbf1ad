"""Parts of a glTF 2.0 or GLB file (Khronos glTF 2.0, chapters 3-5): its tree, its nodes and the numbers in its buffers.

A tree of nodes places meshes and skins, which name accessors into buffers. Surfaces are made of it in `_read_gltf`,
skeletons in `rig`.
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import trimesh

from geomflow.errors import MeshTooLarge, MeshUnreadable, MeshUnsupported

_UNDECODED = {
    "KHR_draco_mesh_compression",
    "EXT_meshopt_compression",
    "KHR_meshopt_compression",
    "EXT_mesh_gpu_instancing",
}
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def open_gltf(data: bytes, folder: Path, max_bytes: int) -> "Gltf":
    """The tree and the buffers of a glTF or GLB file; buffers beside it are looked for in `folder`."""
    text, chunk = _glb_chunks(data) if data.startswith(b"glTF") else (data, b"")
    tree = json.loads(text)
    version = str(tree.get("asset", {}).get("version", "2.0"))
    if version.startswith("1"):
        raise MeshUnsupported(f"wanted glTF 2.0, found {version}")
    undecoded = _UNDECODED.intersection(tree.get("extensionsRequired", []))
    if undecoded:
        raise MeshUnsupported(f"wanted plain buffers, found that {', '.join(sorted(undecoded))} is required")
    return Gltf(tree, _gltf_buffers(tree, chunk, folder, max_bytes), max_bytes)


def tree_alone(path: Path) -> dict[str, Any]:
    """The tree of a glTF or GLB file, of which nothing else is read."""
    with path.open("rb") as stream:
        head = stream.read(20)
        if not head.startswith(b"glTF"):
            return json.loads(head + stream.read())
        size, kind = struct.unpack_from("<I4s", head, 12)
        if kind != b"JSON":
            raise MeshUnreadable(f"wanted a JSON chunk first, found {kind!r}")
        return json.loads(stream.read(min(size, path.stat().st_size)))


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


class Place(NamedTuple):
    """Where a node is: its index, its parent's (-1 without), and the matrix (4, 4) from its frame to the scene's."""

    node: int
    parent: int
    matrix: np.ndarray


@dataclass(frozen=True)
class Gltf:
    """A glTF tree and the buffers that hold its numbers."""

    tree: dict[str, Any]
    buffers: list[bytes]
    max_bytes: int

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

    def walk(self) -> Iterator["Place"]:
        """Every node of the default scene, parents before their children."""
        waiting = [Place(root, -1, np.eye(4)) for root in reversed(self.roots())]
        seen = set()
        while waiting:
            index, above, matrix = waiting.pop()
            if index in seen:
                raise MeshUnreadable(f"wanted a tree of nodes, found that node {index} is reached twice")
            seen.add(index)
            node = self.entry("nodes", index)
            here = Place(index, above, matrix @ _local_matrix(node))
            yield here
            waiting.extend(Place(child, index, here.matrix) for child in reversed(node.get("children", [])))

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


def _local_matrix(node: dict) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    matrix = trimesh.transformations.quaternion_matrix([w, x, y, z])
    matrix[:3, :3] *= np.asarray(node.get("scale", (1, 1, 1)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
