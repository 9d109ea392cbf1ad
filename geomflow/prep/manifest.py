"""The manifest: an append-only list of what became of every mesh, one JSON object per line."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from geomflow.errors import RecordError

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
        seconds: Time it took.
        file: Record's path relative to the dataset folder, empty if there is none.
        error: Reason of a failure.
        made_from: Fingerprint of the mesh file's place, size and time and of what is said about it, to notice changes.
    """

    id: str
    status: str
    class_name: str
    split: str
    recipe_hash: str
    seconds: float = 0.0
    file: str = ""
    error: str = ""
    made_from: str = ""


def append(folder: Path, entry: Entry) -> None:
    """Add one line to the dataset's manifest."""
    with (folder / NAME).open("a") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def read(folder: Path) -> dict[str, Entry]:
    """Return the latest entry of every shape id; a half-written last line, as a killed run leaves, is passed over.

    Raises:
        RecordError: The folder has no manifest, or a line of it is none of ours.
    """
    path = folder / NAME
    if not path.is_file():
        raise RecordError(f"{folder}: not a dataset folder: it has no {NAME} (make one with `geomflow prep`)")
    lines = enumerate(path.read_text().split("\n")[:-1], start=1)
    return {entry.id: entry for entry in (_parsed(path, number, line) for number, line in lines if line)}


def record_files(folder: str | Path, split: str) -> list[Path]:
    """Return the record files of a split in the order of their ids.

    Raises:
        RecordError: The folder is no dataset, the split has no record, or its records are of different recipes.
    """
    folder = Path(folder)
    done = [entry for entry in read(folder).values() if entry.status == "done"]
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


def mend(folder: Path) -> None:
    """Cut off a last line without its newline, so that the next `append` starts a line of its own."""
    path = folder / NAME
    if path.is_file():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def _parsed(path: Path, number: int, line: str) -> Entry:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise RecordError(f"{path}, line {number}: not an entry of a manifest ({error})") from error
