"""Procedural rigs: any number of bipeds, quadrupeds, fish, serpents, crawlers and robots with skeletons and weights.

Rig i of a family depends on the family and on seed + i alone: more rigs never change those that are there, and every
tenth is for testing. A surface is one skin around the bones, extracted from a distance field; each joint is inside of
it, at the place about which what it moves turns.

    python -m data_prep.procedural_rigs --families biped fish --count 60 --seed 0 --out build/procedural_rigs
    geomflow prep build/procedural_rigs/procedural_rigs.csv build/rigs --rig
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh

from data_prep import skeletons
from data_prep._table import Item, command, counts, errors_explained, say, write
from data_prep.skeletons._body import rigged
from geomflow.errors import ConfigError
from geomflow.geometry import Rig, write_rig

FAMILIES = tuple(sorted(item.name for item in pkgutil.iter_modules(skeletons.__path__) if item.name[0] != "_"))
"""Every file of `data_prep/skeletons` that does not begin with an underscore is a family."""

TERMS = "CC0-1.0"
RESOLUTION = 96
"""Samples per axis of the grid on which surfaces are extracted."""

DRAWN = 8
"""Rigs of each family in a preview."""

DARK = 170
"""Least channel of pixels that are dots and not the ground around them."""


def rig(family: str, seed: int, resolution: int = RESOLUTION) -> tuple[trimesh.Trimesh, Rig]:
    """Return the closed surface of one rig in [-1, 1]^3, +y up, front +z, and its skeleton, whose joints all move it.

    Raises:
        ConfigError: There is no such family, or the seed is negative.
    """
    _check([family], 1, seed)
    rng = np.random.default_rng([seed, *family.encode()])
    return rigged(importlib.import_module(f"data_prep.skeletons.{family}").make(rng), resolution)


def plan(chosen: Sequence[str], count: int, seed: int) -> list[tuple[int, Item]]:
    """Return the seed and the row of every rig, `count` of each family, as yet without a hash.

    Raises:
        ConfigError: A family does not exist, the count is not positive, or the seed is negative.
    """
    _check(chosen, count, seed)
    return [(number, _item(family, number)) for family in chosen for number in range(seed, seed + count)]


def make(planned: Sequence[tuple[int, Item]], out: Path) -> list[Item]:
    """Write the rigs, and `procedural_rigs.csv` beside them; equal plans give equal bytes.

    Raises:
        OSError: The folder cannot be written.
    """
    items = [_written(out, seed, item) for seed, item in planned]
    write(items, out / "procedural_rigs.csv")
    return items


def preview(chosen: Sequence[str], seed: int, path: Path) -> None:
    """Draw the first rigs of each family, a row for each, with their joints and bones as if the surface were glass.

    Raises:
        ConfigError: A family does not exist, or the seed is negative.
        OSError: The picture cannot be written.
    """
    from geomflow.viz import save_png

    pictures = [_drawn(*rig(item.class_name, number)) for number, item in plan(chosen, DRAWN, seed)]
    rows = [np.hstack(pictures[k : k + DRAWN]) for k in range(0, len(pictures), DRAWN)]
    save_png(np.vstack(rows), path)


def _drawn(mesh: trimesh.Trimesh, skeleton: Rig, size: int = 240) -> np.ndarray:
    """A picture of a surface, with dots along its bones and larger ones at its joints over it."""
    from geomflow.viz import PALETTE, render, render_points

    box = np.array([[-1.0] * 3, [1.0] * 3])
    upper = skeleton.joints[np.maximum(skeleton.parents, 0)]
    bones = np.vstack([(1 - t) * skeleton.joints + t * upper for t in np.linspace(0, 1, 60)])
    picture = render(mesh, size, color=PALETTE[0])
    for points, color, radius in ((bones, (0.15, 0.15, 0.15), 1), (skeleton.joints, (0.85, 0.1, 0.1), 4)):
        colors = np.broadcast_to(color, (len(points), 3))
        dots = render_points(points, size, colors=colors, frame=box, radius=radius)
        picture = np.where(dots.min(axis=2, keepdims=True) < DARK, dots, picture)
    return picture


def _check(chosen: Sequence[str], count: int, seed: int) -> None:
    unknown = sorted(set(chosen) - set(FAMILIES))
    if unknown:
        raise ConfigError(f"unknown family {', '.join(unknown)}: the families are {', '.join(FAMILIES)}")
    if count < 1 or seed < 0:
        raise ConfigError(f"count must be at least 1 and seed not negative, given {count} and {seed}")


def _item(family: str, seed: int) -> Item:
    name, split = f"{family}-{seed:06d}", "test" if seed % 10 == 9 else "train"
    return Item(name, f"{family}/{split}/{name}.npz", family, split, "y", 0.0, TERMS, "geomflow")


def _written(out: Path, seed: int, item: Item) -> Item:
    file = out / item.path
    write_rig(*rig(item.class_name, seed), file)
    return replace(item, sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def main(arguments: Sequence[str] | None = None) -> None:
    """Write rigs and their table, or draw some; errors end the program with one line and code 1."""
    parser = command("procedural_rigs", __doc__ or "", Path("build", "procedural_rigs"))
    parser.add_argument("--families", nargs="+", default=FAMILIES, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=60, help="rigs of each family (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first rig (default: %(default)s)")
    parser.add_argument(
        "--preview", type=Path, metavar="PNG", help=f"draw {DRAWN} of each family and write nothing else"
    )
    options = parser.parse_args(arguments)
    with errors_explained(parser):
        if options.preview:
            preview(options.families, options.seed, options.preview)
            return
        planned = plan(options.families, options.count, options.seed)
        for (family, split), count in sorted(counts([item for _, item in planned]).items()):
            say(f"  {family:24} {split:6} {count:6}")
        if options.dry_run:
            say(f"dry run: nothing is written to {options.out}")
            return
        make(planned, options.out)
        say(f"next: geomflow prep {options.out / 'procedural_rigs.csv'} {options.out}_records --rig")


if __name__ == "__main__":
    main()
