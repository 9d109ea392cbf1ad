"""Sets of shapes against sets: 1-NNA, coverage, MMD, and nearest and duplicated training shapes, from distances alone.

`g` generated and `r` reference shapes give three matrices: d_gg (g, g), d_gr (g, r) and d_rr (r, r). All metrics below
read only these, so any symmetric distance between shapes serves (`geomflow.metrics.pairwise`).

The nearest-neighbour accuracy is a two-sample test (Lopez-Paz and Oquab, ICLR 2017; for shapes Yang et al., PointFlow,
ICCV 2019): a classifier that labels every shape like its nearest other shape. Of two sets of n shapes from one law it
is right with probability (n - 1) / (2 n - 1), a little under one half, and fluctuates around that: `null_band` says how
much. Below the band means that generated shapes sit closer to references than references to each other: memorised.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from geomflow.metrics.statistics import Band, Estimate, half_intervals, null_bands

DUPLICATE = 1.5
"""How many times the distance of two samples of one shape a duplicate may be away."""


class Nearest(NamedTuple):
    """For each row of a distance matrix, the column of the nearest shape and its distance."""

    indices: Integer[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]


def set_metrics(
    d_gg: Float[np.ndarray, "_ _"],
    d_gr: Float[np.ndarray, "_ _"],
    d_rr: Float[np.ndarray, "_ _"],
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return "1-nna", "coverage" and "mmd", each with its bootstrap interval and its null band.

    Args:
        d_gg: Distances (g, g) among generated shapes.
        d_gr: Distances (g, r) from generated to reference shapes.
        d_rr: Distances (r, r) among reference shapes.
        level: Probability of the intervals, between 0 and 1.
        draws: Resamples and shuffles.
        seed: Same seed, same intervals.

    Raises:
        ValueError: The shapes do not fit together, there are fewer than two shapes, a distance is not finite, or the
            level is not in (0, 1).
    """
    pooled, (g, r) = pool_distances(d_gg, d_gr, d_rr), d_gr.shape
    shares = _shares(pooled)

    def of_labels(generated: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        return _values(shares, generated, pooled[np.ix_(generated, reference)])

    def of_some(generated: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        chosen, count = np.concatenate([generated, reference]), len(generated)
        some = pooled[np.ix_(chosen, chosen)]
        return _values(_shares(some), np.arange(count), some[:count, count:])

    values = of_labels(np.arange(g), np.arange(g, g + r))
    intervals = half_intervals(of_some, g, r, level, draws, seed)
    null = null_bands(of_labels, g, r, level, draws, seed)
    return {name: Estimate(value, _within(name, intervals[name]), null[name]) for name, value in values.items()}


def pool_distances(
    d_gg: Float[np.ndarray, "_ _"], d_gr: Float[np.ndarray, "_ _"], d_rr: Float[np.ndarray, "_ _"]
) -> Float[np.ndarray, "n n"]:
    """Return the distances (g + r, g + r) among generated shapes followed by reference shapes.

    Args:
        d_gg: Distances among generated shapes (g, g).
        d_gr: Distances from generated to reference shapes (g, r).
        d_rr: Distances among reference shapes (r, r).

    Raises:
        ValueError: The shapes do not fit together, there are fewer than two shapes, or a distance is not finite.
    """
    generated, reference = d_gr.shape
    if d_gg.shape != (generated, generated) or d_rr.shape != (reference, reference):
        raise ValueError(
            f"d_gg and d_rr must be ({generated}, {generated}) and ({reference}, {reference}) to fit d_gr, "
            f"given {d_gg.shape} and {d_rr.shape}"
        )
    return _checked_square("d_gg, d_gr and d_rr", np.block([[d_gg, d_gr], [d_gr.T, d_rr]]))


def one_nearest_neighbour_accuracy(
    d_gg: Float[np.ndarray, "_ _"], d_gr: Float[np.ndarray, "_ _"], d_rr: Float[np.ndarray, "_ _"]
) -> float:
    """Return the leave-one-out accuracy of telling generated from reference by the nearest other shape (1-NNA).

    About one half is best, 1 is fully told apart, 0 is copies. Where several shapes are equally near, each counts its
    share. Read it with `null_band`.

    Args:
        d_gg: Distances (g, g) among generated shapes; the diagonal is not used.
        d_gr: Distances (g, r) from generated to reference shapes.
        d_rr: Distances (r, r) among reference shapes; the diagonal is not used.

    Raises:
        ValueError: The shapes do not fit together, there are fewer than two shapes, or a distance is not finite.
    """
    return _accuracy(_shares(pool_distances(d_gg, d_gr, d_rr)), np.arange(len(d_gg)))


def null_band(
    d_all: Float[np.ndarray, "_ _"], n_generated: int, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Band:
    """Return where 1-NNA falls with probability `level` if generated and reference shapes follow one law.

    Args:
        d_all: Pooled distances (n, n) from `pool_distances`.
        n_generated: How many of the n shapes are generated.
        level: Probability between 0 and 1.
        draws: Shuffles; the ends are known to within about 1 / sqrt(draws) of the tails' probability.
        seed: Same seed, same band.

    Raises:
        ValueError: The matrix is not square and finite, either set would be empty, or the level is not in (0, 1).
    """
    _checked_square("d_all", d_all)
    if not 0 < n_generated < len(d_all):
        raise ValueError(f"n_generated must leave both sets non-empty among {len(d_all)} shapes, given {n_generated}")
    shares = _shares(d_all)

    def accuracy(generated: np.ndarray, _: np.ndarray) -> dict[str, float]:
        return {"1-nna": _accuracy(shares, generated)}

    return null_bands(accuracy, n_generated, len(d_all) - n_generated, level, draws, seed)["1-nna"]


def coverage(d_gr: Float[np.ndarray, "_ _"]) -> float:
    """Return the fraction of references that are the nearest reference of at least one generated shape.

    Not a score out of 1: a second sample of the reference law, equally large, reaches about 0.59 for points in a plane
    and less in higher dimension, so compare it with a control of the same size. Of equally near references the first
    counts.

    Args:
        d_gr: Distances (g, r) from generated to reference shapes.

    Raises:
        ValueError: A set is empty or a distance is not finite.
    """
    return len(np.unique(nearest(d_gr).indices)) / d_gr.shape[1]


def minimum_matching_distance(d_gr: Float[np.ndarray, "_ _"]) -> float:
    """Return the mean over references of the distance to the nearest generated shape (MMD), in the distance's unit.

    It falls with the number of generated shapes and cannot go under the noise floor of the distance.

    Args:
        d_gr: Distances (g, r) from generated to reference shapes.

    Raises:
        ValueError: A set is empty or a distance is not finite.
    """
    return float(nearest(d_gr.T).distances.mean())


def nearest(distances: Float[np.ndarray, "_ _"], exclude_self: bool = False) -> Nearest:
    """Return for each row its nearest column: for each generated shape the training shape it resembles most.

    Args:
        distances: Distances (n, m), for instance from generated to training shapes.
        exclude_self: For a matrix of one set against itself: leave the diagonal out.

    Raises:
        ValueError: The matrix is empty or not finite, or has only itself to choose.
    """
    if distances.ndim != 2 or not distances.size or not np.isfinite(distances).all():
        raise ValueError(f"distances must be a non-empty finite matrix, given shape {distances.shape}")
    if exclude_self:
        distances = _without_diagonal(_checked_square("distances", distances))
    indices = distances.argmin(axis=1)
    return Nearest(indices, distances[np.arange(len(indices)), indices])


def duplicates(to_training: Nearest, floors: Float[np.ndarray, " t"]) -> np.ndarray:
    """Return which shapes are a training shape again, up to the choice of points: (n,) booleans.

    Args:
        to_training: Nearest training shape of each of n shapes.
        floors: Distance (t,) that a second sample of each training shape would have (`sampling_floors`).

    A shape counts that is nearer than `DUPLICATE` floors to its nearest training shape.
    """
    return to_training.distances < DUPLICATE * floors[to_training.indices]


def _within(name: str, band: Band) -> Band:
    """The part of an interval in which the metric can lie: shares between 0 and 1, distances from 0 on."""
    return Band(max(band.low, 0.0), band.high if name == "mmd" else min(band.high, 1.0))


def _values(shares: np.ndarray, generated: np.ndarray, between: np.ndarray) -> dict[str, float]:
    """The three metrics of two sets, from the pooled shapes' nearest others and the distances between the sets."""
    covered = len(np.unique(between.argmin(axis=1))) / between.shape[1]
    return {"1-nna": _accuracy(shares, generated), "coverage": covered, "mmd": float(between.min(axis=0).mean())}


def _shares(d_all: np.ndarray) -> np.ndarray:
    """Matrix whose row i has 1 at the nearest other shape of i, or equal shares where several are equally near."""
    others = _without_diagonal(d_all)
    tied = others == others.min(axis=1, keepdims=True)
    return tied / tied.sum(axis=1, keepdims=True)


def _accuracy(shares: np.ndarray, generated: np.ndarray) -> float:
    """Mean share of nearest others with the own label, where these rows are the generated shapes."""
    is_generated = np.zeros(len(shares), dtype=bool)
    is_generated[generated] = True
    of_generated = shares[:, generated].sum(axis=1)
    return float(np.where(is_generated, of_generated, 1 - of_generated).mean())


def _without_diagonal(square: np.ndarray) -> np.ndarray:
    others = square.copy()
    np.fill_diagonal(others, np.inf)
    return others


def _checked_square(name: str, square: np.ndarray) -> np.ndarray:
    if square.ndim != 2 or square.shape[0] != square.shape[1] or len(square) < 2:
        raise ValueError(f"{name} must be a square matrix over at least two shapes, given shape {square.shape}")
    if not np.isfinite(square).all():
        raise ValueError(f"{name} must be finite, given NaN or infinite distances")
    return square
