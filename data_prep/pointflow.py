"""ShapeNetCore.v2.PC15k: PointFlow's point clouds, 15,000 points sampled on each model of ShapeNetCore v2.

From the authors of PointFlow, https://github.com/stevenygd/PointFlow, who link the archive; being made of ShapeNet, it
is under ShapeNet's terms. No checksums are published.

    ROOT/SYNSET/train|val|test/MODEL.npy    float arrays (15000, 3)

+y is up, as PointFlow's own reader says; the front is -z, as in ShapeNetCore v2, of which the clouds are samples.

    python -m data_prep.pointflow ROOT --classes chair --out build/pointflow.csv
    geomflow prep build/pointflow.csv build/pointflow --clouds
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep._synsets import LICENSE, NAMES, TERMS, is_synset
from data_prep._table import Found, Item, Recipe, add_root, of_classes, run, wanted
from geomflow.errors import RecordError

SPLITS = ("train", "val", "test")
YAW = 180.0


def find(root: Path, classes: Sequence[str] = ()) -> Found:
    """Return the clouds of a folder.

    Args:
        root: Folder of the clouds as it is published.
        classes: Names or synsets of the classes to keep; all if there are none.

    Raises:
        RecordError: Nothing in the published layout is there, or there is no such class.
    """
    files = sorted(wanted(root.resolve(), "a folder").glob("*/*/*.npy"))
    items = [_item(file) for file in files if is_synset(file.parts[-3]) and file.parts[-2] in SPLITS]
    if not items:
        raise RecordError(f"{root}: wanted SYNSET/train|val|test/MODEL.npy, found no such file")
    return Found(of_classes(items, classes))


def _item(file: Path) -> Item:
    synset, split = file.parts[-3:-1]
    return Item(f"{synset}-{file.stem}", str(file), NAMES.get(synset, synset), split, "y", YAW, LICENSE)


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder ShapeNetCore.v2.PC15k")
    parser.add_argument("--classes", nargs="+", default=(), help="classes to keep, by name")


RECIPE = Recipe("pointflow", __doc__ or "", TERMS, find, _options, prep="--clouds")

if __name__ == "__main__":
    run(RECIPE)
