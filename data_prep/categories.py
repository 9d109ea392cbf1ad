"""Categories: every kind of shape of two collections of which enough may be passed on, for class-conditional models.

Writes a CSV for `geomflow prep`. As in `seating`, training takes only procedural shapes and CC0 meshes, and meshes
whose terms ask for credit are kept for testing. Kinds that differ by a name alone are one class, and classes of fewer
than 20 training shapes are left out.

    DATA/shapes/, DATA/shapes_procedural/   each as data_prep.shapes reads it

    python -m data_prep.categories DATA --out build/categories.csv
    geomflow prep build/categories.csv build/categories
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from data_prep._table import Found, Item, Recipe, run
from data_prep.seating import TERMS, usable
from data_prep.shapes import told_apart

JOINED = {
    "armchair": "chair",
    "bar_chair": "stool",
    "cocktail_table": "table",
    "coffee_table": "table",
    "desk": "table",
    "dining_table": "table",
    "side_table": "table",
}
"""Kinds that count as another."""

FEWEST = 20
"""Training shapes that a class must have."""


def find(root: Path) -> Found:
    """Return the shapes of all classes that are large enough.

    Args:
        root: Folder of the collections, with a manifest each.

    Raises:
        RecordError: The data folder lacks a collection's manifest.
    """
    items = [_joined(item) for item in usable(root)]
    sizes = Counter(item.class_name for item in items if item.split == "train")
    return Found(told_apart([item for item in items if sizes[item.class_name] >= FEWEST]))


def _joined(item: Item) -> Item:
    return replace(item, class_name=JOINED.get(item.class_name, item.class_name))


RECIPE = Recipe("categories", __doc__ or "", TERMS, find)

if __name__ == "__main__":
    run(RECIPE)
