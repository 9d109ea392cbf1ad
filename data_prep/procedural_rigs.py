"""Procedural rigs: any number of bipeds, quadrupeds, fish, serpents, crawlers and robots with skeletons and weights.

Rig i of a family depends on the family and on seed + i alone: more rigs never change those that are there, and every
tenth is for testing. A surface is one skin around the bones, extracted from a distance field; each joint is inside of
it, at the place about which what it moves turns.

    python -m data_prep.procedural_rigs --families biped fish --count 60 --seed 0 --out build/procedural_rigs
    geomflow prep build/procedural_rigs/procedural_rigs.csv build/rigs --rig
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from data_prep import skeletons
from data_prep._families import DRAWN, Families
from data_prep.skeletons._body import rigged
from geomflow.geometry import Rig, write_rig

FAMILIES = tuple(sorted(item.name for item in pkgutil.iter_modules(skeletons.__path__) if item.name[0] != "_"))
"""Every file of `data_prep/skeletons` that does not begin with an underscore is a family."""

RESOLUTION = 96
"""Samples per axis of the grid on which surfaces are extracted."""


def rig(family: str, seed: int, resolution: int = RESOLUTION) -> tuple[trimesh.Trimesh, Rig]:
    """Return the closed surface of one rig in [-1, 1]^3, +y up, front +z, and its skeleton, whose joints all move it.

    Args:
        family: A name of the shelf `skeletons`.
        seed: Number of the rig; the same one gives the same rig.
        resolution: Nodes per axis of the grid that its surface is extracted from.

    Raises:
        ConfigError: There is no such family, or the seed is negative.
    """
    MADE.check([family], seed=seed)
    rng = np.random.default_rng([seed, *family.encode()])
    return rigged(importlib.import_module(f"data_prep.skeletons.{family}").make(rng), resolution)


def preview(chosen: Sequence[str], seed: int, path: Path) -> None:
    """Draw the first rigs of each family, a row for each, with their joints and bones as if the surface were glass.

    Args:
        chosen: Families, a row for each.
        seed: Number of the first rig.
        path: The picture to write.

    Raises:
        ConfigError: A family does not exist, or the seed is negative.
        OSError: The picture cannot be written.
    """
    from geomflow.viz import render_skeleton, save_png

    rigs = [rig(item.class_name, number) for number, item in plan(chosen, DRAWN, seed)]
    pictures = [render_skeleton(mesh, skeleton.joints, skeleton.parents, 240) for mesh, skeleton in rigs]
    rows = [np.hstack(pictures[k : k + DRAWN]) for k in range(0, len(pictures), DRAWN)]
    save_png(np.vstack(rows), path)


def _write(family: str, seed: int, file: Path) -> None:
    write_rig(*rig(family, seed), file)


MADE = Families("procedural_rigs", "rigs", FAMILIES, ".npz", 60, _write, prep=" --rig")
plan, make = MADE.plan, MADE.make


def main(arguments: Sequence[str] | None = None) -> None:
    """Write rigs and their table, or draw some; errors end the program with one line and code 1.

    Args:
        arguments: The command line; that of the process if None.
    """
    MADE.run(__doc__ or "", preview, arguments)


if __name__ == "__main__":
    main()
