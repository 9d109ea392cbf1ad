"""Reader of PLY: elements of typed properties.

Text is turned into a binary body of doubles, so that one reader does for both.
"""

import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geomflow.errors import MeshTooLarge, MeshUnreadable, MeshUnsupported
from geomflow.geometry._mesh_arrays import NO_FACES, Arrays, fans

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


def read_ply(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of a PLY file, text or binary of either byte order."""
    tables = _tables(data)
    if "tristrips" in tables and "face" not in tables:
        raise MeshUnsupported("wanted faces, found triangle strips")
    return Arrays(_ply_vertices(tables.get("vertex", {})), _ply_faces(tables.get("face", {})))


def ply_vertex_properties(data: bytes) -> dict[str, np.ndarray]:
    """Every property of a PLY file's vertices (n,), in the file's own type but for text, which gives doubles."""
    return {name: column.values for name, column in _tables(data).get("vertex", {}).items()}


def ply_colors(columns: dict[str, np.ndarray]) -> np.ndarray | None:
    """Colours (n, 3) of vertex properties from 0 to 1, be they stored as bytes or so; None if there are none."""
    if not {"red", "green", "blue"} <= columns.keys():
        return None
    colors = np.column_stack([columns[name] for name in ("red", "green", "blue")]).astype(np.float64)
    return colors / 255 if columns["red"].dtype.kind in "iu" or colors.max() > 1 else colors


def _tables(data: bytes) -> dict[str, dict[str, "_Column"]]:
    """Columns of every element."""
    start = re.search(rb"end_header[ \t]*(\r\n|\n|\r)", data)
    if not data.startswith(b"ply") or start is None:
        raise MeshUnreadable("wanted a header from `ply` to `end_header`, found none")
    order, elements = _ply_header(data[: start.start()].decode("latin-1"))
    body = data[start.end() :]
    if order == "ascii":
        elements = [_as_doubles(element) for element in elements]
        body = (np.fromstring(body, sep=" ") if body.strip() else np.zeros(0)).astype("<f8").tobytes()
    return dict(_ply_tables(elements, body, _PLY_ORDERS[order]))


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
        return NO_FACES
    corners = columns["vertex_indices"] if "vertex_indices" in columns else columns["vertex_index"]
    return fans(corners.values.astype(np.int64), corners.sizes)
