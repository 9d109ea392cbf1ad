"""ShapeNetCore v1 and v2: about 51,300 models in 55 WordNet categories.

From https://shapenet.org, after registration; for non-commercial research and education only. No checksums are
published.

    ROOT/SYNSET/MODEL/model.obj                       v1: +y up, front +x
    ROOT/SYNSET/MODEL/models/model_normalized.obj     v2: +y up, front -z
    ROOT/taxonomy.json                                names of the synsets, if there
    ROOT/all.csv                                      splits: id, synsetId, subSynsetId, modelId, split, if there

The axes are those of the README files of both releases. The splits are those of SHREC 2016
(shapenet.cs.stanford.edu/shapenet/obj-zip/SHREC16/all.csv). Shapes that they do not list are left out and counted,
since they could be copies of test shapes; without the file everything is training data.

    python -m data_prep.shapenet ROOT --classes chair --out build/shapenet.csv
    geomflow prep build/shapenet.csv build/shapenet
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep._synsets import LICENSE, NAMES, TERMS, is_synset
from data_prep._table import Found, Item, Recipe, add_root, of_classes, read_table, run, wanted
from geomflow.errors import RecordError

LAYOUTS = {"model.obj": 270.0, "models/model_normalized.obj": 180.0}
"""Mesh file in a model's folder, and the degrees about +y that turn its front to +z: from +x in v1, from -z in v2."""

SPLIT_COLUMNS = ("synsetId", "modelId", "split")
Key = tuple[str, str]


def find(root: Path, classes: Sequence[str] = (), splits: Path | None = None) -> Found:
    """Return the models of a folder.

    Args:
        root: Folder of the synsets.
        classes: Classes to keep, all if empty.
        splits: Table of the splits, `all.csv` in the folder if None.

    Raises:
        RecordError: Nothing in the published layout is there, or a table is not what it should be.
    """
    names = synset_names(root)
    models = {(path.parent.name, path.name): _item(path, names) for path in _folders(root)}
    if all(item.yaw is None for item in models.values()):
        raise RecordError(f"{root}: wanted SYNSET/MODEL folders with {' or '.join(LAYOUTS)}, found none")
    table = _splits(root, splits)
    if table is None:
        return Found(of_classes([*models.values()], classes), notes=("no all.csv, so all shapes are training data",))
    synsets = {synset for synset, _ in models}
    listed = [(key, split) for key, split in table.items() if key[0] in synsets]
    items = [replace(models.get(key) or _item(root / Path(*key), names), split=split) for key, split in listed]
    kept = of_classes(items, classes)
    return Found(kept, len(kept), _notes(models.keys() - table.keys()))


def synset_names(root: Path) -> dict[str, str]:
    """Return the name of each synset, from `taxonomy.json` if it is there.

    Args:
        root: Folder of the collection as it is published.

    Raises:
        RecordError: The file is not a list of objects with `synsetId` and `name`.
    """
    path = root / "taxonomy.json"
    if not path.is_file():
        return NAMES
    try:
        nodes = json.loads(path.read_text())
        return {**NAMES, **{node["synsetId"]: node["name"].split(",")[0].replace(" ", "_") for node in nodes}}
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: wanted a list of objects with synsetId and name ({error!r})") from error


def _folders(root: Path) -> list[Path]:
    """Folders of models, in a fixed order."""
    synsets = sorted(folder for folder in wanted(root, "a folder").iterdir() if is_synset(folder.name))
    return [model for synset in synsets for model in sorted(synset.iterdir()) if model.is_dir()]


def _item(folder: Path, names: dict[str, str]) -> Item:
    """The item of a model's folder; its path is the folder where that holds no mesh."""
    synset, model = folder.parent.name, folder.name
    layout = next((name for name in LAYOUTS if (folder / name).is_file()), "")
    path, yaw = str(folder.resolve() / layout), LAYOUTS.get(layout)
    return Item(f"{synset}-{model}", path, names.get(synset, synset), "train", "y", yaw, LICENSE)


def _splits(root: Path, splits: Path | None) -> dict[Key, str] | None:
    """Split of each (synset, model), or None where there is no table."""
    if splits is None and not (root / "all.csv").is_file():
        return None
    rows = read_table(splits or root / "all.csv", SPLIT_COLUMNS)
    return {(row["synsetId"].zfill(8), row["modelId"]): row["split"] for row in rows}


def _notes(unlisted: set[Key]) -> tuple[str, ...]:
    """What to say of shapes that the splits do not list."""
    first = ", ".join("/".join(key) for key in sorted(unlisted)[:3])
    return (f"{len(unlisted)} shapes are not in the split table and are left out: {first}",) if unlisted else ()


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder of ShapeNetCore")
    parser.add_argument("--classes", nargs="+", default=(), help="classes to keep, by name")
    parser.add_argument("--splits", type=Path, help="table of the splits (default: ROOT/all.csv)")


RECIPE = Recipe("shapenet", __doc__ or "", TERMS, find, _options)

if __name__ == "__main__":
    run(RECIPE)
