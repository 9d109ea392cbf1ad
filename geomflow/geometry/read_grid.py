"""Grids of signed distances from files."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from geomflow.errors import RecordError
from geomflow.geometry.grid import SdfGrid


def read_grid(path: str | Path) -> SdfGrid:
    """Return the grid over [-1, 1]^3 in a .npy array (x, y, z), or the tensor `sdf_grid` of a .safetensors file.

    Args:
        path: The .npy or .safetensors file.

    Raises:
        RecordError: The file is missing, damaged, of another format, or holds no three-dimensional grid of numbers, or
            NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"{path}: no such grid file")
    readers = {".npy": _from_npy, ".safetensors": _from_safetensors}
    if path.suffix not in readers:
        raise RecordError(f"{path}: wanted a .npy or .safetensors file, given {path.suffix or 'no suffix'!r}")
    try:
        values = readers[path.suffix](path)
    except (ValueError, OSError, EOFError, MemoryError, SafetensorError) as error:
        raise RecordError(f"{path}: not a readable {path.suffix} file ({error})") from error
    if values.ndim != 3 or min(values.shape) < 2 or values.dtype.kind not in "fiu":
        raise RecordError(f"{path}: wanted numbers (x, y, z), found {values.dtype} of shape {values.shape}")
    if np.isnan(values).any():
        raise RecordError(f"{path}: wanted numbers, found NaN at {np.isnan(values).sum()} of {values.size} nodes")
    return SdfGrid(values.astype(np.float32))


def _from_npy(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, allow_pickle=False))


def _from_safetensors(path: Path) -> np.ndarray:
    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        if "sdf_grid" not in names:
            raise ValueError(f"it has no tensor sdf_grid, only {', '.join(names) or 'none'}")
        return file.get_tensor("sdf_grid")
