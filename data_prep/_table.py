"""What all recipes share: the table they write for `geomflow prep`, and their command line."""

import argparse
import csv
import functools
import gzip
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from geomflow.errors import GeomflowError, RecordError
from geomflow.prep.sources import archive_of, members_of

COLUMNS: tuple[str, ...] = ("id", "path", "class", "split", "up", "yaw", "license", "creator", "sha256")
SHOWN = 3
"""Missing files that a report names; the rest are counted."""


@dataclass(frozen=True)
class Item:
    """One shape of a source: a row of the table. Empty text and None mean unknown.

    Attributes:
        id: Unique name.
        path: A file, or `archive.zip/member`; empty as long as it is not downloaded.
        class_name: Category.
        split: `train`, `val` or `test`.
        up: Axis that points up in the file, `y` or `z`.
        yaw: Degrees about +y that turn the front to +z, once y is up.
        license: Terms of this shape.
        creator: Who is to be credited.
        sha256: Hash of the file, or of the member.
    """

    id: str
    path: str = ""
    class_name: str = ""
    split: str = ""
    up: str = ""
    yaw: float | None = None
    license: str = ""
    creator: str = ""
    sha256: str = ""

    def row(self) -> dict[str, str]:
        """Return the item by column of the table."""
        values = {**asdict(self), "class": self.class_name, "yaw": "" if self.yaw is None else f"{self.yaw:g}"}
        return {name: str(values[name]) for name in COLUMNS}


@dataclass(frozen=True)
class Found:
    """What a recipe found.

    Attributes:
        items: The shapes that should be there.
        expected: Their number according to the publisher, 0 if it is not known.
        notes: Whatever else the user should know.
        download: Fetches what is not here yet and returns all items with their paths.
    """

    items: list[Item]
    expected: int = 0
    notes: tuple[str, ...] = ()
    download: Callable[[], list[Item]] | None = None


def add_root(parser: argparse.ArgumentParser, what: str = "folder of the data set") -> None:
    """Add the positional argument that says where the data are."""
    parser.add_argument("root", type=Path, help=what)


@dataclass(frozen=True)
class Recipe:
    """A recipe's part of the command line.

    Attributes:
        name: Module in `data_prep`, and name of the table.
        about: Help text.
        terms: The source's terms and page, printed before anything is written.
        find: Says what is there; called with the options that `options` adds.
        options: Adds the recipe's own arguments to the parser.
        prep: Options that `geomflow prep` needs for this source.
    """

    name: str
    about: str
    terms: str
    find: Callable[..., Found]
    options: Callable[[argparse.ArgumentParser], None] = add_root
    prep: str = ""


def run(recipe: Recipe, arguments: Sequence[str] | None = None) -> None:
    """Say what a recipe finds and write its table; errors end the program with one line and code 1."""
    parser = command(recipe.name, recipe.about, Path("build", f"{recipe.name}.csv"))
    recipe.options(parser)
    options = vars(parser.parse_args(arguments))
    out, dry_run = options.pop("out"), options.pop("dry_run")
    with errors_explained(parser):
        found = recipe.find(**options)
        if found.download and not dry_run:
            found = replace(found, items=found.download(), download=None)
        say(report(recipe, found))
        if dry_run:
            say("dry run: nothing is written")
            return
        write(present(found.items), out)
        say(f"wrote {out}")
        say(f"next: geomflow prep {out} {out.with_suffix('')} {recipe.prep}".rstrip())


def write(items: list[Item], out: Path) -> Counter[tuple[str, str]]:
    """Write the table and return how many shapes each (class, split) has.

    Raises:
        RecordError: There is nothing to write.
    """
    if not items:
        raise RecordError(f"{out}: not written, since no shape was found")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(item.row() for item in items)
    return counts(items)


def counts(items: list[Item]) -> Counter[tuple[str, str]]:
    """Return how many shapes each (class, split) has."""
    return Counter((item.class_name, item.split) for item in items)


def present(items: list[Item]) -> list[Item]:
    """Return the items whose file, or whose member of a zip archive, is there."""
    members = functools.cache(lambda archive: frozenset(members_of(archive)))
    return [item for item in items if _is_there(item.path, members)]


def report(recipe: Recipe, found: Found) -> str:
    """Return what was found as text: counts, missing files, notes and terms."""
    pending = [item for item in found.items if found.download and not item.path]
    there = present(found.items)
    accounted = {*there, *pending}
    missing = [item.path or item.id for item in found.items if item not in accounted]
    expected = f" ({found.expected} expected)" if found.expected else ""
    lines = [f"{recipe.name}: {len(there)} shapes{expected}"]
    lines += [
        f"  {name or '-':24} {split or '-':6} {count:6}"
        for (name, split), count in sorted(counts([*there, *pending]).items())
    ]
    if found.download:
        lines.append(f"to be made or downloaded: {len(pending)}")
    if missing:
        lines.append(f"missing files: {len(missing)}: " + ", ".join(missing[:SHOWN]) + ", ..." * (len(missing) > SHOWN))
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes), f"terms: {recipe.terms}"])


def command(name: str, about: str, out: Path) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every recipe has."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"python -m data_prep.{name}", description=about, formatter_class=formatter)
    parser.add_argument("--out", type=Path, default=out, help="what to write (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what is there, download and write nothing")
    return parser


@contextmanager
def errors_explained(parser: argparse.ArgumentParser) -> Iterator[None]:
    """End the program with one line and code 1 where the user can help."""
    try:
        yield
    except (GeomflowError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def say(text: str) -> None:
    """Write a line for the user of the command line."""
    sys.stdout.write(text + "\n")


def wanted(path: Path, what: str) -> Path:
    """Return a path that is there.

    Raises:
        RecordError: It is not.
    """
    if not path.exists():
        raise RecordError(f"{path}: wanted {what}, found nothing")
    return path


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, which may be compressed with gzip.

    Raises:
        RecordError: There is no such file, or it lacks a column.
    """
    wanted(path, f"a table with the columns {', '.join(columns)}")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise RecordError(f"{path}: wanted columns {', '.join(columns)}; missing {', '.join(missing)}")
        return [{name: value or "" for name, value in row.items() if name} for row in reader]


def of_classes(items: list[Item], classes: Sequence[str]) -> list[Item]:
    """Return the items of these classes, all of them if none is named.

    Raises:
        RecordError: There is no such class; the message lists those that exist.
    """
    check_known("class", classes, {item.class_name for item in items})
    return [item for item in items if not classes or item.class_name in classes]


def check_known(what: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that do not exist.

    Raises:
        RecordError: One is not known; the message lists those that are.
    """
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise RecordError(
            f"no {what} {', '.join(unknown)}; there are {', '.join(sorted(filter(None, known))) or 'none'}"
        )


def _is_there(path: str, members: Callable[[Path], frozenset[str]]) -> bool:
    file, archive = Path(path), archive_of(path)
    return file.is_file() if archive is None else file.relative_to(archive).as_posix() in members(archive)
