"""STL: triangles without shared vertices, as text or as records of 50 bytes."""

import re
from pathlib import Path

import numpy as np

from geomflow.errors import MeshTooLarge, MeshUnreadable
from geomflow.geometry._mesh_arrays import Arrays, positions, text_of

_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_STL_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]+(.*)", re.MULTILINE | re.IGNORECASE)


def read_stl(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of an STL file, text or binary; every triangle has corners of its own."""
    vertices = _stl_text(data) if _is_stl_text(data) else _stl_binary(data)
    return Arrays(vertices, np.arange(len(vertices), dtype=np.int64).reshape(-1, 3))


def _is_stl_text(data: bytes) -> bool:
    """Whether it says solid, and is no binary file that says so in its free header."""
    if not data[:512].lstrip().lower().startswith(b"solid"):
        return False
    exact = len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    return not exact and b"\0" not in data


def _stl_text(data: bytes) -> np.ndarray:
    vertices = positions(_STL_VERTEX.findall(text_of(data)))
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
