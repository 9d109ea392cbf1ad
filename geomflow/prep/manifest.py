"""The manifest: an append-only list of what became of every mesh, one JSON object per line."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from geomflow.errors import RecordError
from geomflow.storage import Folder, open_folder

NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Entry:
    """What became of one mesh.

    Attributes:
        id: Name of the shape.
        status: `done` or `failed`.
        class_name: Category.
        split: Subset.
        recipe_hash: Recipe that was tried.
        path: Where the mesh is.
        seconds: Time it took.
        file: Record's path relative to the dataset folder, empty if there is none.
        error: Reason of a failure.
        made_from: Fingerprint of the mesh file's name, size and time and of what is said about it, to notice changes.
        sha256: Hash of the mesh file.
        flags: What is doubtful about the mesh, see `geomflow.prep.quality`.
        doubt: Share of the points near the surface whose sign is not trusted.
    """

    id: str
    status: str
    class_name: str
    split: str
    recipe_hash: str
    path: str = ""
    seconds: float = 0.0
    file: str = ""
    error: str = ""
    made_from: str = ""
    sha256: str = ""
    flags: tuple[str, ...] = ()
    doubt: float = 0.0


@contextmanager
def appending(folder: Folder) -> Iterator[Callable[[Entry], object]]:
    """Give a function that adds an entry to a folder's manifest at once, or soon where the folder is remote.

    Args:
        folder: The data set's folder.
    """
    with folder.appending(NAME) as append:
        yield lambda entry: append(json.dumps(asdict(entry)))


def read(place: str | Path) -> dict[str, Entry]:
    """Return the latest entry of every shape id; a half-written last line, as a killed run leaves, is passed over.

    Args:
        place: Dataset folder, or its URL.

    Raises:
        RecordError: The folder has no manifest, or a line of it is none of ours.
    """
    try:
        content = open_folder(place).read(NAME)
    except OSError as error:
        raise RecordError(f"{place}: not a dataset folder: it has no {NAME} (make one with `geomflow prep`)") from error
    return parse(place, content)


def parse(place: str | Path, content: bytes) -> dict[str, Entry]:
    """Return the latest entry of every shape id in the content of a manifest, see `read`.

    Args:
        place: Where it is from, for messages.
        content: The whole file.

    Raises:
        RecordError: A line is none of ours.
    """
    lines = enumerate(content.decode().split("\n")[:-1], start=1)
    return {entry.id: entry for entry in (_parsed(place, number, line) for number, line in lines if line)}


def record_files(folder: str | Path, split: str) -> list[Path]:
    """Return the record files of a split in the order of their ids.

    Args:
        folder: The data set's folder.
        split: Name of the split.

    Raises:
        RecordError: The folder is no dataset, the split has no record, or its records are of different recipes.
    """
    folder = Path(folder)
    return [folder / entry.file for entry in of_split(folder, read(folder), split)]


def class_names(folder: str | Path, split: str) -> list[str]:
    """Return the class of each record of a split, in the order of `record_files`.

    Args:
        folder: The data set's folder.
        split: Name of the split.

    Raises:
        RecordError: As `record_files`.
    """
    folder = Path(folder)
    return [entry.class_name for entry in of_split(folder, read(folder), split)]


def of_split(folder: str | Path, entries: dict[str, Entry], split: str) -> list[Entry]:
    """Return the entries of a split's records in the order of their ids.

    Args:
        folder: What messages name.
        entries: The folder's manifest.
        split: Name of the split.

    Raises:
        RecordError: The split has no record, or its records are of different recipes.
    """
    done = [entry for entry in entries.values() if entry.status == "done"]
    chosen = sorted((entry for entry in done if entry.split == split), key=lambda entry: entry.id)
    if not chosen:
        splits = sorted({entry.split for entry in done})
        raise RecordError(
            f"{folder}: no shape in split {split!r}; there are {', '.join(splits) or 'no records at all'}"
        )
    if len({entry.recipe_hash for entry in chosen}) > 1:
        raise RecordError(
            f"{folder}: split {split!r} mixes records of different recipes; run `geomflow prep` to its end"
        )
    return chosen


def _parsed(place: str | Path, number: int, line: str) -> Entry:
    try:
        values = json.loads(line)
        return Entry(**{**values, "flags": tuple(values.get("flags", ()))})
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"{place}/{NAME}, line {number}: not an entry of a manifest ({error})") from error
