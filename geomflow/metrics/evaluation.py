"""What an evaluation found, and exactly what was measured: as JSON, as a table, and side by side with others."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geomflow.errors import EvaluationError
from geomflow.files import write_atomically
from geomflow.metrics.statistics import Estimate, bootstrap_interval
from geomflow.version import __version__

FORMAT = 1
LIBRARIES = ("numpy", "scipy", "trimesh", "pykdtree", "warp-lang", "torch")
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
        terms: What must agree for two evaluations to be compared: protocol, points, frame, distances, reference.
        settings: Seed, level and draws.
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
        """Return the value of a metric by its name."""
        return next(number.value for number in self.numbers if number.metric == metric)

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
            "versions": {"geomflow": __version__, **{name: _version(name) for name in LIBRARIES}},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "shapes": self.shapes,
        }

    def save(self, path: str | Path) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        write_atomically(Path(path), (json.dumps(self.as_dict(), indent=1) + "\n").encode())

    def table(self) -> str:
        """Return the numbers as a Markdown table, controls below the results."""
        rows = [("generated", self.numbers), *self.controls.items()]
        level = f"{100 * self.settings['level']:g} %"
        head = f"| set | metric | value | {level} interval | {level} of a perfect model |"
        lines = [head, "| --- | --- | --- | --- | --- |"]
        return "\n".join([*lines, *(_line(name, number) for name, numbers in rows for number in numbers)])


def numbers_of(estimates: Mapping[str, Estimate], distance: str = "") -> list[Number]:
    """Return estimates as numbers, each named after its metric and the distance."""
    ending = f"-{distance}" if distance else ""
    return [Number(f"{name}{ending}", e.value, *e.interval, *e.null) for name, e in estimates.items()]


def mean_of(metric: str, values: Sequence[float] | np.ndarray, level: float, draws: int, seed: int) -> Number:
    """Return the mean over shapes with its bootstrap interval."""
    array = np.asarray(values, dtype=np.float64)
    return Number(metric, float(array.mean()), *bootstrap_interval(array, level, draws, seed))


def compare(files: Sequence[str | Path]) -> str:
    """Return the results of several evaluations side by side, as a Markdown table.

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
                f"{first} and {second} cannot be compared: their {name} differ, {_short(terms.get(name))} and "
                f"{_short(others.get(name))}"
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        if found["format"] > FORMAT:
            raise EvaluationError(f"{path}: format {found['format']} is newer than {FORMAT}")
        found["numbers"] = {row["metric"]: Number(**row) for row in found["uncertainty"]}
        found["terms"] = dict(found["terms"])
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise (
            error
            if isinstance(error, EvaluationError)
            else EvaluationError(f"{path}: not a result of `geomflow evaluate`")
        ) from error
    return found


def _plain(numbers: list[Number]) -> dict[str, float]:
    return {number.metric: number.value for number in numbers}


def _line(name: str, number: Number) -> str:
    null = "" if number.null_low is None else _range(number.null_low, number.null_high)
    return f"| {name} | {number.metric} | {number.value:.4g} | {_range(number.low, number.high)} | {null} |"


def _cell(number: Number) -> str:
    interval = _range(number.low, number.high)
    return f"{number.value:.4g} ({interval})" if interval else f"{number.value:.4g}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
