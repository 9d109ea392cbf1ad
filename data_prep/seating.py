"""Seating: chairs, stools, armchairs and benches of one up axis and one front, from the manifests of two collections.

Writes a CSV for `geomflow prep`. Training takes what may be passed on freely (the procedural chairs, program output of
Infinigen, and CC0 meshes), so that weights trained on it can be shipped; meshes whose terms ask for credit (CC-BY) are
kept for testing, and GPL meshes are left out.

    python -m data_prep.seating DATA --out build/seating.csv
    geomflow prep build/seating.csv build/seating
"""

import argparse
import csv
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger("geomflow")

CLASSES = ("chair", "office_chair", "bar_chair", "armchair", "stool", "bench")
PROCEDURAL = {"license": "BSD-3-Clause program output", "creator": "Infinigen 1.15.5"}
"""Terms of `shapes_procedural`, whose manifest has none."""

FREE = (PROCEDURAL["license"], "CC0-1.0")
CREDITED = ("CC-BY-3.0", "CC-BY-3.0-US")
COLUMNS: tuple[str, ...] = ("id", "path", "class", "split", "up", "yaw", "license", "creator")


def rows(data: Path) -> Iterator[dict[str, str]]:
    """Yield one CSV row per seat, with absolute paths."""
    for collection in ("shapes_procedural", "shapes"):
        with (data / collection / "manifest.csv").open(newline="") as file:
            for item in csv.DictReader(file):
                known = {**item, **PROCEDURAL} if collection == "shapes_procedural" else item
                if known["class"] in CLASSES and _wanted(known):
                    yield _row(data.resolve() / collection, known)


def write(data: Path, out: Path) -> Counter[tuple[str, str]]:
    """Write the CSV and return how many meshes each (class, split) has.

    Raises:
        FileNotFoundError: The data folder lacks a collection's manifest.
    """
    table = list(rows(data))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    return Counter((row["class"], row["split"]) for row in table)


def _wanted(item: dict[str, str]) -> bool:
    """Whether the terms are known and allow what the split is for."""
    return item["license"] in FREE or (item["license"] in CREDITED and item["split"] == "test")


def _row(folder: Path, item: dict[str, str]) -> dict[str, str]:
    return {
        "id": item["id"],
        "path": str(folder / item["archive"] / item["member"]),
        "class": item["class"],
        "split": item["split"],
        "up": item["up"],
        "yaw": item["yaw_to_front_z"],
        "license": item["license"],
        "creator": item["creator"],
    }


def main() -> None:
    """Write the CSV and log what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds shapes/ and shapes_procedural/")
    parser.add_argument("--out", type=Path, default=Path("build/seating.csv"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for (name, split), count in sorted(write(options.data, options.out).items()):
        logger.info("%-14s %-6s %4d", name, split, count)


if __name__ == "__main__":
    main()
