"""Reading a record that must have a grid: shared by the datasets made of records."""

from pathlib import Path

import numpy as np

from geomflow.errors import RecordError
from geomflow.records import ShapeRecord, load_record


def load_with_grid(file: Path, names: tuple[str, ...] = ()) -> tuple[np.ndarray, ShapeRecord]:
    """Return a record's grid of signed distances (x, y, z), and the record with the named arrays.

    Raises:
        RecordError: The record cannot be read or has no grid.
    """
    record = load_record(file, ("sdf_grid", *names))
    if record.sdf_grid is None:
        raise RecordError(f"{file}: has no sdf_grid; prepare the dataset with a resolution above 0")
    return record.sdf_grid, record
