"""Joints: the rigs of a manifest and procedural ones in one table, for predicting joints from surfaces.

The rigs of the manifest keep their split and have their cluster for a class; the procedural ones, as many of each
family, have their family, and every tenth is for testing. They are written under the folder that `--made` names.

    DATA/rigs/manifest.csv      as data_prep.rigs reads it

    python -m data_prep.joints DATA --out build/joints.csv
    geomflow prep build/joints.csv build/joints --rig --resolution 0 --volume-points 0 --near-points 0 --sharp-points 0
"""

import argparse
from dataclasses import replace
from pathlib import Path

from data_prep import procedural_rigs, rigs
from data_prep._table import Found, Item, Recipe, add_root, run, wanted
from geomflow.errors import ConfigError

COUNT = 60
"""Procedural rigs of each family."""

MADE = Path("build", "joints_procedural")
TERMS = "those in the column `license` of the table; procedural rigs are CC0-1.0."


def find(root: Path, count: int = COUNT, seed: int = 0, made: Path = MADE) -> Found:
    """Return the rigs of the manifest in `root/rigs`, and procedural ones that are yet to be made.

    Args:
        root: Data folder.
        count: Procedural rigs of each family, 0 for none.
        seed: Seed of the first of each.
        made: Folder in which they are written.

    Raises:
        RecordError: There is no manifest, or it lacks a column.
        ConfigError: The count or the seed is negative.
    """
    if count < 0:
        raise ConfigError(f"count must be at least 0, given {count}")
    wanted(root / "rigs" / "manifest.csv", "a manifest of rigs")
    real = rigs.find(root / "rigs").items
    planned = procedural_rigs.plan(procedural_rigs.FAMILIES, count, seed) if count else []
    pending = [replace(item, path="") for _, item in planned]

    def make() -> list[Item]:
        return [*real, *(_placed(item, made) for item in (procedural_rigs.make(planned, made) if planned else []))]

    return Found([*real, *pending], download=make)


def _placed(item: Item, folder: Path) -> Item:
    return replace(item, path=str((folder / item.path).resolve()))


def _options(parser: argparse.ArgumentParser) -> None:
    add_root(parser, "folder with rigs/manifest.csv")
    parser.add_argument(
        "--count", type=int, default=COUNT, help="procedural rigs of each family (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first of each (default: %(default)s)")
    parser.add_argument("--made", type=Path, default=MADE, help="folder of procedural rigs (default: %(default)s)")


LEAN = "--rig --resolution 0 --volume-points 0 --near-points 0 --sharp-points 0"
"""Options of `geomflow prep` for what joints are predicted from: points and normals of the surface."""

RECIPE = Recipe("joints", __doc__ or "", TERMS, find, _options, prep=LEAN)

if __name__ == "__main__":
    run(RECIPE)
