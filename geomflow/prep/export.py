"""Export: a dataset of shape records to the files and folders that another project's own loader reads."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from geomflow import shelves
from geomflow.errors import RecordError
from geomflow.files import write_atomically
from geomflow.prep._entries import done_entries
from geomflow.prep.manifest import Entry
from geomflow.records import RecordHeader, ShapeRecord, load_record

STAMP = "export.json"
"""File that says which layout and options an export's folder holds."""


@runtime_checkable
class View(Protocol):
    """What export asks of an item on the shelf of views: a dataclass of options with these methods.

    Attributes:
        needs: Arrays of a record that must not be empty.
    """

    needs: tuple[str, ...]

    def paths(self, item: Entry | RecordHeader) -> list[str]:
        """Return the files of one shape, relative to the export's folder.

        Args:
            item: The shape, as the manifest or its record knows it.
        """
        ...

    def files(self, record: ShapeRecord) -> dict[str, bytes]:
        """Return the contents of those files.

        Args:
            record: The shape's record.
        """
        ...

    def lists(self, items: Iterable[Entry]) -> dict[str, bytes]:
        """Return the files that list what there is, such as splits.

        Args:
            items: The shapes of the data set.
        """
        ...


@dataclass(frozen=True)
class ExportSummary:
    """What a run did: counts of shapes written now and found from earlier runs, and the lists that were written.

    Attributes:
        made: Shapes written now.
        kept: Shapes found from earlier runs.
        lists: Files that list what there is.
    """

    made: int
    kept: int
    lists: list[str]


def export(dataset: str | Path, out: str | Path, to: str, progress: bool = True, **options: Any) -> ExportSummary:
    """Write a dataset in another project's layout; equal datasets and options give equal bytes.

    Running it again continues: shapes whose files are all there, and not older than their record, are kept. Lists of
    splits are written in the end.

    Args:
        dataset: Folder that `prepare` wrote.
        out: Folder to write to, made if needed; it takes the place of that project's data folder.
        to: A name on the shelf of views, such as `vecset`, or the dotted path of a module.
        progress: Whether to show a bar.
        **options: What the view's `make` takes.

    Raises:
        ConfigError: There is no such view, or it has no such option.
        RecordError: No dataset or no records, a record lacks what the layout needs, or the folder holds an export to
            another layout or with other options.
    """
    dataset, out = Path(dataset), Path(out)
    view = shelves.load("views", to, **options)
    entries = done_entries(dataset)
    lists = view.lists(entries)
    _stamp(out, to, view, {*lists, *(path for entry in entries for path in view.paths(entry))})
    todo = [entry for entry in entries if not _is_done(dataset, out, view, entry)]
    for entry in tqdm(todo, desc=f"export to {to}", unit="shape", disable=not progress):
        _write(out, view.files(_load(dataset / entry.file, view, to)))
    _write(out, lists)
    return ExportSummary(len(todo), len(entries) - len(todo), sorted(lists))


def _stamp(out: Path, to: str, view: Any, wanted: set[str]) -> None:
    """Note what the folder is for and which files it will hold, and remove those of shapes that are no longer meant.

    A loader that takes all files of a split's folder would find a shape in two splits otherwise.
    """
    purpose = json.loads(json.dumps({"layout": to, "options": asdict(view)}))
    file = out / STAMP
    before = json.loads(file.read_text()) if file.is_file() else {**purpose, "files": []}
    if {**before, "files": []} != {**purpose, "files": []}:
        found = {name: value for name, value in before.items() if name != "files"}
        raise RecordError(
            f"{out}: holds an export {json.dumps(found)}, wanted {json.dumps(purpose)}; use another folder"
        )
    for path in set(before["files"]) - wanted:
        (out / path).unlink(missing_ok=True)
    write_atomically(file, (json.dumps({**purpose, "files": sorted(wanted)}, sort_keys=True, indent=0) + "\n").encode())


def _is_done(dataset: Path, out: Path, view: View, entry: Entry) -> bool:
    record = dataset / entry.file
    made = record.stat().st_mtime_ns if record.is_file() else 0
    files = [out / path for path in view.paths(entry)]
    return all(file.is_file() and file.stat().st_mtime_ns >= made for file in files)


def _load(file: Path, view: View, to: str) -> ShapeRecord:
    record = load_record(file)
    for name in view.needs:
        if not len(getattr(record, name)):
            raise RecordError(f"{file}: the layout {to!r} needs {name}, of which this record has none")
    return record


def _write(out: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        write_atomically(out / path, content)
