"""Rigs: files in glTF, GLB or NPZ whose surfaces have skeletons, from a folder or zip, or by a manifest with archives.

The terms are those of the files: the manifest's, or what the command line says. Rigged or not is told from the tree
in each file's header, or from the names of its arrays, so a folder is looked through quickly.

    FOLDER/.../*.glb        any layout that `geomflow prep` knows, .gltf and .npz (docs/formats.md) as well; files
                            without a rig are left out
    FOLDER/manifest.csv     columns id, split, archive, member, cluster, licence, creator, sha256 (of the member); the
                            members are .npz rigs

With a manifest, +y is up and the class of a rig is its cluster: rigs that share a skeleton or a body, over which scores
are best averaged.

    python -m data_prep.rigs FOLDER --out build/rigs.csv
    geomflow prep build/rigs.csv build/rigs --rig
"""

import argparse
from collections import Counter
from pathlib import Path

from data_prep._table import Found, Item, Recipe, add_root, read_table, run
from geomflow.errors import MeshError, RecordError
from geomflow.geometry.rig import RIG_SUFFIXES, is_rigged
from geomflow.prep.sources import Source, find_sources, local_file

COLUMNS = ("id", "split", "archive", "member", "cluster", "licence", "creator", "sha256")
TERMS = "those in the column `license` of the table, item by item; credit the `creator`."


def find(root: Path, license: str = "", creator: str = "") -> Found:
    """Return the rigs of a folder or zip.

    Args:
        root: Folder with a manifest, or any folder or zip of files.
        license: Terms of files of which no manifest says any.
        creator: Creator of files of which no manifest says any.

    Raises:
        RecordError: There are no rigs, or the manifest lacks a column.
    """
    found = _listed(root) if (root / "manifest.csv").is_file() else _looked_through(root, license, creator)
    if not found.items:
        complaint = f"{root}: wanted {', '.join(RIG_SUFFIXES)} files with a rig, found none"
        raise RecordError("; ".join([complaint, *found.notes]))
    return found


def _listed(folder: Path) -> Found:
    """The rigs of a manifest."""
    rows = read_table(folder / "manifest.csv", COLUMNS)
    return Found([_item(folder.resolve(), row) for row in rows])


def _item(folder: Path, row: dict[str, str]) -> Item:
    return Item(
        id=row["id"],
        path=str(folder / row["archive"] / row["member"]),
        class_name=row["cluster"],
        split=row["split"],
        up="y",
        license=row["licence"],
        creator=row["creator"],
        sha256=row["sha256"],
    )


def _looked_through(root: Path, license: str, creator: str) -> Found:
    """The rigs among the meshes of a folder or zip."""
    every = find_sources(root.resolve(), rigs=True)
    sources = [source for source in every if source.path.lower().endswith(RIG_SUFFIXES)]
    kinds = {source.id: _kind(source) for source in sources}
    items = [
        Item(source.id, source.path, source.class_name, source.split, source.up, license=license, creator=creator)
        for source in sources
        if kinds[source.id] == "rigged"
    ]
    left_out = Counter(kind for kind in kinds.values() if kind != "rigged")
    return Found(items, notes=tuple(f"{count} files are left out: {kind}" for kind, count in left_out.items()))


def _kind(source: Source) -> str:
    try:
        with local_file(source.path) as file:
            return "rigged" if is_rigged(file) else "no rig"
    except MeshError:
        return "not readable"


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder or zip")
    parser.add_argument("--license", default="", help="terms, where there is no manifest")
    parser.add_argument("--creator", default="", help="creator, where there is no manifest")


RECIPE = Recipe("rigs", __doc__ or "", TERMS, find, _options, prep="--rig")

if __name__ == "__main__":
    run(RECIPE)
