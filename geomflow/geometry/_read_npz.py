"""Reader of rigs in NumPy archives: a surface, its joints and what moves its vertices, under fixed names.

The archive is a zip of `.npy` members (`numpy.savez`); `FORMS` says their names, types and shapes. More may be there.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np

from geomflow.errors import MeshNotFinite, MeshTooLarge, MeshUnreadable
from geomflow.geometry._mesh_arrays import Arrays

FORMS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "vertices": ("f", ("v", 3)),
    "faces": ("iu", ("f", 3)),
    "joints": ("f", ("j", 3)),
    "parents": ("iu", ("j",)),
    "joint_names": ("U", ("j",)),
    "skin_joints": ("iu", ("v", 4)),
    "skin_weights": ("f", ("v", 4)),
}
"""Arrays of a rig: kinds of their types, as NumPy letters them, and their shapes."""

_KINDS = {"f": "fractions", "iu": "whole numbers", "U": "text"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Vertices and faces of a rig."""
    arrays = rig_arrays(data, max_bytes)
    return Arrays(arrays["vertices"].astype(np.float64), arrays["faces"].astype(np.int64))


def rig_arrays(data: bytes, max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of `FORMS`, of the types and shapes that are wanted, with finite numbers and parents that exist."""
    with _opened(data) as archive:
        members = _members(archive)
        size = sum(members[name].file_size for name in FORMS)
        if size > max_bytes:
            raise MeshTooLarge(f"wanted arrays of at most {max_bytes} bytes (max_bytes), found {size}")
        arrays = {name: _array(name, archive.read(members[name])) for name in FORMS}
    _check_shapes(arrays)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise MeshNotFinite(f"wanted finite {name}, found NaN or infinity")
    _check_parents(arrays["parents"].astype(np.int64))
    return arrays


def has_rig(path: Path) -> bool:
    """Whether an archive has a member for every array of a rig; none is read."""
    with _zip_errors(), zipfile.ZipFile(path) as archive:
        return {f"{name}.npy" for name in FORMS} <= set(archive.namelist())


@contextmanager
def _opened(data: bytes) -> Iterator[zipfile.ZipFile]:
    with _zip_errors(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield archive


@contextmanager
def _zip_errors() -> Iterator[None]:
    """One error for archives that are damaged or encrypted (RuntimeError), and headers that are (TokenError)."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, TokenError) as error:
        raise MeshUnreadable(f"wanted a readable archive of arrays, found {error or type(error).__name__}") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The member of each array that is wanted."""
    found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    missing = [name for name in FORMS if name not in found]
    if missing:
        raise MeshUnreadable(
            f"wanted arrays {', '.join(FORMS)}; {', '.join(missing)} missing, found {', '.join(found) or 'none'}"
        )
    packed = [name for name in FORMS if found[name].compress_type not in _METHODS]
    if packed:
        raise MeshUnreadable(f"wanted members stored or deflated, found {packed[0]} packed by another method")
    return found


def _array(name: str, data: bytes) -> np.ndarray:
    """The array in the bytes of its member, once they are known to be enough for what it declares."""
    file = io.BytesIO(data)
    old = np.lib.format.read_magic(file) == (1, 0)
    read_header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject and prod(shape) * dtype.itemsize > len(data) - file.tell():
        raise MeshTooLarge(f"wanted {name} of shape {shape} as declared, found {len(data) - file.tell()} bytes")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _check_shapes(arrays: dict[str, np.ndarray]) -> None:
    sizes: dict[str | int, int] = {}
    for name, (kinds, axes) in FORMS.items():
        array = arrays[name]
        if array.ndim == len(axes):
            sizes = dict(zip(axes, array.shape, strict=True)) | sizes
        shape = tuple(axis if isinstance(axis, int) else sizes.get(axis, axis) for axis in axes)
        if array.shape != shape or array.dtype.kind not in kinds:
            wanted = f"{_KINDS[kinds]} of shape ({', '.join(map(str, shape))})"
            raise MeshUnreadable(f"wanted {name} as {wanted}, found {array.dtype} of shape {array.shape}")


def _check_parents(parents: np.ndarray) -> None:
    wrong = (parents < -1) | (parents >= len(parents))
    if wrong.any():
        raise MeshUnreadable(f"wanted parents from -1 to {len(parents) - 1}, found {parents[wrong][0]}")
    up = np.append(parents, -1)
    for _ in range(len(parents).bit_length()):  # each round doubles the steps taken; -1 leads to itself, at the end
        up = up[up]
    if (up >= 0).any():
        raise MeshUnreadable(f"wanted parents that lead to a root, found joint {(up >= 0).argmax()} in a circle")
