"""Procedural shapes: any number of chairs, tables, lamps, vases and airplanes with exact signed distances.

Shape i of a family depends on the family and on seed + i alone: more shapes never change those that are there, and
every tenth is for testing. A mesh is a soup of closed parts that overlap, as in real assets; in Python, `shape` gives
the solid itself.

    python -m data_prep.procedural --families chair table --count 200 --seed 0 --out build/procedural
    geomflow prep build/procedural/procedural.csv build/procedural_records
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep import families
from data_prep._families import DRAWN, Families
from geomflow.geometry.frame import normalize
from geomflow.geometry.primitives import Assembly, Moved, Scaled
from geomflow.geometry.write import write_mesh

FAMILIES = tuple(sorted(item.name for item in pkgutil.iter_modules(families.__path__) if item.name[0] != "_"))
"""Every file of `data_prep/families` is a family."""


def shape(family: str, seed: int) -> Assembly:
    """Return one shape in the unit frame: +y up, front +z, its own mirror image in x, longest half extent 0.95.

    The result is a solid: called with points (n, 3) it gives signed distances, exact outside; `mesh()` gives its mesh.

    Args:
        family: A name of the shelf `families`.
        seed: Number of the shape; the same one gives the same shape.

    Raises:
        ConfigError: There is no such family, or the seed is negative.
    """
    MADE.check([family], seed=seed)
    rng = np.random.default_rng([seed, *family.encode()])
    drawn = importlib.import_module(f"data_prep.families.{family}").make(rng)
    frame = normalize(drawn.mesh()).similarity
    x, y, z = (-frame.shift).tolist()
    return Assembly((Scaled(Moved(drawn, (x, y, z)), frame.scale),))


def preview(chosen: Sequence[str], seed: int, path: Path) -> None:
    """Draw the first shapes of each family, a row for each.

    Args:
        chosen: Families, a row for each.
        seed: Number of the first shape.
        path: The picture to write.

    Raises:
        ConfigError: A family does not exist, or the seed is negative.
        OSError: The picture cannot be written.
    """
    from geomflow.viz import contact_sheet, save_png

    meshes = [shape(item.class_name, number).mesh() for number, item in plan(chosen, DRAWN, seed)]
    save_png(contact_sheet(meshes, columns=DRAWN, size=200), path)


def _write(family: str, seed: int, file: Path) -> None:
    write_mesh(shape(family, seed).mesh(), file)


MADE = Families("procedural", "shapes", FAMILIES, ".ply", 100, _write)
plan, make = MADE.plan, MADE.make


def main(arguments: Sequence[str] | None = None) -> None:
    """Write shapes and their table, or draw some; errors end the program with one line and code 1.

    Args:
        arguments: The command line; that of the process if None.
    """
    MADE.run(__doc__ or "", preview, arguments)


if __name__ == "__main__":
    main()
