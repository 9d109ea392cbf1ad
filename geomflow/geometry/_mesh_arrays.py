"""What all mesh readers share: the arrays they return, index checks, polygons, numbers in text."""

import codecs
from typing import NamedTuple

import numpy as np

from geomflow.errors import MeshIndexOutOfRange, MeshUnreadable

NO_FACES = np.zeros((0, 3), dtype=np.int64)


class Arrays(NamedTuple):
    """Vertices (n, 3) float64 and triangles (m, 3) int64; no triangles means points only."""

    vertices: np.ndarray
    faces: np.ndarray


def in_range(faces: np.ndarray, count: int) -> np.ndarray:
    """The faces, once each is known to name vertices 0 to count - 1."""
    if len(faces) and not (faces.min() >= 0 and faces.max() < count):
        worst = faces.min() if faces.min() < 0 else faces.max()
        raise MeshIndexOutOfRange(f"wanted vertex indices from 0 to {count - 1}, found {worst}")
    return faces


def fans(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Triangles (m, 3) of polygons whose corners stand one after the other, `sizes` of them each."""
    if (sizes == 3).all():
        return corners.reshape(-1, 3)
    triangles = np.maximum(sizes - 2, 0)
    apex = np.repeat(np.cumsum(sizes) - sizes, triangles)
    step = np.arange(len(apex)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.column_stack([corners[apex], corners[apex + step + 1], corners[apex + step + 2]])


def text_of(data: bytes) -> bytes:
    """Text in an ASCII-compatible encoding, with plain line ends."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16").encode()
    if b"\0" in data:
        raise MeshUnreadable("wanted text, found binary data")
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def positions(rows: list[bytes]) -> np.ndarray:
    """The first three numbers of each row, (n, 3)."""
    if not rows:
        return np.zeros((0, 3))
    return np.loadtxt(rows, usecols=(0, 1, 2), comments=None, ndmin=2)


def integers(text: bytes, count: int) -> np.ndarray:
    """Exactly `count` whole numbers in a text."""
    numbers = np.fromstring(text, dtype=np.int64, sep=" ") if count else np.zeros(0, dtype=np.int64)
    if len(numbers) != count:
        raise MeshUnreadable(f"wanted {count} face corners, found {len(numbers)}")
    return numbers
