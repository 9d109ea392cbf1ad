"""Distances between sets of shapes and what they say of a generator: 1-NNA, coverage, MMD, nearest training shape.

`g` generated and `r` reference shapes give three matrices: d_gg (g, g), d_gr (g, r) and d_rr (r, r). All metrics below
read only these, so any symmetric distance between shapes serves.

The nearest-neighbour accuracy is a two-sample test (Lopez-Paz and Oquab, ICLR 2017; for shapes Yang et al., PointFlow,
ICCV 2019): a classifier that labels every shape like its nearest other shape. Of two sets of n shapes from one law it
is right with probability (n - 1) / (2 n - 1), a little under one half, and fluctuates around that: `null_band` says how
much. Below the band means that generated shapes sit closer to references than references to each other: memorised.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.spatial import KDTree
from tqdm import tqdm

LEAF_POINTS = 24
"""Points per kd-tree leaf: the fastest of 4 to 32 for sets of 2,048 points on a surface."""


class Band(NamedTuple):
    """An interval, both ends belonging to it."""

    low: float
    high: float


class Nearest(NamedTuple):
    """For each row of a distance matrix, the column of the nearest shape and its distance."""

    indices: Integer[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]


class _IndexedSets(NamedTuple):
    """Shapes with a kd-tree each, and all their points (shapes * points, 3) in the order of the trees' leaves.

    Neighbours in that order walk the same branches of another tree, which makes queries about twice as fast.
    """

    trees: list[KDTree]
    points: np.ndarray


def pairwise_chamfer(
    a_sets: Float[np.ndarray, "_ _ _"],
    b_sets: Float[np.ndarray, "_ _ _"],
    squared: bool = True,
    progress: bool = False,
    workers: int = -1,
) -> Float[np.ndarray, "a b"]:
    """Return the chamfer distance (a, b) of every shape of one collection to every shape of the other.

    The convention is that of `geomflow.metrics.chamfer`: both directions summed, squared by default (generation). One
    kd-tree per shape is built once and asked for all points of all other shapes. If `b_sets` is `a_sets` itself, each
    pair is measured once.

    Args:
        a_sets: Points (a, n, 3).
        b_sets: Points (b, m, 3) in the same frame.
        squared: Mean squared or mean unsquared distances.
        progress: Show a progress bar.
        workers: Threads; -1 for all cores.

    Raises:
        ValueError: A collection is empty, not (shapes, points, 3), or not finite.
    """
    a = _indexed("a_sets", a_sets)
    b = a if b_sets is a_sets else _indexed("b_sets", b_sets)
    total = len(b.trees) if b is a else len(a.trees) + len(b.trees)
    with tqdm(total=total, desc="chamfer", unit="shape", disable=not progress) as bar:
        forward = _mean_distances(a, b.trees, squared, workers, bar)
        backward = forward if b is a else _mean_distances(b, a.trees, squared, workers, bar)
    return forward + backward.T


def _indexed(name: str, sets: np.ndarray) -> _IndexedSets:
    if sets.ndim != 3 or sets.shape[-1] != 3 or not sets.size:
        raise ValueError(f"{name} must have shape (shapes, points, 3), none of them 0, given {sets.shape}")
    if not np.isfinite(sets).all():
        bad = np.flatnonzero(~np.isfinite(sets).all(axis=(1, 2)))
        raise ValueError(f"{name} must be finite, given NaN or infinite coordinates in shapes {bad[:5].tolist()}")
    trees = [KDTree(points, leafsize=LEAF_POINTS, compact_nodes=False) for points in sets]
    return _IndexedSets(trees, np.concatenate([tree.data[tree.indices] for tree in trees]))


def _mean_distances(sets: _IndexedSets, trees: list[KDTree], squared: bool, workers: int, bar: tqdm) -> np.ndarray:
    """Mean (squared) distance (shapes, trees) from each shape's points to their nearest point in each tree."""
    means = np.empty((len(sets.trees), len(trees)))
    for column, tree in enumerate(trees):
        distances = tree.query(sets.points, workers=workers)[0].reshape(len(means), -1)
        means[:, column] = (distances**2 if squared else distances).mean(axis=1)
        bar.update()
    return means


def pool_distances(
    d_gg: Float[np.ndarray, "_ _"], d_gr: Float[np.ndarray, "_ _"], d_rr: Float[np.ndarray, "_ _"]
) -> Float[np.ndarray, "n n"]:
    """Return the distances (g + r, g + r) among generated shapes followed by reference shapes.

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
    shares = _nearest_shares(pool_distances(d_gg, d_gr, d_rr))
    return float(_accuracy(shares, _signs(len(shares), len(d_gg))[None])[0])


def null_band(
    d_all: Float[np.ndarray, "_ _"], n_generated: int, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Band:
    """Return where 1-NNA falls with probability `level` if generated and reference shapes follow one law.

    Under that hypothesis the labels are exchangeable given the pooled shapes, so shuffling them draws from the exact
    conditional law; nearest neighbours stay as they are. The band is inclusive, and because accuracies are discrete it
    holds slightly more than `level`.

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
    labels = np.tile(_signs(len(d_all), n_generated), (draws, 1))
    accuracies = _accuracy(_nearest_shares(d_all), np.random.default_rng(seed).permuted(labels, axis=1))
    return _middle(accuracies, level)


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


def bootstrap_interval(values: Float[np.ndarray, " n"], level: float = 0.95, draws: int = 1000, seed: int = 0) -> Band:
    """Return the percentile bootstrap interval of a mean over shapes, as of IoU or of MMD's per-reference distances.

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
    return _middle(values[chosen].mean(axis=1), level)


def set_metrics(
    d_gg: Float[np.ndarray, "_ _"],
    d_gr: Float[np.ndarray, "_ _"],
    d_rr: Float[np.ndarray, "_ _"],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Return one table row: "1-nna", the 95 % band "null_low" to "null_high", "coverage" and "mmd".

    Args:
        d_gg: Distances (g, g) among generated shapes.
        d_gr: Distances (g, r) from generated to reference shapes.
        d_rr: Distances (r, r) among reference shapes.
        draws: Shuffles for the band.
        seed: Same seed, same band.

    Raises:
        ValueError: The shapes do not fit together or a distance is not finite.
    """
    band = null_band(pool_distances(d_gg, d_gr, d_rr), len(d_gg), draws=draws, seed=seed)
    return {
        "1-nna": one_nearest_neighbour_accuracy(d_gg, d_gr, d_rr),
        "null_low": band.low,
        "null_high": band.high,
        "coverage": coverage(d_gr),
        "mmd": minimum_matching_distance(d_gr),
    }


def _signs(total: int, generated: int) -> np.ndarray:
    """Labels: +1 for generated, -1 for reference."""
    return np.where(np.arange(total) < generated, 1.0, -1.0)


def _nearest_shares(d_all: np.ndarray) -> np.ndarray:
    """Matrix whose row i has 1 at the nearest other shape of i, or equal shares where several are equally near."""
    others = _without_diagonal(d_all)
    tied = others == others.min(axis=1, keepdims=True)
    return tied / tied.sum(axis=1, keepdims=True)


def _accuracy(shares: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Mean share of nearest neighbours with the same label (draws,), for many labellings (draws, n).

    Two labels agree when their product is 1, so the agreement of i and j is (1 + s_i s_j) / 2.
    """
    return 0.5 + 0.5 * (signs * (signs @ shares.T)).mean(axis=-1)


def _without_diagonal(square: np.ndarray) -> np.ndarray:
    others = square.copy()
    np.fill_diagonal(others, np.inf)
    return others


def _middle(draws: np.ndarray, level: float) -> Band:
    """The shortest inclusive band that leaves at most (1 - level) / 2 of the draws on either side."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Band(float(low), float(high))


def _checked_square(name: str, square: np.ndarray) -> np.ndarray:
    if square.ndim != 2 or square.shape[0] != square.shape[1] or len(square) < 2:
        raise ValueError(f"{name} must be a square matrix over at least two shapes, given shape {square.shape}")
    if not np.isfinite(square).all():
        raise ValueError(f"{name} must be finite, given NaN or infinite distances")
    return square
