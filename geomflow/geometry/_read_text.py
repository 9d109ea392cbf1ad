"""Readers of OBJ and OFF, the formats of plain text."""

import re
from pathlib import Path

import numpy as np

from geomflow.errors import MeshEmpty, MeshIndexOutOfRange, MeshTooLarge, MeshUnreadable, MeshUnsupported
from geomflow.geometry._mesh_arrays import Arrays, fans, integers, positions, text_of

# Wavefront OBJ: v and f rows in any order; indices from 1, or back from the latest vertex if negative

_OBJ_ROW = re.compile(rb"^[ \t]*(v|f|l|curv2?|surf)[ \t]+(.*)", re.MULTILINE)


def read_obj(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of an OBJ file; polygons are cut into fans, lines and points passed over."""
    text = re.sub(rb"\\\n", b" ", text_of(data))
    rows = _OBJ_ROW.findall(re.sub(rb"#.*", b"", text))
    vertices = positions([row for kind, row in rows if kind == b"v"])
    faces = _obj_faces(rows)
    if not len(faces) and len(rows) > len(vertices):
        raise MeshEmpty("wanted faces or points, found only lines, curves or faces of fewer than three corners")
    return Arrays(vertices, faces)


def _obj_faces(rows: list[tuple[bytes, bytes]]) -> np.ndarray:
    polygons = [row for kind, row in rows if kind == b"f"]
    sizes = np.array([len(row.split()) for row in polygons], dtype=np.int64)
    corners = integers(re.sub(rb"/\S*", b"", b" ".join(polygons)), int(sizes.sum()))
    if not len(corners) or corners.min() > 0:
        return fans(corners - 1, sizes)
    if not corners.all():
        raise MeshIndexOutOfRange("wanted vertex indices from 1 or below 0, found 0")
    seen = np.cumsum([kind == b"v" for kind, _ in rows])[[kind == b"f" for kind, _ in rows]]
    return fans(np.where(corners < 0, corners + np.repeat(seen, sizes), corners - 1), sizes)


# OFF: a magic word that may be glued to the counts, then one row per vertex and one per face

_OFF_HEADER = re.compile(rb"\s*(?P<kind>\w*?)OFF\s*(?P<vertices>\d+)\s+(?P<faces>\d+)([ \t]+\d+)?[ \t]*(\n|$)")
_OFF_KINDS = re.compile(rb"(ST)?C?N?")


def read_off(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of a text OFF file; polygons are cut into fans."""
    if re.match(rb"\s*\w*OFF\s+BINARY", data):
        raise MeshUnsupported("wanted a text OFF file, found a binary one")
    text = re.sub(rb"#.*", b"", text_of(data))
    header = _OFF_HEADER.match(text)
    if header is None:
        raise MeshUnreadable(f"wanted OFF and its counts, found {text[:30]!r}")
    if not _OFF_KINDS.fullmatch(header["kind"]):
        raise MeshUnsupported(f"wanted vertices of three dimensions, found {(header['kind'] + b'OFF').decode()}")
    rows = [row for row in text[header.end() :].split(b"\n") if row.strip()]
    vertices, faces = int(header["vertices"]), int(header["faces"])
    if vertices + faces > len(rows):
        raise MeshTooLarge(f"wanted {vertices} vertices and {faces} faces as declared, found {len(rows)} rows")
    return Arrays(positions(rows[:vertices]), _off_faces(rows[vertices : vertices + faces]))


def _off_faces(rows: list[bytes]) -> np.ndarray:
    table = np.fromstring(b" ".join(rows), sep=" ") if rows else np.zeros(0)
    size = int(table[0]) if len(table) else 0
    if len(table) == len(rows) * (size + 1) and (table[:: size + 1] == size).all():
        return fans(table.reshape(len(rows), size + 1)[:, 1:].astype(np.int64).reshape(-1), np.full(len(rows), size))
    sizes = np.array([int(row.split(None, 1)[0]) for row in rows])
    corners = b" ".join(b" ".join(row.split()[1 : size + 1]) for row, size in zip(rows, sizes, strict=True))
    return fans(integers(corners, int(sizes.sum())), sizes)
