"""Amazon Berkeley Objects: 7,953 products as glTF models in metres.

From https://amazon-berkeley-objects.s3.amazonaws.com/index.html (`abo-3dmodels.tar`, and `abo-listings.tar` for the
classes), under CC BY 4.0. An earlier release was under CC BY-NC 4.0: a copy that brings that licence's text is labelled
so. No checksums are published.

    ROOT/3dmodels/metadata/3dmodels.csv.gz     3dmodel_id, path, ... per model
    ROOT/3dmodels/original/PATH                PATH is X/ID.glb
    ROOT/listings/metadata/listings_?.json.gz  one JSON object per line: 3dmodel_id, product_type, ... if there

+y is up and +z the front where there is one, as the data set's README says. There are no splits.

    python -m data_prep.abo ROOT --classes chair --out build/abo.csv
    geomflow prep build/abo.csv build/abo
"""

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from data_prep._table import Found, Item, Recipe, add_root, of_classes, read_table, run
from geomflow.errors import RecordError

TERMS = (
    "CC BY 4.0: credit Amazon.com for the models, link the licence and say what was changed. "
    "https://amazon-berkeley-objects.s3.amazonaws.com/index.html"
)
COUNT = 7953
NON_COMMERCIAL = "LICENSE-CC-BY-NC-4.0.txt"
"""Licence text of the earlier release."""


def find(root: Path, classes: Sequence[str] = ()) -> Found:
    """Return the models of the table, with the product types of the listings as classes.

    Args:
        root: Folder of the collection as it is published.
        classes: Product types to keep; all if there are none.

    Raises:
        RecordError: The table is missing or no such table, a listing cannot be read, or there is no such class.
    """
    models = root.resolve() / "3dmodels"
    types = product_types(root)
    terms = "CC-BY-NC-4.0" if (root / NON_COMMERCIAL).is_file() else "CC-BY-4.0"
    items = [
        Item(
            id=row["3dmodel_id"],
            path=str(models / "original" / row["path"]),
            class_name=types.get(row["3dmodel_id"], ""),
            up="y",
            yaw=0.0,
            license=terms,
            creator="Amazon.com",
        )
        for row in read_table(models / "metadata" / "3dmodels.csv.gz", ("3dmodel_id", "path"))
    ]
    notes = () if types else ("no listings, so no classes (they are in abo-listings.tar)",)
    notes += (f"{NON_COMMERCIAL} says that this copy is under CC BY-NC 4.0",) if terms != "CC-BY-4.0" else ()
    return Found(of_classes(items, classes), 0 if classes else COUNT, notes)


def product_types(root: Path) -> dict[str, str]:
    """Return the product type of each model, in lower case, from the first listing that shows it.

    Args:
        root: Folder of the collection as it is published.

    Raises:
        RecordError: A listing is not compressed JSON, one object per line.
    """
    types: dict[str, str] = {}
    for path in sorted((root / "listings" / "metadata").glob("listings_*.json.gz")):
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for listing in map(json.loads, file):
                    if "3dmodel_id" in listing:
                        types.setdefault(listing["3dmodel_id"], _text(listing.get("product_type", "")).lower())
        except (ValueError, EOFError, gzip.BadGzipFile) as error:
            raise RecordError(f"{path}: wanted gzip of one JSON object per line ({error})") from error
    return types


def _text(value: str | list[dict[str, str]]) -> str:
    """A field's text; the README says it is one, the files hold it in a list of objects."""
    return value if isinstance(value, str) else value[0]["value"] if value else ""


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder that holds 3dmodels/ and listings/")
    parser.add_argument("--classes", nargs="+", default=(), help="product types to keep, in lower case")


RECIPE = Recipe("abo", __doc__ or "", TERMS, find, _options)

if __name__ == "__main__":
    run(RECIPE)
