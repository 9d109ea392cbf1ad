"""Thingi10K: 10,000 models for 3D printing from Thingiverse, each under the licence of its thing.

From https://ten-thousand-models.appspot.com, in either of two ways. Without ROOT the package `thingi10k` (1.5.0 when
this was written) downloads the original files, some gigabytes, and says each file's licence and author; it leaves out
four damaged files. With ROOT the files of the archive `Thingi10K.tar.gz` are read where they are. No checksums of the
files are published.

    ROOT/**/ID.stl            also .obj, .off and .ply; ID is a number
    ROOT/**/input_summary.csv     ID, Thing ID, License, ...         if there; without it the terms are unknown
    ROOT/**/contextual_data.csv   Thing ID, Category, Author, ...    if there

z is up by the habit of 3D printing, which was not checked file by file; fronts are not known. The classes are
Thingiverse's categories. There are no splits.

    python -m data_prep.thingi10k [ROOT] --out build/thingi10k.csv
    geomflow prep build/thingi10k.csv build/thingi10k
"""

import argparse
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from data_prep._table import Found, Item, Recipe, read_table, run, wanted
from geomflow.errors import GeomflowError, RecordError
from geomflow.geometry.read import SUFFIXES

TERMS = (
    "each file is under the licence in its row, as its author stated it on Thingiverse: mostly Creative Commons, some "
    "non-commercial, some GPL; credit the `creator`. https://ten-thousand-models.appspot.com"
)
COUNT = 10_000
DAMAGED = 4
"""Files that the package leaves out: 49911, 74463, 77942 and 286163."""


class Library(Protocol):
    """What this recipe calls of the package `thingi10k`."""

    def init(self, variant: Any) -> None:
        """Download a variant of the data set, or find it where an earlier call left it.

        Args:
            variant: Which of the published variants.
        """
        ...

    def dataset(self) -> Iterable[Any]:
        """Return what is known of each file."""
        ...


def find(root: Path | None = None, library: Library | None = None) -> Found:
    """Return the files of a folder, or those that the package downloads.

    Args:
        root: Folder of files that are already there.
        library: Package `thingi10k`, imported if None; not used with a folder.

    Raises:
        RecordError: The folder is not there, or has no mesh whose name is a number.
        GeomflowError: There is no folder and the package is not installed.
    """
    if root is not None:
        return _in_folder(wanted(root.resolve(), "a folder of Thingi10K's files"))
    package = library or _package()
    note = "which files there are is known once the package has downloaded them"
    return Found([], COUNT - DAMAGED, (note,), download=lambda: _downloaded(package))


def _package() -> Library:
    try:
        return importlib.import_module("thingi10k")  # pyright: ignore[reportReturnType]
    except ModuleNotFoundError as error:
        raise GeomflowError(
            "Thingi10K is downloaded by the package thingi10k: pip install thingi10k, or name a folder of its files"
        ) from error


def _downloaded(library: Library) -> list[Item]:
    library.init(variant="raw")
    return [
        _item(Path(entry["file_path"]), entry["category"], entry["license"], entry["author"])
        for entry in library.dataset()
    ]


def _in_folder(root: Path) -> Found:
    files = sorted(file for file in root.rglob("*") if file.stem.isdigit() and file.suffix.lower() in SUFFIXES)
    if not files:
        raise RecordError(f"{root}: wanted files like 32770.stl, found none")
    terms = _rows(root, "input_summary.csv", "ID", ("ID", "Thing ID", "License"))
    things = _rows(root, "contextual_data.csv", "Thing ID", ("Thing ID", "Category", "Author"))
    items = []
    for file in files:
        about = terms.get(file.stem, {})
        thing = things.get(about.get("Thing ID", ""), {})
        items.append(_item(file, thing.get("Category", ""), about.get("License", ""), thing.get("Author", "")))
    unknown = sum(not item.license for item in items)
    return Found(items, COUNT, (f"{unknown} files of unknown licence",) if unknown else ())


def _rows(root: Path, name: str, key: str, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Rows of a table somewhere in the folder, by one of its columns; nothing if it is not there."""
    tables = sorted(root.rglob(name))
    return {row[key]: row for row in read_table(tables[0], columns)} if tables else {}


def _item(file: Path, category: str, license: str, creator: str) -> Item:
    unknown = ("None", "unknown", "unknown_license")
    class_name, license, creator = ("" if text in unknown else text for text in (category, license, creator))
    return Item(file.stem, str(file), class_name, up="z", license=license, creator=creator)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, nargs="?", help="folder of files that are already there")


RECIPE = Recipe("thingi10k", __doc__ or "", TERMS, find, _options)

if __name__ == "__main__":
    run(RECIPE)
