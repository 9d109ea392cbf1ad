"""ModelNet10 and ModelNet40: 4,899 and 12,311 CAD models in the classes and splits of Princeton's benchmark.

From https://modelnet.cs.princeton.edu. The models were collected from the internet and their authors keep the
copyright; the set is offered for academic research only. No checksums are published.

    ROOT/CLASS/train|test/CLASS_0001.off    ROOT is the folder or zip, ModelNet10 or ModelNet40

z is up. Fronts are aligned in ModelNet10 but not in the original ModelNet40, so no yaw is given. Many files have the
counts on the same line as `OFF`, which the reader accepts.

    python -m data_prep.modelnet ROOT --out build/modelnet.csv
    geomflow prep build/modelnet.csv build/modelnet
"""

from pathlib import Path

from data_prep._table import Found, Item, Recipe, add_root, run
from geomflow.errors import RecordError
from geomflow.prep.sources import find_sources

TERMS = (
    "for academic research only; the models' authors hold the copyright, and no licence to pass them on is given. "
    "https://modelnet.cs.princeton.edu"
)
COUNTS = {10: 4899, 40: 12311}
"""Models by number of classes: 3,991 + 908 in ModelNet10, 9,843 + 2,468 in ModelNet40 (train + test)."""


def find(root: Path) -> Found:
    """Return the models of a folder or zip.

    Args:
        root: Folder or zip as it is published.

    Raises:
        RecordError: It is neither, or has no `.off` file in the published layout.
    """
    sources = [source for source in find_sources(root.resolve()) if source.path.lower().endswith(".off")]
    items = [
        Item(Path(s.path).stem, s.path, s.class_name, s.split, "z", license="academic research only")
        for s in sources
        if Path(s.path).parts[-3:-1] == (s.class_name, s.split)
    ]
    if not items:
        raise RecordError(f"{root}: wanted CLASS/train|test/CLASS_0001.off, found no such file")
    return Found(items, COUNTS.get(len({item.class_name for item in items}), 0))


RECIPE = Recipe("modelnet", __doc__ or "", TERMS, find, lambda parser: add_root(parser, "folder or zip"))

if __name__ == "__main__":
    run(RECIPE)
