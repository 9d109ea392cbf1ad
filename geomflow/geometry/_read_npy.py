"""Reader of NumPy arrays of points."""

import io
from pathlib import Path

import numpy as np

from geomflow.errors import MeshEmpty, MeshUnreadable
from geomflow.geometry._mesh_arrays import NO_FACES, Arrays


def read_npy(data: bytes, folder: Path, max_bytes: int) -> Arrays:
    """Points (n, 3) of an .npy file, as vertices without faces."""
    points = np.load(io.BytesIO(data), allow_pickle=False)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise MeshUnreadable(f"wanted numbers of shape (n, 3), found {points.dtype} of shape {points.shape}")
    if not len(points):
        raise MeshEmpty("wanted points, found an array of none")
    return Arrays(points.astype(np.float64), NO_FACES)
