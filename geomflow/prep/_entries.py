"""The records of a dataset that a command is about: those that are done, of one recipe per split, by id."""

from collections.abc import Sequence
from pathlib import Path

from geomflow.errors import RecordError
from geomflow.prep import manifest
from geomflow.prep.manifest import Entry


def done_entries(dataset: Path, splits: Sequence[str] | None = None) -> list[Entry]:
    """Return the entries of all records in some splits, in the order of their ids.

    Args:
        dataset: Folder that `prepare` wrote.
        splits: Names of splits, all if None.

    Raises:
        RecordError: No dataset, no record in it or in a split, or a split with records of different recipes.
    """
    done = [entry for entry in manifest.read(dataset).values() if entry.status == "done"]
    if not done:
        raise RecordError(f"{dataset}: no records in it; make some with `geomflow prep`")
    wanted = sorted({entry.split for entry in done}) if splits is None else list(splits)
    for split in wanted:
        manifest.record_files(dataset, split)
    return sorted((entry for entry in done if entry.split in wanted), key=lambda entry: entry.id)
