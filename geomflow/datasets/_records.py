"""Reading a record's views, grid and surface, and reflecting them: shared by the datasets made of records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from geomflow.errors import RecordError
from geomflow.records import ShapeRecord, load_record

REFLECTION = torch.tensor([-1.0, 1.0, 1.0, -1.0, 1.0, 1.0])
"""Factors that reflect a row of point and normal in x."""


def load_with_grid(file: Path, names: tuple[str, ...] = ()) -> tuple[np.ndarray, ShapeRecord]:
    """Return a record's grid of signed distances (x, y, z), and the record with the named arrays.

    Raises:
        RecordError: The record cannot be read or has no grid.
    """
    record = load_record(file, ("sdf_grid", *names))
    if record.sdf_grid is None:
        raise RecordError(f"{file}: has no sdf_grid; prepare the dataset with a resolution above 0")
    return record.sdf_grid, record


def check_resolution(where: str | Path, found: Sequence[int], wanted: int) -> None:
    """Refuse grids (x, y, z) of another resolution than an encoder reads.

    Raises:
        RecordError: They are of another; the message names where they are, and both ways out.
    """
    if tuple(found) != (wanted,) * 3:
        raise RecordError(
            f"{where}: has grids of {' x '.join(map(str, found))} samples, the encoder wants {wanted} per axis: "
            f"prepare it with geomflow prep ... --resolution {wanted}, or take an encoder with --encoder.resolution "
            f"{found[0]}"
        )


def load_surface(file: Path, count: int | None = None) -> np.ndarray:
    """Return a record's first `count` surface points, which are in random order, with their normals (n, 6).

    Without a count, or in a record with fewer, these are all it has.

    Raises:
        RecordError: The record cannot be read.
    """
    record = load_record(file, ("surface_points", "surface_normals"))
    return np.concatenate([record.surface_points[:count], record.surface_normals[:count]], axis=1).astype(np.float32)
