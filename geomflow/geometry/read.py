"""Mesh files to trimesh objects: OBJ, PLY, OFF, STL, GLB and glTF, each problem a geomflow error that names the file.

Only positions and faces are read, straight into float64 and int64 arrays: no materials, no textures, no merging and no
reordering. Every count that a header declares is held against the bytes that are there before anything is allocated, so
a file of a few hundred bytes cannot ask for gigabytes. Polygons are cut into fans from their first corner.

The sections below follow the formats; each reader returns vertices (n, 3) and faces (m, 3), and `_surface` judges them.
"""

import base64
import codecs
import json
import re
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import trimesh

from geomflow.errors import (
    MeshDegenerate,
    MeshEmpty,
    MeshError,
    MeshHasNoFaces,
    MeshIndexOutOfRange,
    MeshMissing,
    MeshNotFinite,
    MeshTooLarge,
    MeshUnreadable,
    MeshUnsupported,
)

MAX_BYTES = 1 << 29

_NO_FACES = np.zeros((0, 3), dtype=np.int64)
_SMALLEST_AREA = 1e-12  # of the squared extent: rounding leaves collinear points that much
_STRETCH = 1 << 16
_PARSE_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error)


class _Arrays(NamedTuple):
    """Vertices (n, 3) float64 and triangles (m, 3) int64; no triangles means points only."""

    vertices: np.ndarray
    faces: np.ndarray


def read_mesh(path: str | Path, max_bytes: int = MAX_BYTES) -> trimesh.Trimesh | trimesh.PointCloud:
    """Return the surface of a mesh file, or its points if it holds nothing else, in the file's own frame and unit.

    Scene graphs are flattened with their transforms; skins and morph targets stay in the pose of the stored positions.
    Vertices keep the file's order and are not merged. Left out: lines, faces of fewer than three corners, unused
    vertices that are not finite, and unused glTF vertices where there are more vertices than corners.

    Args:
        path: An .obj, .ply, .off, .stl, .glb or .gltf file, in any letter case.
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
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the checks below look at the results
            return _surface(*_parse(path, max_bytes))
    except MeshError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise MeshUnreadable(f"{path}: wanted a readable file, found {error.strerror or error}") from error
    except _PARSE_ERRORS as error:
        kind, found = path.suffix[1:].upper(), " ".join(str(error).split())
        raise MeshUnreadable(
            f"{path}: wanted a well-formed {kind} file, found {type(error).__name__}: {found}"
        ) from error


def read_surface(path: str | Path, max_bytes: int = MAX_BYTES) -> trimesh.Trimesh:
    """Return `read_mesh(path)` where only a mesh with faces will do.

    Raises:
        MeshHasNoFaces: The file holds only points.
        MeshError: Everything that `read_mesh` raises.
    """
    mesh = read_mesh(path, max_bytes)
    if isinstance(mesh, trimesh.PointCloud):
        raise MeshHasNoFaces(f"{path}: wanted a mesh with faces, found {len(mesh.vertices)} points only")
    return mesh


def _parse(path: Path, max_bytes: int) -> _Arrays:
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


# What every format shares: judging the arrays, polygons, numbers in text


def _surface(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh | trimesh.PointCloud:
    if not len(vertices):
        raise MeshEmpty("wanted a mesh, found neither faces nor points")
    named = np.full(len(vertices), not len(faces))
    named[_in_range(faces, len(vertices))] = True
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


def _in_range(faces: np.ndarray, count: int) -> np.ndarray:
    """The faces, once each is known to name vertices 0 to count - 1."""
    if len(faces) and not (faces.min() >= 0 and faces.max() < count):
        worst = faces.min() if faces.min() < 0 else faces.max()
        raise MeshIndexOutOfRange(f"wanted vertex indices from 0 to {count - 1}, found {worst}")
    return faces


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


def _fans(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Triangles (m, 3) of polygons whose corners stand one after the other, `sizes` of them each."""
    if (sizes == 3).all():
        return corners.reshape(-1, 3)
    triangles = np.maximum(sizes - 2, 0)
    apex = np.repeat(np.cumsum(sizes) - sizes, triangles)
    step = np.arange(len(apex)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.column_stack([corners[apex], corners[apex + step + 1], corners[apex + step + 2]])


def _text(data: bytes) -> bytes:
    """Text in an ASCII-compatible encoding, with plain line ends."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16").encode()
    if b"\0" in data:
        raise MeshUnreadable("wanted text, found binary data")
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _positions(rows: list[bytes]) -> np.ndarray:
    """The first three numbers of each row, (n, 3)."""
    if not rows:
        return np.zeros((0, 3))
    return np.loadtxt(rows, usecols=(0, 1, 2), comments=None, ndmin=2)


def _integers(text: bytes, count: int) -> np.ndarray:
    numbers = np.fromstring(text, dtype=np.int64, sep=" ") if count else np.zeros(0, dtype=np.int64)
    if len(numbers) != count:
        raise MeshUnreadable(f"wanted {count} face corners, found {len(numbers)}")
    return numbers


# Wavefront OBJ: v and f rows in any order; indices from 1, or back from the latest vertex if negative

_OBJ_ROW = re.compile(rb"^[ \t]*(v|f|l|curv2?|surf)[ \t]+(.*)", re.MULTILINE)


def _read_obj(data: bytes, folder: Path, max_bytes: int) -> _Arrays:
    text = re.sub(rb"\\\n", b" ", _text(data))
    rows = _OBJ_ROW.findall(re.sub(rb"#.*", b"", text))
    vertices = _positions([row for kind, row in rows if kind == b"v"])
    faces = _obj_faces(rows)
    if not len(faces) and len(rows) > len(vertices):
        raise MeshEmpty("wanted faces or points, found only lines, curves or faces of fewer than three corners")
    return _Arrays(vertices, faces)


def _obj_faces(rows: list[tuple[bytes, bytes]]) -> np.ndarray:
    polygons = [row for kind, row in rows if kind == b"f"]
    sizes = np.array([len(row.split()) for row in polygons], dtype=np.int64)
    corners = _integers(re.sub(rb"/\S*", b"", b" ".join(polygons)), int(sizes.sum()))
    if not len(corners) or corners.min() > 0:
        return _fans(corners - 1, sizes)
    if not corners.all():
        raise MeshIndexOutOfRange("wanted vertex indices from 1 or below 0, found 0")
    seen = np.cumsum([kind == b"v" for kind, _ in rows])[[kind == b"f" for kind, _ in rows]]
    return _fans(np.where(corners < 0, corners + np.repeat(seen, sizes), corners - 1), sizes)


# OFF: a magic word that may be glued to the counts, then one row per vertex and one per face

_OFF_HEADER = re.compile(rb"\s*(?P<kind>\w*?)OFF\s*(?P<vertices>\d+)\s+(?P<faces>\d+)([ \t]+\d+)?[ \t]*(\n|$)")
_OFF_KINDS = re.compile(rb"(ST)?C?N?")


def _read_off(data: bytes, folder: Path, max_bytes: int) -> _Arrays:
    if re.match(rb"\s*\w*OFF\s+BINARY", data):
        raise MeshUnsupported("wanted a text OFF file, found a binary one")
    text = re.sub(rb"#.*", b"", _text(data))
    header = _OFF_HEADER.match(text)
    if header is None:
        raise MeshUnreadable(f"wanted OFF and its counts, found {text[:30]!r}")
    if not _OFF_KINDS.fullmatch(header["kind"]):
        raise MeshUnsupported(f"wanted vertices of three dimensions, found {(header['kind'] + b'OFF').decode()}")
    rows = [row for row in text[header.end() :].split(b"\n") if row.strip()]
    vertices, faces = int(header["vertices"]), int(header["faces"])
    if vertices + faces > len(rows):
        raise MeshTooLarge(f"wanted {vertices} vertices and {faces} faces as declared, found {len(rows)} rows")
    return _Arrays(_positions(rows[:vertices]), _off_faces(rows[vertices : vertices + faces]))


def _off_faces(rows: list[bytes]) -> np.ndarray:
    table = np.fromstring(b" ".join(rows), sep=" ") if rows else np.zeros(0)
    size = int(table[0]) if len(table) else 0
    if len(table) == len(rows) * (size + 1) and (table[:: size + 1] == size).all():
        return _fans(table.reshape(len(rows), size + 1)[:, 1:].astype(np.int64).reshape(-1), np.full(len(rows), size))
    sizes = np.array([int(row.split(None, 1)[0]) for row in rows])
    corners = b" ".join(b" ".join(row.split()[1 : size + 1]) for row, size in zip(rows, sizes, strict=True))
    return _fans(_integers(corners, int(sizes.sum())), sizes)


# STL: triangles without shared vertices, as text or as records of 50 bytes

_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_STL_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]+(.*)", re.MULTILINE | re.IGNORECASE)


def _read_stl(data: bytes, folder: Path, max_bytes: int) -> _Arrays:
    vertices = _stl_text(data) if _is_stl_text(data) else _stl_binary(data)
    return _Arrays(vertices, np.arange(len(vertices), dtype=np.int64).reshape(-1, 3))


def _is_stl_text(data: bytes) -> bool:
    """Whether it says solid, and is no binary file that says so in its free header."""
    if not data[:512].lstrip().lower().startswith(b"solid"):
        return False
    exact = len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    return not exact and b"\0" not in data


def _stl_text(data: bytes) -> np.ndarray:
    vertices = _positions(_STL_VERTEX.findall(_text(data)))
    if len(vertices) % 3:
        raise MeshUnreadable(f"wanted three vertices per facet, found {len(vertices)} in all")
    return vertices


def _stl_binary(data: bytes) -> np.ndarray:
    if len(data) < 84:
        raise MeshUnreadable(f"wanted `solid` or a binary header of 84 bytes, found {len(data)} bytes")
    count = int.from_bytes(data[80:84], "little")
    if 84 + 50 * count > len(data):
        raise MeshTooLarge(f"wanted {count} triangles as declared ({84 + 50 * count} bytes), found {len(data)} bytes")
    return np.frombuffer(data, _STL_TRIANGLE, count, 84)["corners"].reshape(-1, 3).astype(np.float64)


# PLY: elements of typed properties; text is turned into a binary body of doubles, so that one reader does for both

_PLY_TYPES = {
    **dict.fromkeys(("char", "int8"), "b"),
    **dict.fromkeys(("uchar", "uint8"), "B"),
    **dict.fromkeys(("short", "int16"), "h"),
    **dict.fromkeys(("ushort", "uint16"), "H"),
    **dict.fromkeys(("int", "int32"), "i"),
    **dict.fromkeys(("uint", "uint32"), "I"),
    **dict.fromkeys(("float", "float32"), "f"),
    **dict.fromkeys(("double", "float64"), "d"),
}
_PLY_ORDERS = {"ascii": "<", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class _Property:
    name: str
    code: str
    size_code: str = ""


class _Column(NamedTuple):
    """All values of a property, one after the other, and how many each row has."""

    values: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


def _read_ply(data: bytes, folder: Path, max_bytes: int) -> _Arrays:
    start = re.search(rb"end_header[ \t]*(\r\n|\n|\r)", data)
    if not data.startswith(b"ply") or start is None:
        raise MeshUnreadable("wanted a header from `ply` to `end_header`, found none")
    order, elements = _ply_header(data[: start.start()].decode("latin-1"))
    body = data[start.end() :]
    if order == "ascii":
        elements = [_as_doubles(element) for element in elements]
        body = (np.fromstring(body, sep=" ") if body.strip() else np.zeros(0)).astype("<f8").tobytes()
    tables = dict(_ply_tables(elements, body, _PLY_ORDERS[order]))
    if "tristrips" in tables and "face" not in tables:
        raise MeshUnsupported("wanted faces, found triangle strips")
    return _Arrays(_ply_vertices(tables.get("vertex", {})), _ply_faces(tables.get("face", {})))


def _ply_header(text: str) -> tuple[str, list[_Element]]:
    order, elements = "", []
    for line in text.splitlines():
        match line.split():
            case ["format", name, _]:
                order = name
            case ["element", name, count]:
                elements.append(_Element(name, int(count), []))
            case ["property", "list", size, kind, name]:
                elements[-1].properties.append(_Property(name, _PLY_TYPES[kind], _PLY_TYPES[size]))
            case ["property", kind, name]:
                elements[-1].properties.append(_Property(name, _PLY_TYPES[kind]))
    if order not in _PLY_ORDERS:
        raise MeshUnreadable(f"wanted a format of {', '.join(_PLY_ORDERS)}, found {order!r}")
    return order, elements


def _as_doubles(element: _Element) -> _Element:
    doubles = [_Property(item.name, "d", "d" if item.size_code else "") for item in element.properties]
    return _Element(element.name, element.count, doubles)


def _ply_tables(elements: list[_Element], body: bytes, order: str) -> Iterator[tuple[str, dict[str, _Column]]]:
    """Each element's name and columns; a declared count is held against what is left before it is read."""
    offset = 0
    for element in elements:
        row = sum(struct.calcsize(item.size_code or item.code) for item in element.properties)
        if not 0 <= element.count * row <= len(body) - offset:
            declared = f"{element.count} rows of {element.name!r} as declared (at least {element.count * row} bytes)"
            raise MeshTooLarge(f"wanted {declared}, found {len(body) - offset} bytes")
        columns, offset = _ply_columns(element, body, offset, order) if element.count * row else ({}, offset)
        yield element.name, columns


def _ply_columns(element: _Element, body: bytes, offset: int, order: str) -> tuple[dict[str, _Column], int]:
    """Columns by property name, and where they end; in one go if each list keeps the size it has in the first row."""
    kind = _ply_row_type(element, body, offset, order)
    end = offset + element.count * kind.itemsize
    table = np.frombuffer(body, kind, element.count, offset) if end <= len(body) else None
    sizes = [name for name in kind.names or () if name.startswith(_SIZE_OF)]
    if table is None or any((table[name] != table[name][0]).any() for name in sizes):
        return _ply_walk(element, body, offset, order)
    columns = {item.name: table[item.name].reshape(element.count, -1) for item in element.properties}
    return {name: _Column(rows.reshape(-1), np.full(len(rows), rows.shape[1])) for name, rows in columns.items()}, end


_SIZE_OF = "size of "


def _ply_row_type(element: _Element, body: bytes, offset: int, order: str) -> np.dtype:
    """The layout of an element's first row."""
    fields: list[tuple] = []
    for item in element.properties:
        shape = ()
        if item.size_code:
            shape = (int(struct.unpack_from(order + item.size_code, body, offset)[0]),)
            if shape[0] > len(body):
                raise MeshTooLarge(f"wanted {shape[0]} values of {item.name!r} as declared, found {len(body)} bytes")
            fields.append((_SIZE_OF + item.name, order + item.size_code))
        fields.append((item.name, order + item.code, shape))
        offset += sum(np.dtype([field]).itemsize for field in fields[-1 - len(shape) :])
    return np.dtype(fields)


def _ply_walk(element: _Element, body: bytes, offset: int, order: str) -> tuple[dict[str, _Column], int]:
    """Columns row by row, for lists of different sizes."""
    values = {item.name: array("d") for item in element.properties}
    sizes = {item.name: array("q") for item in element.properties}
    for row in range(element.count):
        for item in element.properties:
            try:
                size = 1
                if item.size_code:
                    size = int(struct.unpack_from(order + item.size_code, body, offset)[0])
                    offset += struct.calcsize(item.size_code)
                values[item.name].extend(struct.unpack_from(f"{order}{size}{item.code}", body, offset))
            except struct.error as error:
                declared = f"{element.count} rows of {element.name!r} as declared"
                raise MeshTooLarge(f"wanted {declared}, found the end after {row}") from error
            sizes[item.name].append(size)
            offset += size * struct.calcsize(item.code)
    return {name: _Column(np.array(values[name]), np.array(sizes[name])) for name in values}, offset


def _ply_vertices(columns: dict[str, _Column]) -> np.ndarray:
    axes = [columns[axis].values.astype(np.float64) for axis in "xyz" if columns]
    return np.column_stack(axes) if axes else np.zeros((0, 3))


def _ply_faces(columns: dict[str, _Column]) -> np.ndarray:
    if not columns:
        return _NO_FACES
    corners = columns["vertex_indices"] if "vertex_indices" in columns else columns["vertex_index"]
    return _fans(corners.values.astype(np.int64), corners.sizes)


# glTF 2.0: a tree of nodes places meshes, whose primitives name accessors into buffers (Khronos glTF 2.0, chapters 3-5)

_UNDECODED = {
    "KHR_draco_mesh_compression",
    "EXT_meshopt_compression",
    "KHR_meshopt_compression",
    "EXT_mesh_gpu_instancing",
}
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_POINTS, _LINES, _TRIANGLES, _STRIP, _FAN = 0, (1, 2, 3), 4, 5, 6


def _read_gltf(data: bytes, folder: Path, max_bytes: int) -> _Arrays:
    text, chunk = _glb_chunks(data) if data.startswith(b"glTF") else (data, b"")
    tree = json.loads(text)
    version = str(tree.get("asset", {}).get("version", "2.0"))
    if version.startswith("1"):
        raise MeshUnsupported(f"wanted glTF 2.0, found {version}")
    undecoded = _UNDECODED.intersection(tree.get("extensionsRequired", []))
    if undecoded:
        raise MeshUnsupported(f"wanted plain buffers, found that {', '.join(sorted(undecoded))} is required")
    return _join(_Scene(tree, _gltf_buffers(tree, chunk, folder, max_bytes), max_bytes).parts())


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

    def parts(self) -> list[_Arrays]:
        """Every primitive of every node, in world coordinates."""
        made: dict[int, list[_Arrays]] = {}
        parts, size = [], 0
        for mesh, matrix in self.placed():
            if mesh not in made:
                made[mesh] = list(self.primitives(self.entry("meshes", mesh)))
            size += sum(part.vertices.nbytes + part.faces.nbytes for part in made[mesh])
            if size > self.max_bytes:
                raise MeshTooLarge(f"wanted a scene of at most {self.max_bytes} bytes (max_bytes), found more")
            parts.extend(_transformed(part, matrix) for part in made[mesh])
        return parts

    def entry(self, kind: str, index: int) -> dict:
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

    def primitives(self, mesh: dict) -> Iterator[_Arrays]:
        for primitive in mesh["primitives"]:
            mode = primitive.get("mode", _TRIANGLES)
            if "POSITION" not in primitive["attributes"] or mode in _LINES:
                continue
            vertices = self.numbers(primitive["attributes"]["POSITION"]).astype(np.float64)
            if vertices.shape[1] != 3:
                raise MeshUnreadable(f"wanted positions of 3 coordinates, found {vertices.shape[1]}")
            if mode == _POINTS:
                yield _Arrays(vertices, _NO_FACES)
                continue
            corners = self.numbers(primitive["indices"])[:, 0] if "indices" in primitive else np.arange(len(vertices))
            faces = _in_range(_assembled(corners.astype(np.int64), mode), len(vertices))
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
        """Zeros for a sparse accessor, no more of them than there are bytes."""
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
        return _NO_FACES
    if mode == _FAN:
        return _fans(corners, np.array([len(corners)]))
    faces = np.column_stack([corners[:-2], corners[1:-1], corners[2:]])
    faces[1::2, 1:] = faces[1::2, :0:-1]
    return faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]  # repeated corners only join strips


def _used(vertices: np.ndarray, faces: np.ndarray) -> _Arrays:
    """Only the vertices in use if there are fewer corners than vertices: many primitives may share one large array."""
    if faces.size >= len(vertices):
        return _Arrays(vertices, faces)
    used, renumbered = np.unique(faces, return_inverse=True)
    return _Arrays(vertices[used], renumbered.reshape(-1, 3))


def _local_matrix(node: dict) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    matrix = trimesh.transformations.quaternion_matrix([w, x, y, z])
    matrix[:3, :3] *= np.asarray(node.get("scale", (1, 1, 1)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _transformed(part: _Arrays, matrix: np.ndarray) -> _Arrays:
    """The part moved by an affine matrix; a mirror turns the faces round, so that outside stays outside."""
    vertices = part.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    return _Arrays(vertices, part.faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else part.faces)


def _join(parts: Iterable[_Arrays]) -> _Arrays:
    """One mesh of all parts with faces, or one cloud if none has any."""
    parts = list(parts)
    parts = [part for part in parts if len(part.faces)] or parts
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    vertices = [part.vertices for part in parts]
    return _Arrays(np.concatenate([np.zeros((0, 3)), *vertices]), np.concatenate([_NO_FACES, *faces]))


_READERS = {
    ".glb": _read_gltf,
    ".gltf": _read_gltf,
    ".obj": _read_obj,
    ".off": _read_off,
    ".ply": _read_ply,
    ".stl": _read_stl,
}
SUFFIXES = tuple(_READERS)
