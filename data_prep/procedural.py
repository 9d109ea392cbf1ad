"""Procedural shapes: any number of chairs, tables, lamps, vases and airplanes with exact signed distances.

Shape i of a family depends on the family and on seed + i alone: more shapes never change those that are there, and
every tenth is for testing. A mesh is a soup of closed parts that overlap, as in real assets; in Python, `shape` gives
the solid itself.

    python -m data_prep.procedural --families chair table --count 200 --seed 0 --out build/procedural
    geomflow prep build/procedural/procedural.csv build/procedural_records
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep import families
from data_prep._table import Item, command, counts, errors_explained, say, write
from geomflow.errors import ConfigError
from geomflow.geometry.frame import normalize
from geomflow.geometry.primitives import Assembly, Moved, Scaled
from geomflow.geometry.write import write_mesh

FAMILIES = tuple(sorted(item.name for item in pkgutil.iter_modules(families.__path__) if item.name[0] != "_"))
"""Every file of `data_prep/families` is a family."""

TERMS = "CC0-1.0"
DRAWN = 8
"""Shapes of each family in a preview."""


def shape(family: str, seed: int) -> Assembly:
    """Return one shape in the unit frame: +y up, front +z, its own mirror image in x, longest half extent 0.95.

    The result is a solid: called with points (n, 3) it gives signed distances, exact outside; `mesh()` gives its mesh.

    Raises:
        ConfigError: There is no such family, or the seed is negative.
    """
    _check([family], 1, seed)
    rng = np.random.default_rng([seed, *family.encode()])
    drawn = importlib.import_module(f"data_prep.families.{family}").make(rng)
    frame = normalize(drawn.mesh()).similarity
    x, y, z = (-frame.shift).tolist()
    return Assembly((Scaled(Moved(drawn, (x, y, z)), frame.scale),))


def plan(chosen: Sequence[str], count: int, seed: int) -> list[tuple[int, Item]]:
    """Return the seed and the row of every shape, `count` of each family, as yet without a hash.

    Raises:
        ConfigError: A family does not exist, the count is not positive, or the seed is negative.
    """
    _check(chosen, count, seed)
    return [(number, _item(family, number)) for family in chosen for number in range(seed, seed + count)]


def make(planned: Sequence[tuple[int, Item]], out: Path) -> list[Item]:
    """Write the meshes, and `procedural.csv` beside them; equal plans give equal bytes.

    Raises:
        OSError: The folder cannot be written.
    """
    items = [_written(out, seed, item) for seed, item in planned]
    write(items, out / "procedural.csv")
    return items


def preview(chosen: Sequence[str], seed: int, path: Path) -> None:
    """Draw the first shapes of each family, a row for each.

    Raises:
        ConfigError: A family does not exist, or the seed is negative.
        OSError: The picture cannot be written.
    """
    from geomflow.viz import contact_sheet, save_png

    meshes = [shape(item.class_name, number).mesh() for number, item in plan(chosen, DRAWN, seed)]
    save_png(contact_sheet(meshes, columns=DRAWN, size=200), path)


def _check(chosen: Sequence[str], count: int, seed: int) -> None:
    unknown = sorted(set(chosen) - set(FAMILIES))
    if unknown:
        raise ConfigError(f"unknown family {', '.join(unknown)}: the families are {', '.join(FAMILIES)}")
    if count < 1 or seed < 0:
        raise ConfigError(f"count must be at least 1 and seed not negative, given {count} and {seed}")


def _item(family: str, seed: int) -> Item:
    name, split = f"{family}-{seed:06d}", "test" if seed % 10 == 9 else "train"
    return Item(name, f"{family}/{split}/{name}.ply", family, split, "y", 0.0, TERMS, "geomflow")


def _written(out: Path, seed: int, item: Item) -> Item:
    file = out / item.path
    write_mesh(shape(item.class_name, seed).mesh(), file)
    return replace(item, sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def main(arguments: Sequence[str] | None = None) -> None:
    """Write shapes and their table, or draw some; errors end the program with one line and code 1."""
    parser = command("procedural", __doc__ or "", Path("build", "procedural"))
    parser.add_argument("--families", nargs="+", default=FAMILIES, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=100, help="shapes of each family (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first shape (default: %(default)s)")
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
        say(f"next: geomflow prep {options.out / 'procedural.csv'} {options.out}_records")


if __name__ == "__main__":
    main()
