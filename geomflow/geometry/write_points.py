"""Points to files, part by part, so that more can be written than memory holds: PLY and NPY, whole or not at all."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from geomflow.errors import DiskFull
from geomflow.files import whole_file

POINT_FORMATS = (".ply", ".npy")

Parts = Mapping[str, np.ndarray]
"""Points of one part of a cloud: `points` (n, 3) and, if there are, `normals`, `colors` (n, 3) and `labels` (n,)."""

_FIELDS = {
    "points": [(axis, "<f4") for axis in ("x", "y", "z")],
    "normals": [(axis, "<f4") for axis in ("nx", "ny", "nz")],
    "colors": [(name, "u1") for name in ("red", "green", "blue")],
    "labels": [("label", "<i4")],
}
_PLY_TYPES = {"<f4": "float", "u1": "uchar", "<i4": "int"}


def check_room(path: str | Path, count: int, names: Iterable[str]) -> None:
    """Refuse what cannot be written before it is computed.

    Args:
        path: File to write.
        count: Points.
        names: What each has: `points`, `normals`, `colors`, `labels`.

    Raises:
        ValueError: Another suffix than those of `POINT_FORMATS`.
        DiskFull: The file would not fit on its disk.
    """
    path = Path(path)
    if path.suffix.lower() not in POINT_FORMATS:
        raise ValueError(f"{path}: wanted one of {', '.join(POINT_FORMATS)}, given {path.suffix or 'no suffix'!r}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    wanted, free = count * _row_type(path, names).itemsize, shutil.disk_usage(folder).free
    if wanted > free:
        raise DiskFull(
            f"{path}: wanted room for {wanted / 1e9:.4g} GB ({count} points), found {free / 1e9:.4g} GB free"
        )


def write_points(parts: Iterable[Parts], path: str | Path, count: int, names: Iterable[str]) -> None:
    """Write a cloud that comes in parts.

    PLY files are binary, with properties x, y, z, nx, ny, nz, red, green, blue (bytes) and label; NPY files are float32
    arrays (count, columns), colours from 0 to 1, the label itself in the last column.

    Args:
        parts: The cloud, in order.
        path: .ply or .npy file.
        count: Points in all.
        names: What each has.

    Raises:
        ValueError: Another suffix, or more or fewer points than `count`.
        DiskFull: The file would not fit on its disk.
        OSError: The file cannot be written; nothing half-written is left behind.
    """
    path, names = Path(path), list(names)
    check_room(path, count, names)
    with whole_file(path) as file:
        written = _write(file, parts, _row_type(path, names), count, path.suffix.lower())
        if written != count:
            raise ValueError(f"{path}: wanted {count} points, given {written}")


def _write(file: BinaryIO, parts: Iterable[Parts], row: np.dtype, count: int, suffix: str) -> int:
    """Header and rows; how many rows there were."""
    if suffix == ".npy":
        shape = {"descr": "<f4", "fortran_order": False, "shape": (count, len(row.names or ()))}
        np.lib.format.write_array_header_1_0(file, shape)
    else:
        file.write(_ply_header(row, count))
    written = 0
    for part in parts:
        rows = _rows(part, row, 255 if suffix == ".ply" else 1)
        file.write(rows.tobytes())
        written += len(rows)
    return written


def _row_type(path: Path, names: Iterable[str]) -> np.dtype:
    """One point as it stands in the file."""
    fields = [field for name in names for field in _FIELDS[name]]
    return np.dtype([(name, "<f4") for name, _ in fields] if path.suffix.lower() == ".npy" else fields)


def _rows(part: Parts, row: np.dtype, white: int) -> np.ndarray:
    """A part as rows of the file, with colours up to `white`."""
    rows = np.empty(len(part["points"]), dtype=row)
    for name, values in part.items():
        values = np.rint(values * white) if name == "colors" and white > 1 else values
        for field, column in zip(_FIELDS[name], values.reshape(len(rows), -1).T, strict=True):
            rows[field[0]] = column
    return rows


def _ply_header(row: np.dtype, count: int) -> bytes:
    fields: Any = row.fields
    kinds = [f"property {_PLY_TYPES[kind.str.lstrip('|')]} {name}" for name, (kind, _) in fields.items()]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}", *kinds, "end_header", ""]
    return "\n".join(lines).encode()
