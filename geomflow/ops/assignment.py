"""The cheapest one-to-one matching of two clouds of equal size: the earth mover's distance, exactly."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.ops.batches import cloud_pair
from geomflow.ops.chamfer import root
from geomflow.ops.dispatch import operator, reference_only
from geomflow.ops.neighbours import knn_gather
from geomflow.ops.transport import potentials, soft_minimum

PRICED = 512
"""Points from which on estimated prices are worth the time to estimate them."""

SAMPLED = 4
"""One in so many points is used to estimate prices."""


class Assignment(NamedTuple):
    """The cheapest one-to-one matching of two clouds of equal size.

    Attributes:
        distance: Mean cost of the matched pairs (B,), 0 for empty clouds.
        idx: Row of y for each row of x (B, P), int64; -1 on padding.
    """

    distance: Float[Tensor, " b"]
    idx: Int[Tensor, "b p"]


def nearest_assignment(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    *,
    squared: bool = False,
    backend: str = "auto",
) -> Assignment:
    """Return the exact optimal assignment of two clouds of equal size: the earth mover's distance.

    Jonker and Volgenant's algorithm in SciPy on the CPU in float64, one cloud per thread, of third order in the number
    of points: it is meant for up to about 4,000. Distances have gradients of every order to the points, at the matching
    that was found; that of points that coincide with their match is 0.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, Q, D) with as many points each.
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        squared: Whether the cost is the squared distance; the default is the Euclidean one.
        backend: `auto` or `reference`, which are the same here.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, sizes differ, or a point is not finite.
        TypeError: The points are not floating point tensors of one dtype.
    """
    reference_only("nearest_assignment", backend)
    first, second = cloud_pair(("x", "y"), x, y, x_lengths, y_lengths)
    idx = search_assignment(first.points.detach(), second.points.detach(), first.lengths, second.lengths, squared)
    there = idx >= 0
    difference = torch.where(there[..., None], first.points - knn_gather(second.points, idx[..., None])[:, :, 0], 0)
    cost = difference.square().sum(-1)
    return Assignment((cost if squared else root(cost)).sum(1) / there.sum(1).clamp(min=1), idx)


def _assignment(x: Tensor, y: Tensor, x_lengths: Tensor, y_lengths: Tensor, squared: bool) -> Tensor:
    """Matched rows of y (B, P), -1 on padding; on the CPU, so values can be checked wherever the points are."""
    if not torch.equal(x_lengths, y_lengths):
        raise ValueError(
            f"x and y must have equal sizes to be matched one to one, given {x_lengths.tolist()} and "
            f"{y_lengths.tolist()}"
        )
    sizes = x_lengths.tolist()
    clouds = [_arrays(name, points, sizes) for name, points in (("x", x), ("y", y))]
    idx = torch.full(x.shape[:2], -1, dtype=torch.int64)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for row, found in zip(idx, pool.map(_matched, *clouds, [squared] * len(sizes)), strict=True):
            row[: len(found)] = torch.from_numpy(found)
    return idx.to(x.device)


def _arrays(name: str, points: Tensor, sizes: list[int]) -> list[np.ndarray]:
    """Each cloud without padding, in float64."""
    arrays = [cloud[:size] for cloud, size in zip(points.cpu().double().numpy(), sizes, strict=True)]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{name} must be finite to be matched, given NaN or infinite coordinates")
    return arrays


def _matched(x: np.ndarray, y: np.ndarray, squared: bool) -> np.ndarray:
    """The row of y for each row of x; a price on a column changes the cost of all assignments alike."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(x, y, "sqeuclidean" if squared else "euclidean")
    if len(cost) >= PRICED:
        cost -= _prices(torch.from_numpy(cost)).numpy()
    return linear_sum_assignment(cost)[1]


def _prices(cost: Float[Tensor, "n n"]) -> Float[Tensor, " n"]:
    """Estimated prices of the columns: entropic potentials of a sample of rows and columns, carried to all columns.

    SciPy's algorithm starts with prices of zero. Where clouds lie apart, as those of a generator before its training
    lie from the data, its way from there to the right ones takes ten times as long as from these.
    """
    low, high = cost.aminmax()
    width, eps = (high - low).clamp(min=torch.finfo(cost.dtype).tiny), 3e-4
    rows = ((cost[::SAMPLED] - low) / width)[None]
    sample = rows[..., ::SAMPLED]
    even = sample.new_zeros(sample.shape[:2])
    f, _ = potentials(sample, even, even, eps, 50)
    return soft_minimum(rows.mT, even, f, width.new_full((1,), eps))[0] * width


search_assignment = operator(
    _assignment,
    lambda x, y, x_lengths, y_lengths, squared: torch.empty(x.shape[:2], dtype=torch.int64, device=x.device),
)
