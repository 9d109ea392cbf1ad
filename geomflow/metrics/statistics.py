"""Uncertainty of set metrics: where they would fall for a perfect model, and how far they vary with the shapes drawn.

Two different questions, two different intervals:

- the *null band* says what a second sample of the reference law would score. Under that hypothesis the labels
  "generated" and "reference" are exchangeable given the pooled shapes, so shuffling them draws from the exact
  conditional law (a permutation test; for 1-NNA see Lopez-Paz and Oquab, ICLR 2017);
- the *interval* says how the estimate varies with the shapes that happened to be drawn. The usual bootstrap draws some
  shapes twice, and a metric of nearest neighbours sees the copies. So halves of both sets are drawn without
  replacement: about their mean, the values of halves spread as those of whole sets do from one data set to the next
  (the delete-half jackknife: Shao and Wu, Annals of Statistics 17, 1989). This spread is moved to the estimate.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer


class Band(NamedTuple):
    """An interval, both ends belonging to it."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A metric's value, its bootstrap interval, and the band in which a perfect model's value lies.

    Attributes:
        value: The metric.
        interval: Where it lies, as far as the choice of shapes goes.
        null: Where it would lie if generated and reference shapes followed one law.
    """

    value: float
    interval: Band
    null: Band


Metrics = Callable[[Integer[np.ndarray, " g"], Integer[np.ndarray, " r"]], dict[str, float]]
"""Metrics by name of two sets of shapes, given by their indices among the pooled shapes."""


def null_bands(
    metrics: Metrics, n_generated: int, n_reference: int, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> dict[str, Band]:
    """Return where each metric falls with probability `level` if generated and reference shapes follow one law.

    Bands are inclusive; as many metrics are discrete, they hold slightly more than `level`.

    Args:
        metrics: Metrics of two subsets of the pooled shapes.
        n_generated: Number of generated shapes.
        n_reference: Number of reference shapes.
        level: Probability between 0 and 1.
        draws: Shuffles; the ends are known to within about 1 / sqrt(draws) of the tails' probability.
        seed: Same seed, same bands.

    Raises:
        ValueError: The level is not in (0, 1).
    """
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(n_generated + n_reference) for _ in range(draws))
    return middles((metrics(order[:n_generated], order[n_generated:]) for order in orders), level)


def half_intervals(
    metrics: Metrics, n_generated: int, n_reference: int, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> dict[str, Band]:
    """Return the interval of each metric over the choice of both sets of shapes, about the metric's own value.

    Args:
        metrics: Metrics of two sets, given by their indices: generated shapes first, then reference shapes.
        n_generated: Number of generated shapes.
        n_reference: Number of reference shapes.
        level: Probability between 0 and 1.
        draws: Pairs of halves.
        seed: Same seed, same intervals.

    Raises:
        ValueError: The level is not in (0, 1).
    """
    rng = np.random.default_rng(seed)
    total = n_generated + n_reference
    values = metrics(np.arange(n_generated), np.arange(n_generated, total))
    drawn = [metrics(_half(rng, n_generated), n_generated + _half(rng, n_reference)) for _ in range(draws)]
    means = {name: float(np.mean([row[name] for row in drawn])) for name in values}
    moved = ({name: row[name] - means[name] + value for name, value in values.items()} for row in drawn)
    return middles(moved, level)


def bootstrap_interval(values: Float[np.ndarray, " n"], level: float = 0.95, draws: int = 1000, seed: int = 0) -> Band:
    """Return the percentile bootstrap interval of a mean over shapes, as of IoU.

    It says how the mean varies with the shapes drawn to compute it, everything else (such as the generated set) held.

    Args:
        values: One number (n,) per shape.
        level: Probability between 0 and 1.
        draws: Resamples.
        seed: Same seed, same interval.

    Raises:
        ValueError: There is no value, one is not finite, or the level is not in (0, 1).
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values must be finite numbers, at least one, given {len(values)} values")
    chosen = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    return middle(values[chosen].mean(axis=1), level)


def middle(draws: Float[np.ndarray, " n"], level: float) -> Band:
    """Return the shortest inclusive band that leaves at most (1 - level) / 2 of the draws on either side.

    Args:
        draws: Values of a statistic.
        level: Share of the draws that the band holds at least.

    Raises:
        ValueError: The level is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Band(float(low), float(high))


def middles(rows: Iterable[dict[str, float]], level: float) -> dict[str, Band]:
    """Return the `middle` of every name's values.

    Args:
        rows: Values of several statistics by name, one row per draw.
        level: Share of the draws that the band holds at least.

    Raises:
        ValueError: The level is not in (0, 1).
    """
    table = list(rows)
    return {name: middle(np.array([row[name] for row in table]), level) for name in table[0]}


def _half(rng: np.random.Generator, count: int) -> np.ndarray:
    """Half of so many shapes, rounded down, but one at least: fewer shapes make an interval wider and not narrower."""
    return rng.permutation(count)[: max(1, count // 2)]
