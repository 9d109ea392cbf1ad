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
    entries = manifest.read(dataset)
    present = sorted({entry.split for entry in entries.values() if entry.status == "done"})
    if not present:
        raise RecordError(f"{dataset}: no records in it; make some with `geomflow prep`")
    wanted = dict.fromkeys(present if splits is None else splits)
    chosen = [entry for split in wanted for entry in manifest.of_split(dataset, entries, split)]
    return sorted(chosen, key=lambda entry: entry.id)
