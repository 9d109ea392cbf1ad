"""Backend `kdtree`: pykdtree's trees (scipy's for L1 distances) on the CPU, made exact where distances are equal.

A kd-tree returns any of several equally near points. So one neighbour more than wanted is asked for, and rows in which
two distances are equal are asked again of a backend that knows indices.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from pykdtree.kdtree import KDTree as FastTree
from scipy.spatial import KDTree
from torch import Tensor

from geomflow.ops.batches import length_mask
from geomflow.ops.dispatch import Problem, fits, problem_of, run

MOST_DIMENSIONS = 8
"""Above about this many coordinates a kd-tree looks at nearly every point."""

LARGE = 2**15
"""Points above which sorting them along a curve first pays: neighbours in space become neighbours in the cache."""

CROWDED = 0.1
"""Share of points equal to their neighbour on the curve from which on the trees of this backend are not used."""


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
    shape = (p1.shape[0], p1.shape[1], k + 1)
    distance, index = p1.new_full(shape, torch.inf), torch.full(shape, -1)
    asked, known = _points(p1, lengths1), _points(p2, lengths2)
    for b, (rows, names) in enumerate(zip(asked, known, strict=True)):
        _fill(p1[b], rows, p2[b], names, norm, distance[b], index[b])
    tied = ((distance[..., 1:] == distance[..., :-1]) & (index[..., 1:] >= 0)).any(-1)
    distance, index = distance[..., :k].contiguous(), index[..., :k].contiguous()
    for b in tied.any(-1).nonzero()[:, 0].tolist():
        rows = tied[b].nonzero()[:, 0]
        distance[b, rows], index[b, rows] = _exact(p1[b, rows], p2[b], lengths2[b : b + 1], k, norm)
    return distance, index


def _points(points: Tensor, lengths: Tensor) -> list[Tensor | slice]:
    """The rows of each cloud that are finite points, as an index."""
    valid = length_mask(lengths, points.shape[1]) & points.isfinite().all(-1)
    return [slice(None) if all_valid else valid[b].nonzero()[:, 0] for b, all_valid in enumerate(valid.all(1).tolist())]


def _fill(
    queries: Tensor,
    rows: Tensor | slice,
    points: Tensor,
    names: Tensor | slice,
    norm: int,
    distance: Tensor,
    index: Tensor,
) -> None:
    """Write the neighbours (rows, at most k + 1) of some rows of one cloud among some points of another."""
    whole = isinstance(names, slice)
    queries, points = queries[rows], points[names]
    k = min(distance.shape[1], len(points))
    if len(queries) and k:
        found, place = _neighbours(queries, points, k, norm)
        distance[rows, :k], index[rows, :k] = found, place if whole else torch.where(place < 0, -1, names[place])


def _neighbours(queries: Tensor, points: Tensor, k: int, norm: int) -> tuple[Tensor, Tensor]:
    """Distances (m, k) and rows (m, k), asked in the order of a curve where that pays."""
    if len(points) <= LARGE or points.shape[1] > 3 or points.dtype != torch.float32:
        return _ask(queries, points, k, norm)
    from geomflow.ops.tree import curve_order

    order = curve_order(points)
    turn = order if queries.data_ptr() == points.data_ptr() and len(queries) == len(points) else curve_order(queries)
    if _crowded(points[order]):
        return _exact(queries, points, torch.tensor([len(points)]), k, norm)
    found, place = _ask(queries[turn], points[order], k, norm)
    back = torch.empty_like(turn).scatter_(0, turn, torch.arange(len(turn)))
    place = torch.where(place < 0, -1, order[place]) if (place[:, -1] < 0).any() else order[place]
    return found.index_select(0, back), place.index_select(0, back)


def _crowded(points: Tensor) -> bool:
    """Whether many points lie on one another: a kd-tree cannot part those and would compare them all."""
    return bool((points[1:] == points[:-1]).all(1).float().mean() > CROWDED)


def _ask(queries: Tensor, points: Tensor, k: int, norm: int) -> tuple[Tensor, Tensor]:
    """Distances (m, k) and rows (m, k) by a kd-tree; infinity and -1 where the distance overflows."""
    asked, known = queries.contiguous().numpy(), points.contiguous().numpy()
    if norm == 1:
        distance, row = KDTree(known).query(asked, k, p=1, workers=-1)
    else:
        distance, row = FastTree(known).query(asked, k, sqr_dists=True)
        row = row.view(np.int32)
    distance = torch.from_numpy(np.asarray(distance, known.dtype).reshape(len(asked), k))
    row = torch.from_numpy(np.asarray(row, np.int64).reshape(len(asked), k))
    lost = (row < 0) | (row >= len(known))
    return (distance, row) if not lost.any() else (distance.masked_fill(lost, torch.inf), row.masked_fill(lost, -1))


def _exact(queries: Tensor, points: Tensor, length: Tensor, k: int, norm: int) -> tuple[Tensor, Tensor]:
    """Neighbours by a backend that orders equal distances by index."""
    clouds = queries[None], points[None]
    problem = problem_of("knn", *clouds, k)
    backend = "warp" if fits("warp", problem) else "reference"
    distance, index = run(problem, backend, *clouds, torch.tensor([len(queries)]), length, k, norm)
    return distance[0], index[0]
