"""Objaverse 1.0: about 800,000 models from Sketchfab, each under a Creative Commons licence of its own.

From https://objaverse.allenai.org through the package `objaverse` (0.1.7 when this was written), which keeps what it
downloads in ~/.objaverse. The collection as a whole is under ODC-By 1.0; the annotations name each model's licence and
creator. The files come without published checksums.

    UIDS    text file with one uid per line; models under other licences than `--licenses` are counted and left out

glTF has +y up; fronts are not known. Classes are those of Objaverse-LVIS where a model has one. There are no splits.
A dry run lets the package download the annotations of the listed models, but no model.

    python -m data_prep.objaverse UIDS --licenses by cc0 --out build/objaverse.csv
    geomflow prep build/objaverse.csv build/objaverse
"""

import argparse
import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from data_prep._table import Found, Item, Recipe, add_root, check_known, run, wanted
from geomflow.errors import GeomflowError, RecordError

LICENSES = {
    "by": "CC-BY-4.0",
    "by-sa": "CC-BY-SA-4.0",
    "by-nc": "CC-BY-NC-4.0",
    "by-nc-sa": "CC-BY-NC-SA-4.0",
    "cc0": "CC0-1.0",
}
"""Licences by their name in the annotations; the versions are those of the data set's card."""

DEFAULT = ("by", "cc0")
TERMS = (
    "each model is under the licence in its row: credit the `creator` unless it is CC0, and honour NC and SA; the "
    "collection is under ODC-By 1.0. https://objaverse.allenai.org"
)


class Library(Protocol):
    """What this recipe calls of the package `objaverse`."""

    def load_uids(self) -> list[str]:
        """Return the uids of all models."""
        ...

    def load_annotations(self, uids: list[str]) -> dict[str, dict[str, Any]]:
        """Return the annotations of each model; a uid that does not exist is a KeyError.

        Args:
            uids: Names of the models; all if None.
        """
        ...

    def load_lvis_annotations(self) -> dict[str, list[str]]:
        """Return the uids of each LVIS category."""
        ...

    def load_objects(self, uids: list[str]) -> dict[str, str]:
        """Download models and return their files.

        Args:
            uids: Names of the models.
        """
        ...


def find(root: Path, licenses: Sequence[str] = DEFAULT, library: Library | None = None) -> Found:
    """Return the models of a list that are under these licences; their files come with `Found.download`.

    Args:
        root: Text file of uids.
        licenses: Licences to keep, by their name in the annotations.
        library: Package `objaverse`, imported if None.

    Raises:
        RecordError: There is no list, or it is empty, or there is no such licence.
        GeomflowError: The package is not installed.
    """
    check_known("licence", licenses, LICENSES)
    uids = list(dict.fromkeys(wanted(root, "a text file with one uid per line").read_text().split()))
    if not uids:
        raise RecordError(f"{root}: wanted one uid per line, found none")
    library = library or _package()
    existing = set(library.load_uids())
    known = library.load_annotations([uid for uid in uids if uid in existing])
    classes = {uid: name for name, members in library.load_lvis_annotations().items() for uid in members}
    items = [_item(uid, known[uid], classes) for uid in uids if uid in known and known[uid]["license"] in licenses]
    return Found(items, notes=_notes(uids, known, licenses), download=lambda: _downloaded(items, library))


def _package() -> Library:
    try:
        return importlib.import_module("objaverse")  # pyright: ignore[reportReturnType]
    except ModuleNotFoundError as error:
        raise GeomflowError("Objaverse is read through the package objaverse: pip install objaverse") from error


def _item(uid: str, about: dict[str, Any], classes: dict[str, str]) -> Item:
    user = about.get("user") or {}
    creator = user.get("displayName") or user.get("username") or ""
    return Item(uid, "", classes.get(uid, ""), up="y", license=LICENSES[about["license"]], creator=creator)


def _downloaded(items: list[Item], library: Library) -> list[Item]:
    files = library.load_objects([item.id for item in items])
    return [replace(item, path=files.get(item.id, "")) for item in items]


def _notes(uids: list[str], known: dict[str, dict[str, Any]], licenses: Sequence[str]) -> tuple[str, ...]:
    """How many models are left out, and why."""
    others = Counter(about["license"] for about in known.values() if about["license"] not in licenses)
    absent = len(uids) - len(known)
    notes = tuple(f"{count} left out: licence {name}" for name, count in sorted(others.items()))
    return (*notes, f"{absent} uids are not in Objaverse") if absent else notes


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "text file with one uid per line")
    parser.add_argument("--licenses", nargs="+", default=DEFAULT, help=f"of {', '.join(LICENSES)} (default: by cc0)")


RECIPE = Recipe("objaverse", __doc__ or "", TERMS, find, _options)

if __name__ == "__main__":
    run(RECIPE)
