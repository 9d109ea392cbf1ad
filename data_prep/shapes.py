"""Shapes with a manifest: a folder of archives and a `manifest.csv` that knows each mesh's terms, axes and hash.

The data are whatever the manifest lists; its terms are in its column `license`, or are given on the command line for a
collection whose manifest has none.

    FOLDER/manifest.csv     columns id, class, split, archive, member, and as far as known
                            up, yaw_to_front_z, license, creator, sha256 (of the member)
    FOLDER/ARCHIVE/MEMBER   the meshes; ARCHIVE is a zip, or empty for meshes beside the manifest

    python -m data_prep.shapes FOLDER --licenses CC0-1.0 --out build/shapes.csv
    geomflow prep build/shapes.csv build/shapes
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep._table import Found, Item, Recipe, add_root, check_known, of_classes, read_table, run
from geomflow.errors import RecordError

COLUMNS = ("id", "class", "split", "archive", "member")
TERMS = "those in the column `license` of the table, item by item; credit the `creator`."


def find(
    root: Path, classes: Sequence[str] = (), licenses: Sequence[str] = (), license: str = "", creator: str = ""
) -> Found:
    """Return the shapes of a manifest.

    Args:
        root: Folder of the manifest.
        classes: Classes to keep, all if empty.
        licenses: Terms to keep, all if empty.
        license: Terms of shapes for which the manifest says none.
        creator: Creator of shapes for which the manifest says none.

    Raises:
        RecordError: There is no manifest, or it lacks a column, or there is no such class or licence.
    """
    items = of_classes(read(root, license, creator), classes)
    check_known("licence", licenses, {item.license for item in items})
    kept = [item for item in items if not licenses or item.license in licenses]
    terms = Counter(item.license or "unknown" for item in kept)
    return Found(told_apart(kept), notes=tuple(f"{count} under {name}" for name, count in sorted(terms.items())))


def read(folder: Path, license: str = "", creator: str = "") -> list[Item]:
    """Return the items of a manifest as they are, with these terms where it says none.

    Args:
        folder: Folder of the collection, with its manifest.
        license: Terms of items whose row names none.
        creator: Creator of items whose row names none.

    Raises:
        RecordError: There is no manifest, or it lacks a column, or a yaw is no number.
    """
    table = folder / "manifest.csv"
    try:
        return [_item(folder.resolve(), row, license, creator) for row in read_table(table, COLUMNS)]
    except ValueError as error:
        raise RecordError(f"{table}: {error}") from error


def told_apart(items: list[Item]) -> list[Item]:
    """Return the items, with the class before those ids that several share.

    Args:
        items: Items whose ids may clash.
    """
    shared = Counter(item.id for item in items)
    return [item if shared[item.id] == 1 else replace(item, id=f"{item.class_name}-{item.id}") for item in items]


def _item(folder: Path, row: dict[str, str], license: str, creator: str) -> Item:
    yaw = row.get("yaw_to_front_z") or row.get("yaw")
    return Item(
        id=row["id"],
        path=str(folder / row["archive"] / row["member"]),
        class_name=row["class"],
        split=row["split"],
        up=row.get("up", ""),
        yaw=float(yaw) if yaw else None,
        license=row.get("license") or license,
        creator=row.get("creator") or creator,
        sha256=row.get("sha256", ""),
    )


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder with a manifest.csv")
    parser.add_argument("--classes", nargs="+", default=(), help="classes to keep")
    parser.add_argument("--licenses", nargs="+", default=(), help="terms to keep")
    parser.add_argument("--license", default="", help="terms where the manifest says none")
    parser.add_argument("--creator", default="", help="creator where the manifest says none")


RECIPE = Recipe("shapes", __doc__ or "", TERMS, find, _options)

if __name__ == "__main__":
    run(RECIPE)
