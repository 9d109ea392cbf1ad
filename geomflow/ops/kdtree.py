"""Backend `kdtree`: pykdtree's trees (scipy's for L1 distances) on the CPU, made exact where distances are equal.

A kd-tree returns any of several equally near points. So one neighbour more than wanted is asked for, and rows in which
two distances are equal are asked again of a backend that knows indices. The work around the trees is NumPy's: after a
parallel torch op, torch's idle threads keep spinning for a while and would take the cores from pykdtree's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pykdtree.kdtree import KDTree as FastTree
from torch import Tensor

from geomflow.ops.dispatch import Problem, fits, problem_of, run

MOST_DIMENSIONS = 8
"""Above about this many coordinates a kd-tree looks at nearly every point."""

LARGE = 2**13
"""Queries from which on asking them along a curve pays: neighbours in space become neighbours in the cache."""

TRIAL = 256
"""Queries asked on trial: where most have equal distances, as on a lattice, a tree that knows indices takes over."""

CROWDED = 0.5
"""Share of the queries on trial that have equal distances from which on it does."""

BRUTE = 2**18
"""Pairs of points up to which rows are asked again by brute force rather than with a tree that knows indices."""

HUGE = 1e18
"""Distance from which on pykdtree may have found nothing: it starts its search at the root of the largest float32."""

TINY = 1e-30
"""Width of a cloud that has none."""

SPREAD = np.array([sum((i >> bit & 1) << 3 * bit for bit in range(5)) for i in range(32)], dtype=np.uint16)
"""Five bits with two zeros put before each."""

Table = tuple[np.ndarray, np.ndarray]
"""Distances (m, k) and rows (m, k) of the neighbours of m queries."""


def unfit(problem: Problem) -> str:
    """Return why this backend cannot do a problem, empty if it can.

    Args:
        problem: What the call is about.
    """
    if problem.device != "cpu":
        return f"kd-trees work on the cpu, not on {problem.device}"
    if problem.dimension > MOST_DIMENSIONS:
        return f"kd-trees gain nothing above {MOST_DIMENSIONS} coordinates, given {problem.dimension}"
    return ""


def knn(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"],
    lengths2: Int[Tensor, " b"],
    k: int,
    norm: int,
) -> tuple[Float[Tensor, "b p k"], Int[Tensor, "b p k"]]:
    """Return the k nearest of p2 to each of p1; see `reference.knn`."""
    shape = (p1.shape[0], p1.shape[1], k)
    distance, index = np.full(shape, np.inf, p1.numpy().dtype), np.full(shape, -1)
    for b, (m, n) in enumerate(zip(lengths1.tolist(), lengths2.tolist(), strict=True)):
        queries, points = p1[b, :m].numpy(), p2[b, :n].numpy()
        rows, names = _finite(queries), _finite(points)
        if len(queries[rows]) and len(points[names]):
            turn, found, place = _neighbours(queries[rows], points[names], k, norm)
            rows = turn if isinstance(rows, slice) else rows[turn]
            distance[b, :m][rows, : found.shape[1]] = found
            index[b, :m][rows, : found.shape[1]] = _renamed(place, names)
    return torch.from_numpy(distance), torch.from_numpy(index)


def _finite(points: np.ndarray) -> slice | np.ndarray:
    """The rows of a cloud that are finite, as an index."""
    finite = np.isfinite(points)
    return slice(None) if finite.all() else np.flatnonzero(finite.all(1))


def _neighbours(
    queries: np.ndarray, points: np.ndarray, k: int, norm: int
) -> tuple[slice | np.ndarray, np.ndarray, np.ndarray]:
    """The order in which queries were asked, and in it at most k neighbours (m, k), the lowest of equals first."""
    order, turn = _orders(queries, points)
    tree, queries = _tree(points[order], norm), queries[turn]
    k, asked = min(k, len(points)), min(k + 1, len(points))
    if len(queries) > 16 * TRIAL and len(_tied(tree(queries[:: len(queries) // TRIAL], asked)[0])) > CROWDED * TRIAL:
        return turn, *_exact(queries, points, k, norm)
    found, place = tree(queries, asked)
    tied = _tied(found)
    found, place = found[:, :k], _renamed(place, order)[:, :k]
    if len(tied):
        found[tied], place[tied] = _exact(queries[tied], points, k, norm)
    return turn, found, place


def _orders(queries: np.ndarray, points: np.ndarray) -> tuple[slice | np.ndarray, slice | np.ndarray]:
    """The orders to keep the points and to ask the queries in: along a curve, where that pays."""
    if len(queries) < LARGE or points.shape[1] > 3:
        return slice(None), slice(None)
    order = _curve(points)
    same = np.shares_memory(queries, points) and len(queries) == len(points)
    return order, order if same else _curve(queries)


def _tied(distance: np.ndarray) -> np.ndarray:
    """The rows that have two equal distances."""
    flat, k = distance.ravel(), distance.shape[1]
    places = np.flatnonzero(flat[1:] == flat[:-1])
    return np.unique(places[(places + 1) % k != 0] // k)


def _renamed(place: np.ndarray, names: slice | np.ndarray) -> np.ndarray:
    """Rows by their names, and -1 still -1."""
    return place if isinstance(names, slice) else np.append(names.astype(np.int32), np.int32(-1))[place]


def _curve(points: np.ndarray) -> np.ndarray:
    """The rows of a cloud in Morton order of 32 cells per axis; 16-bit keys sort in linear time."""
    some = points[:: max(1, len(points) // 1024)]
    low, high = np.quantile(some, [0.02, 0.98], axis=0).astype(points.dtype)
    cells = ((points - low) * (32 / np.maximum(high - low, TINY))).clip(0, 31).astype(np.uint8)
    key = SPREAD[cells[:, 0]]
    for axis in range(1, points.shape[1]):
        key = key << 1 | SPREAD[cells[:, axis]]
    return key.argsort(kind="stable")


def _tree(points: np.ndarray, norm: int) -> Callable[[np.ndarray, int], Table]:
    """A kd-tree to ask for the k nearest, in any order of equals."""
    if norm == 1:
        from scipy.spatial import KDTree

        slow = KDTree(points)
        return lambda queries, k: _table(slow.query(queries, k, p=1, workers=-1), points, k)
    fast = FastTree(points)
    return lambda queries, k: _table(fast.query(queries, k, sqr_dists=True), points, k)


def _table(answer: Any, points: np.ndarray, k: int) -> Table:
    """Distances (m, k) and rows (m, k) as signed integers; infinity and -1 where the distance overflows."""
    distance, row = answer
    distance = np.asarray(distance, points.dtype).reshape(-1, k)
    row = row.view(f"i{row.itemsize}").reshape(-1, k)
    if len(row) and distance[:, -1].max() < HUGE:
        return distance, row
    lost = (row < 0) | (row >= len(points))
    return np.where(lost, np.inf, distance), np.where(lost, -1, row)


def _exact(queries: np.ndarray, points: np.ndarray, k: int, norm: int) -> Table:
    """The k nearest, the lowest row first where distances are equal."""
    if len(queries) * len(points) <= BRUTE:
        rows = [_exact_row(query, points, k, norm) for query in queries]
        return tuple(np.stack(parts) for parts in zip(*rows, strict=True))  # pyright: ignore[reportReturnType]
    clouds = torch.from_numpy(queries)[None], torch.from_numpy(points)[None]
    problem = problem_of("knn", *clouds, k)
    lengths = (torch.tensor([len(part)]) for part in (queries, points))
    distance, index = run(problem, "warp" if fits("warp", problem) else "reference", *clouds, *lengths, k, norm)
    return distance[0].numpy(), index[0].numpy()


def _exact_row(query: np.ndarray, points: np.ndarray, k: int, norm: int) -> Table:
    """The k nearest of one query by brute force: all that are as near as the k-th, then the first of them."""
    gap = points - query
    with np.errstate(over="ignore"):
        distance = np.abs(gap).sum(1) if norm == 1 else np.square(gap).sum(1)
    near = np.flatnonzero(distance <= np.partition(distance, k - 1)[k - 1])
    near = near[distance[near].argsort(kind="stable")][:k]
    return distance[near], np.where(np.isfinite(distance[near]), near, -1)
