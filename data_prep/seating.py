"""Seating: chairs, stools, armchairs and benches of one up axis and one front, from the manifests of two collections.

Writes a CSV for `geomflow prep`. Training takes what may be passed on freely (the procedural chairs, program output of
Infinigen, and CC0 meshes), so that weights trained on it can be shipped; meshes whose terms ask for credit (CC-BY) are
kept for testing, and GPL meshes are left out.

    DATA/shapes/, DATA/shapes_procedural/   each as data_prep.shapes reads it

    python -m data_prep.seating DATA --out build/seating.csv
    geomflow prep build/seating.csv build/seating
"""

from pathlib import Path

from data_prep._table import Found, Item, Recipe, run
from data_prep.shapes import read, told_apart

CLASSES = ("chair", "office_chair", "bar_chair", "armchair", "stool", "bench")
PROCEDURAL = {"license": "BSD-3-Clause program output", "creator": "Infinigen 1.15.5"}
"""Terms of `shapes_procedural`, whose manifest has none."""

FREE = (PROCEDURAL["license"], "CC0-1.0")
CREDITED = ("CC-BY-3.0", "CC-BY-3.0-US")
TERMS = "free to pass on in the split train (CC0 and program output), CC-BY 3.0 in test: credit the column `creator`."


def find(root: Path) -> Found:
    """Return the seats that may be used for what their split is for.

    Args:
        root: Folder of the collections, with a manifest each.

    Raises:
        RecordError: The data folder lacks a collection's manifest.
    """
    return Found(told_apart([item for item in usable(root) if item.class_name in CLASSES]))


def usable(root: Path) -> list[Item]:
    """Return the shapes of both collections whose terms are known and allow what their split is for.

    Args:
        root: Folder of the collections, with a manifest each.

    Raises:
        RecordError: The data folder lacks a collection's manifest.
    """
    every = [*read(root / "shapes_procedural", **PROCEDURAL), *read(root / "shapes")]
    return [item for item in every if item.license in FREE or (item.license in CREDITED and item.split == "test")]


RECIPE = Recipe("seating", __doc__ or "", TERMS, find)

if __name__ == "__main__":
    run(RECIPE)
