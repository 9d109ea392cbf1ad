"""Rigs: files in glTF or GLB whose surfaces have skeletons, from a folder or zip, or by a manifest with archives.

The terms are those of the files: the manifest's, or what the command line says. Rigged or not is told from the tree
in each file's header, so a folder is looked through quickly.

    FOLDER/.../*.glb        any layout that `geomflow prep` knows; files without a rig are left out
    FOLDER/manifest.csv     columns id, split, archive, glb_member, cluster, licence, creator, source_sha256; the files
                            are in ARCHIVE_glb.zip, and those without a `glb_member` are left out

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

COLUMNS = ("id", "split", "archive", "glb_member", "cluster", "licence", "creator", "source_sha256")
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
        raise RecordError(f"{root}: wanted .glb or .gltf files with a skin, found none; {'; '.join(found.notes)}")
    return found


def _listed(folder: Path) -> Found:
    """The rigs of a manifest."""
    rows = read_table(folder / "manifest.csv", COLUMNS)
    items = [_item(folder.resolve(), row) for row in rows if row["glb_member"]]
    return Found(items, notes=(f"{len(rows) - len(items)} rigs of the manifest have no .glb file",))


def _item(folder: Path, row: dict[str, str]) -> Item:
    archive = Path(row["archive"])
    return Item(
        id=row["id"],
        path=str(folder / archive.with_stem(f"{archive.stem}_glb") / row["glb_member"]),
        class_name=row["cluster"],
        split=row["split"],
        up="y",
        license=row["licence"],
        creator=row["creator"],
        sha256=row["source_sha256"],
    )


def _looked_through(root: Path, license: str, creator: str) -> Found:
    """The rigs among the meshes of a folder or zip."""
    sources = [source for source in find_sources(root.resolve()) if source.path.lower().endswith(RIG_SUFFIXES)]
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
            return "rigged" if is_rigged(file) else "no skin"
    except MeshError:
        return "not readable"


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder or zip")
    parser.add_argument("--license", default="", help="terms, where there is no manifest")
    parser.add_argument("--creator", default="", help="creator, where there is no manifest")


RECIPE = Recipe("rigs", __doc__ or "", TERMS, find, _options, prep="--rig")

if __name__ == "__main__":
    run(RECIPE)
