"""Backend `kdtree`: pykdtree's trees (scipy's for L1 distances) on the CPU, made exact where distances are equal.

A kd-tree returns any of several equally near points. So one neighbour more than wanted is asked for, and rows in which
two distances are equal are asked again of a backend that knows indices. The work around the trees is NumPy's: after a
parallel torch op, torch's idle threads keep spinning for a while and would take the cores from pykdtree's.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from pykdtree.kdtree import KDTree as FastTree
from scipy.spatial import KDTree
from torch import Tensor

from geomflow.ops.dispatch import Problem, fits, problem_of, run

MOST_DIMENSIONS = 8
"""Above about this many coordinates a kd-tree looks at nearly every point."""

LARGE = 2**15
"""Points above which sorting them along a curve first pays: neighbours in space become neighbours in the cache."""

FEW = 2**20
"""Pairs of points up to which a few rows are asked again by brute force rather than with a tree of their own."""

HUGE = 1e18
"""Distance from which on pykdtree may have found nothing: it starts its search at the root of the largest float32."""

CROWDED = 0.1
"""Share of points equal to their neighbour on the curve from which on the trees of this backend are not used."""

Table = tuple[np.ndarray, np.ndarray]
"""Distances (m, k) and rows (m, k) of the neighbours of m queries."""


def unfit(problem: Problem) -> str:
    """Return why this backend cannot do a problem, empty if it can."""
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
            found, place = _ordered(queries[rows], points[names], k, norm)
            distance[b, :m][rows, : found.shape[1]] = found
            index[b, :m][rows, : found.shape[1]] = place if isinstance(names, slice) else _renamed(place, names)
    return torch.from_numpy(distance), torch.from_numpy(index)


def _finite(points: np.ndarray) -> slice | np.ndarray:
    """The rows of a cloud that are finite, as an index."""
    finite = np.isfinite(points)
    return slice(None) if finite.all() else np.flatnonzero(finite.all(1))


def _ordered(queries: np.ndarray, points: np.ndarray, k: int, norm: int) -> Table:
    """At most k neighbours of each query (m, k), the lowest row first where distances are equal."""
    found, place = _neighbours(queries, points, min(k + 1, len(points)), norm)
    tied = np.flatnonzero((found[:, 1:] == found[:, :-1]).any(1))
    found, place = found[:, :k], place[:, :k]
    if len(tied):
        found[tied], place[tied] = _exact(queries[tied], points, found.shape[1], norm)
    return found, place


def _neighbours(queries: np.ndarray, points: np.ndarray, k: int, norm: int) -> Table:
    """The k nearest in any order of equals, asked in the order of a curve where that pays."""
    if len(points) <= LARGE or points.shape[1] > 3 or points.dtype != np.float32:
        return _ask(queries, points, k, norm)
    order = _curve(points)
    turn = order if np.shares_memory(queries, points) and len(queries) == len(points) else _curve(queries)
    along = points[order]
    if _crowded(along):
        return _exact(queries, points, k, norm)
    found, place = _ask(along if turn is order else queries[turn], along, k, norm)
    back = torch.empty(len(turn), dtype=torch.int64).scatter_(0, torch.from_numpy(turn), torch.arange(len(turn)))
    found, place = (torch.from_numpy(part).index_select(0, back) for part in (found, _renamed(place, order)))
    return found.numpy(), place.numpy()


def _renamed(place: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Rows by their names, and -1 still -1."""
    return np.append(names.astype(np.int32), np.int32(-1))[place]


def _curve(points: np.ndarray) -> np.ndarray:
    """The rows of a cloud along a Hilbert curve."""
    from geomflow.ops.tree import curve_order

    return curve_order(torch.from_numpy(points)).numpy()


def _crowded(points: np.ndarray) -> bool:
    """Whether many points lie on one another: a kd-tree cannot part those and would compare them all."""
    return float((points[1:] == points[:-1]).all(1).mean()) > CROWDED


def _ask(queries: np.ndarray, points: np.ndarray, k: int, norm: int) -> Table:
    """Distances (m, k) and rows (m, k) by a kd-tree; infinity and -1 where the distance overflows."""
    if norm == 1:
        distance, row = KDTree(points).query(queries, k, p=1, workers=-1)
        distance = np.asarray(distance, points.dtype)
    else:
        distance, row = FastTree(points).query(queries, k, sqr_dists=True)
    distance, row = (part.reshape(len(queries), k) for part in (distance, row.view(f"i{row.itemsize}")))
    lost = (row < 0) | (row >= len(points)) if k and not distance[:, -1].max() < HUGE else None
    return (distance, row) if lost is None else (np.where(lost, np.inf, distance), np.where(lost, -1, row))


def _exact(queries: np.ndarray, points: np.ndarray, k: int, norm: int) -> Table:
    """The k nearest by a backend that orders equal distances by index."""
    clouds = torch.from_numpy(queries)[None], torch.from_numpy(points)[None]
    problem = problem_of("knn", *clouds, k)
    lengths = (torch.tensor([len(part)]) for part in (queries, points))
    backend = "warp" if problem.pairs > FEW and fits("warp", problem) else "reference"
    distance, index = run(problem, backend, *clouds, *lengths, k, norm)
    return distance[0].numpy(), index[0].numpy()
