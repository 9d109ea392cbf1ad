"""What an evaluation found, and exactly what was measured: as JSON, as a table, and side by side with others."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from geomflow.errors import EvaluationError
from geomflow.files import write_atomically
from geomflow.metrics.statistics import Estimate, bootstrap_interval
from geomflow.version import __version__, version_of

FORMAT = 1
LIBRARIES = ("numpy", "scipy", "trimesh", "warp-lang", "torch")
"""What versions are noted of."""


@dataclass(frozen=True)
class Number:
    """One result.

    Attributes:
        metric: Its name, such as `1-nna-chamfer`.
        value: The number.
        low: Lower end of its interval over the choice of shapes.
        high: Upper end.
        null_low: Lower end of the band in which a perfect model's number lies, None where there is no such band.
        null_high: Upper end.
    """

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    null_low: float | None = None
    null_high: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        terms: What must agree for two evaluations to be compared: protocol, points, frame, distances, counts, hashes.
        settings: Seed, level and draws, and the frame's numbers.
        inputs: The sets, with counts and hashes.
        numbers: The results.
        controls: The same numbers for sets whose quality is known, such as training shapes in place of generated ones.
        shapes: One entry per shape, where shapes are measured one by one.
        seconds: Wall time of each part.
    """

    terms: dict[str, Any]
    settings: dict[str, Any]
    inputs: dict[str, Any]
    numbers: list[Number]
    controls: dict[str, list[Number]] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        """Return the value of a metric by its name; KeyError if there is none."""
        return _plain(self.numbers)[metric]

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as it is written; `results` holds plain numbers by name."""
        return {
            "format": FORMAT,
            "protocol": self.terms["protocol"],
            "terms": self.terms,
            "results": _plain(self.numbers),
            "uncertainty": [asdict(number) for number in self.numbers],
            "controls": {name: _plain(numbers) for name, numbers in self.controls.items()},
            "control_uncertainty": {name: [asdict(n) for n in numbers] for name, numbers in self.controls.items()},
            "settings": self.settings,
            "inputs": self.inputs,
            "versions": {"geomflow": __version__, **{name: version_of(name) for name in LIBRARIES}},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "shapes": self.shapes,
        }

    def save(self, path: str | Path) -> None:
        """Write the JSON file, whole or not at all.

        Args:
            path: The file.

        Raises:
            OSError: It cannot be written.
        """
        write_atomically(Path(path), (json.dumps(self.as_dict(), indent=1) + "\n").encode())

    def table(self) -> str:
        """Return what was measured in a line, and the numbers as a Markdown table, controls below the results."""
        rows = [("generated", self.numbers), *self.controls.items()]
        level = f"{100 * self.settings['level']:g} %"
        head = f"| set | metric | value | {level} interval | {level} of a perfect model |"
        lines = [f"{self._headline()}\n", head, "| --- | --- | --- | --- | --- |"]
        return "\n".join([*lines, *(_line(name, number) for name, numbers in rows for number in numbers)])

    def _headline(self) -> str:
        terms = [(name, self.terms.get(name)) for name in ("points", "frame", "distances")]
        about = [f"{name} {', '.join(value) if isinstance(value, list) else value}" for name, value in terms if value]
        sets = [_counted(role, **one) for role, one in self.inputs.items()]
        return f"protocol {self.terms['protocol']}: {'; '.join([*sets, *about])}"


def _counted(role: str, count: int, split: str = "", missing: int = 0, **_: Any) -> str:
    """How many shapes a set has, for people."""
    of_split = f" (split {split})" if split else ""
    lost = f", {missing} more without a surface" if missing else ""
    return f"{count} {role} shapes{of_split}{lost}"


def numbers_of(estimates: Mapping[str, Estimate], distance: str = "") -> list[Number]:
    """Return estimates as numbers, each named after its metric and the distance.

    Args:
        estimates: Estimates by the names of their metrics.
        distance: Name of the distance that they are by; none if empty.
    """
    ending = f"-{distance}" if distance else ""
    return [Number(f"{name}{ending}", e.value, *e.interval, *e.null) for name, e in estimates.items()]


def mean_of(metric: str, values: Sequence[float] | np.ndarray, level: float, draws: int, seed: int) -> Number:
    """Return the mean over shapes with its bootstrap interval, which one shape does not have.

    Args:
        metric: Name of the number.
        values: One number per shape (n,).
        level: Share of the draws that an interval holds, such as 0.95.
        draws: Number of resampled sets.
        seed: Seed of the resampling.
    """
    array = np.asarray(values, dtype=np.float64)
    interval = bootstrap_interval(array, level, draws, seed) if len(array) > 1 else (None, None)
    return Number(metric, float(array.mean()), *interval)


def share_of(metric: str, hits: Sequence[Any] | np.ndarray, level: float) -> Number:
    """Return the share of shapes that have a property, with the interval of Wilson (J. Am. Stat. Assoc. 22, 1927).

    Unlike a bootstrap it says something where none or all have it: 0 of 24 is 0 to 14 %.

    Args:
        metric: Name of the number.
        hits: Whether each shape has the property.
        level: Share of the draws that an interval holds, such as 0.95.
    """
    count, share = len(hits), float(np.mean(hits))
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return Number(metric, share, max(0.0, middle - half), min(1.0, middle + half))


def finite_or_none(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shape's findings with None for numbers that are not finite, which JSON does not know.

    Args:
        row: Numbers by name.
    """
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def compare(files: Sequence[str | Path]) -> str:
    """Return the results of several evaluations side by side, as a Markdown table.

    Args:
        files: JSON files that `Evaluation.save` wrote.

    Raises:
        EvaluationError: There are fewer than two, one is no evaluation, or they were made on different terms.
    """
    if len(files) < 2:
        raise EvaluationError(f"wanted at least two evaluations to compare, given {len(files)}")
    found = [_read(Path(file)) for file in files]
    for file, other in zip(files[1:], found[1:], strict=True):
        _check_terms(files[0], found[0]["terms"], file, other["terms"])
    names = [str(Path(file).with_suffix("")) for file in files]
    lines = [f"| metric | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    rows = [one["numbers"] for one in found]
    shared = [metric for metric in rows[0] if all(metric in row for row in rows)]
    return "\n".join([*lines, *(f"| {m} | {' | '.join(_cell(row[m]) for row in rows)} |" for m in shared)])


def _check_terms(first: str | Path, terms: dict[str, Any], second: str | Path, others: dict[str, Any]) -> None:
    for name in dict.fromkeys([*terms, *others]):
        if terms.get(name) != others.get(name):
            raise EvaluationError(
                f"{first} and {second} cannot be compared: they differ in {name}, {_short(terms.get(name))} and "
                f"{_short(others.get(name))}"
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        found["numbers"] = {row["metric"]: Number(**row) for row in found["uncertainty"]}
        newer, found["terms"] = found["format"] > FORMAT, dict(found["terms"])
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: not a result of `geomflow evaluate`") from error
    if newer:
        raise EvaluationError(f"{path}: its format is newer than {FORMAT}, the newest this geomflow reads")
    return found


def _plain(numbers: list[Number]) -> dict[str, float]:
    return {number.metric: number.value for number in numbers}


def _line(name: str, number: Number) -> str:
    null = "" if number.null_low is None else _range(number.null_low, number.null_high)
    return f"| {name} | {number.metric} | {number.value:.4g} | {_range(number.low, number.high)} | {null} |"


def _cell(number: Number) -> str:
    """Value, interval, and the band of a perfect model."""
    null = _range(number.null_low, number.null_high)
    parts = [f"{number.value:.4g}", f"({interval})" if (interval := _range(number.low, number.high)) else ""]
    return " ".join(filter(None, [*parts, f"[perfect: {null}]" if null else ""]))


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."
