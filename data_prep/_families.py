"""What recipes of made shapes share: the plan of their families, and their command line."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep._table import Item, command, counts, errors_explained, say, write
from geomflow.errors import ConfigError

TERMS = "CC0-1.0"

DRAWN = 8
"""Shapes of each family in a preview."""


@dataclass(frozen=True)
class Families:
    """A recipe of made shapes: shape i of a family depends on family and seed + i alone; every tenth is for testing.

    Attributes:
        name: Name of the recipe, of its table and of the folder it writes by default.
        what: What it makes, in the plural.
        names: Its families.
        suffix: Ending of its files.
        count: Shapes of each family by default.
        write: Writes the shape of a family and seed to a file.
        prep: Options of `geomflow prep` for it.
    """

    name: str
    what: str
    names: tuple[str, ...]
    suffix: str
    count: int
    write: Callable[[str, int, Path], None]
    prep: str = ""

    def check(self, chosen: Sequence[str], count: int = 1, seed: int = 0) -> None:
        """Refuse families, counts and seeds that there are not.

        Raises:
            ConfigError: A family does not exist, the count is not positive, or the seed is negative.
        """
        unknown = sorted(set(chosen) - set(self.names))
        if unknown:
            raise ConfigError(f"unknown family {', '.join(unknown)}: the families are {', '.join(self.names)}")
        if count < 1 or seed < 0:
            raise ConfigError(f"count must be at least 1 and seed not negative, given {count} and {seed}")

    def plan(self, chosen: Sequence[str], count: int, seed: int) -> list[tuple[int, Item]]:
        """Return the seed and the row of every shape, `count` of each family, as yet without a hash.

        Raises:
            ConfigError: A family does not exist, the count is not positive, or the seed is negative.
        """
        self.check(chosen, count, seed)
        return [(number, self._item(family, number)) for family in chosen for number in range(seed, seed + count)]

    def make(self, planned: Sequence[tuple[int, Item]], out: Path) -> list[Item]:
        """Write the shapes, and their table beside them; equal plans give equal bytes.

        Raises:
            OSError: The folder cannot be written.
        """
        items = [self._written(out, seed, item) for seed, item in planned]
        write(items, out / f"{self.name}.csv")
        return items

    def run(self, about: str, preview: Callable[..., None], arguments: Sequence[str] | None) -> None:
        """Write shapes and their table, or draw some; errors end the program with one line and code 1."""
        parser = command(self.name, about, Path("build", self.name))
        parser.add_argument("--families", nargs="+", default=self.names, help="default: %(default)s")
        count = f"{self.what} of each family (default: %(default)s)"
        parser.add_argument("--count", type=int, default=self.count, help=count)
        parser.add_argument("--seed", type=int, default=0, help="seed of the first one (default: %(default)s)")
        parser.add_argument(
            "--preview", type=Path, metavar="PNG", help=f"draw {DRAWN} of each family and write nothing else"
        )
        options = parser.parse_args(arguments)
        with errors_explained(parser):
            if options.preview:
                preview(options.families, options.seed, options.preview)
                return
            planned = self.plan(options.families, options.count, options.seed)
            for (family, split), number in sorted(counts([item for _, item in planned]).items()):
                say(f"  {family:24} {split:6} {number:6}")
            if options.dry_run:
                say(f"dry run: nothing is written to {options.out}")
                return
            self.make(planned, options.out)
            say(f"next: geomflow prep {options.out / self.name}.csv {options.out}_records{self.prep}")

    def _item(self, family: str, seed: int) -> Item:
        name, split = f"{family}-{seed:06d}", "test" if seed % 10 == 9 else "train"
        path = f"{family}/{split}/{name}{self.suffix}"
        return Item(name, path, family, split, "y", 0.0, TERMS, "geomflow")

    def _written(self, out: Path, seed: int, item: Item) -> Item:
        file = out / item.path
        self.write(item.class_name, seed, file)
        return replace(item, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
