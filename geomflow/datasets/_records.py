"""Reading the records of a split: shared by the datasets made of records."""

from pathlib import Path

import numpy as np

from geomflow.errors import RecordError
from geomflow.prep import manifest
from geomflow.records import ShapeRecord, load_record


def record_files(folder: str | Path, split: str) -> list[Path]:
    """Return the record files of a split in the order of their ids.

    Raises:
        RecordError: The folder is no dataset, the split has no record, or its records are of different recipes.
    """
    folder = Path(folder)
    done = [entry for entry in manifest.read(folder).values() if entry.status == "done"]
    chosen = sorted((entry.id, folder / entry.file) for entry in done if entry.split == split)
    if not chosen:
        splits = sorted({entry.split for entry in done})
        raise RecordError(
            f"{folder}: no shape in split {split!r}; there are {', '.join(splits) or 'no records at all'}"
        )
    if len({entry.recipe_hash for entry in done if entry.split == split}) > 1:
        raise RecordError(
            f"{folder}: split {split!r} mixes records of different recipes; run `geomflow prep` to its end"
        )
    return [file for _, file in chosen]


def load_with_grid(file: Path, names: tuple[str, ...] = ()) -> tuple[np.ndarray, ShapeRecord]:
    """Return a record's grid of signed distances (x, y, z), and the record with the named arrays.

    Raises:
        RecordError: The record cannot be read or has no grid.
    """
    record = load_record(file, ("sdf_grid", *names))
    if record.sdf_grid is None:
        raise RecordError(f"{file}: has no sdf_grid; prepare the dataset with a resolution above 0")
    return record.sdf_grid, record
