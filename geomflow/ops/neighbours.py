"""Nearest neighbours, balls, and what is gathered from them, with PyTorch3D's names and argument order.

The search is discrete and is done by a backend inside a custom op; distances that need a gradient are then taken again
from the neighbours in plain torch, so derivatives of every order are torch's own.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from geomflow.ops.batches import Clouds, cloud_pair
from geomflow.ops.dispatch import operator, problem_of, run


class KNN(NamedTuple):
    """Neighbours of each point of p1 among p2, as in PyTorch3D.

    Attributes:
        dists: Squared distances (L1 distances for norm 1), (B, P1, K).
        idx: Rows of p2 (B, P1, K), int64; -1 where there is no neighbour.
        knn: The neighbours themselves (B, P1, K, D), zeros where there is none; None unless asked for.
    """

    dists: Float[Tensor, "b p k"]
    idx: Int[Tensor, "b p k"]
    knn: Float[Tensor, "b p k d"] | None


def knn_points(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"] | None = None,
    lengths2: Int[Tensor, " b"] | None = None,
    norm: Literal[1, 2] = 2,
    K: int = 1,
    version: int = -1,
    return_nn: bool = False,
    return_sorted: bool = True,
    *,
    pad_distance: float = 0.0,
    backend: str = "auto",
) -> KNN:
    """Return the K nearest points of p2 to each point of p1, nearest first, the lowest index first among equals.

    Args:
        p1: Queries (B, P1, D), float32 or float64; half precision is computed in float32.
        p2: Points to choose from (B, P2, D).
        lengths1: Points of each cloud of p1 (B,), all of them by default.
        lengths2: Points of each cloud of p2 (B,).
        norm: 2 for squared Euclidean distances, 1 for L1 distances.
        K: Neighbours per point; more than there are is fine.
        version: PyTorch3D's choice of kernel, ignored here: see `backend`.
        return_nn: Whether to return the neighbours too.
        return_sorted: PyTorch3D's leave not to sort, which this does not take.
        pad_distance: Distance where there is no neighbour (padding, NaN or infinite coordinates, fewer than K points).
        backend: `auto`, `reference`, `kdtree` or `warp`.

    Returns:
        Distances, indices and neighbours. Distances and neighbours have gradients of every order to p1 and p2.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, K is below 1, norm is neither 1 nor 2, or the backend cannot.
        TypeError: The points are not floating point tensors of one dtype.
    """
    first, second = cloud_pair(("p1", "p2"), p1, p2, lengths1, lengths2)
    check_count("K", K)
    if norm not in (1, 2):
        raise ValueError(f"norm must be 1 or 2, given {norm}")
    found, idx = search_knn(
        first.points.detach(), second.points.detach(), first.lengths, second.lengths, K, norm, backend
    )
    return _answer(first, second, found, idx, norm, return_nn, pad_distance)


def ball_query(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"] | None = None,
    lengths2: Int[Tensor, " b"] | None = None,
    K: int = 500,
    radius: float = 0.2,
    return_nn: bool = True,
    *,
    pad_distance: float = 0.0,
    backend: str = "auto",
) -> KNN:
    """Return the first K points of p2, in the order of their indices, closer than `radius` to each point of p1.

    Args:
        p1: Centres (B, P1, D).
        p2: Points to choose from (B, P2, D).
        lengths1: Points of each cloud of p1 (B,).
        lengths2: Points of each cloud of p2 (B,).
        K: Most points per ball.
        radius: Radius in the points' unit; the ball is open.
        return_nn: Whether to return the points of the ball too.
        pad_distance: Distance where a ball has no further point.
        backend: `auto`, `reference` or `warp`.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, K is below 1, or the backend cannot.
        TypeError: The points are not floating point tensors of one dtype.
    """
    first, second = cloud_pair(("p1", "p2"), p1, p2, lengths1, lengths2)
    check_count("K", K)
    idx = search_ball(
        first.points.detach(), second.points.detach(), first.lengths, second.lengths, K, float(radius), backend
    )
    return _answer(first, second, None, idx, 2, return_nn, pad_distance)


def knn_gather(
    x: Shaped[Tensor, "b q c"], idx: Int[Tensor, "b p k"], lengths: Int[Tensor, " b"] | None = None
) -> Shaped[Tensor, "b p k c"]:
    """Return rows of x by index, zeros where there is no such row, as for -1, and in places k >= lengths[b] if given.

    It copies x once, which saves a pass over what is gathered, mostly more.

    Args:
        x: Features (B, P2, C).
        idx: Rows (B, P1, K) as from `knn_points`.
        lengths: Points of each cloud of x (B,); PyTorch3D needs it to know padding, here -1 says it already.
    """
    if lengths is not None:
        idx = torch.where(torch.arange(idx.shape[2], device=idx.device) < lengths[:, None, None], idx, -1)
    there = (idx >= 0) & (idx < x.shape[1])
    table = F.pad(x, (0, 0, 0, 1))  # a row of zeros after the others, for what is not there
    starts = table.shape[1] * torch.arange(len(x), device=x.device)[:, None, None]
    rows = (torch.where(there, idx, x.shape[1]) + starts).flatten()
    return table.flatten(0, 1).index_select(0, rows).view(*idx.shape, x.shape[2])


def group_points(
    points: Float[Tensor, "b q c"], idx: Int[Tensor, "b p k"], centers: Float[Tensor, "b p c"] | None = None
) -> Float[Tensor, "b p k c"]:
    """Return the points of each neighbourhood, relative to its centre if centres are given, zeros where idx is -1.

    The grouping of PointNet++ (Qi et al., arXiv 1706.02413).

    Args:
        points: Points or features (B, P2, C).
        idx: Neighbourhoods (B, P1, K) as from `knn_points` or `ball_query`.
        centers: What each neighbourhood is measured from (B, P1, C).

    Raises:
        ValueError: The centres are not one per neighbourhood.
    """
    if centers is not None and centers.shape[:2] != idx.shape[:2]:
        raise ValueError(f"centers must have the rows of idx, {tuple(idx.shape[:2])}, given {tuple(centers.shape[:2])}")
    grouped = knn_gather(points, idx)
    return grouped if centers is None else torch.where((idx >= 0)[..., None], grouped - centers[:, :, None], 0)


def three_interpolate(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    features: Float[Tensor, "b q c"],
    lengths1: Int[Tensor, " b"] | None = None,
    lengths2: Int[Tensor, " b"] | None = None,
    K: int = 3,
    *,
    backend: str = "auto",
) -> Float[Tensor, "b p c"]:
    """Return the features of p2 at the points of p1, each the mean of its K nearest weighted by 1 / squared distance.

    The feature propagation of PointNet++ (Qi et al., arXiv 1706.02413). A point of p1 that coincides with points of p2
    takes theirs; zeros where there is no neighbour.

    Args:
        p1: Where features are wanted (B, P1, D).
        p2: Where features are known (B, P2, D).
        features: Known features (B, P2, C).
        lengths1: Points of each cloud of p1 (B,).
        lengths2: Points of each cloud of p2 (B,).
        K: Neighbours, three in PointNet++.
        backend: As in `knn_points`.

    Raises:
        ValueError: As in `knn_points`, or `features` has other rows than p2.
        TypeError: As in `knn_points`.
    """
    if features.shape[:2] != p2.shape[:2]:
        raise ValueError(f"features must have the rows of p2, {tuple(p2.shape[:2])}, given {tuple(features.shape[:2])}")
    dists, idx, _ = knn_points(p1, p2, lengths1, lengths2, K=K, pad_distance=math.inf, backend=backend)
    nearest = torch.where(idx[..., :1] >= 0, dists[..., :1].detach(), 1).clamp(min=torch.finfo(dists.dtype).tiny)
    weights = nearest / dists.clamp(min=torch.finfo(dists.dtype).tiny)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(dists.dtype).tiny)
    return (weights[..., None] * knn_gather(features, idx)).sum(dim=2)


def check_count(name: str, count: int) -> None:
    """Refuse a count below 1.

    Args:
        name: What errors call the count.
        count: The count.

    Raises:
        ValueError: It is below 1; the message begins with `name`.
    """
    if count < 1:
        raise ValueError(f"{name} must be at least 1, given {count}")


def _answer(
    first: Clouds,
    second: Clouds,
    found: Tensor | None,
    idx: Tensor,
    norm: int,
    return_nn: bool,
    pad_distance: float,
) -> KNN:
    """Neighbours from indices; distances are taken anew where they need a gradient or were not found on the way."""
    again = found is None or _differentiated(first.points) or _differentiated(second.points)
    neighbours = knn_gather(second.points, idx) if return_nn or again else None
    dists = _distances(first.points, neighbours, idx, norm) if again else found  # pyright: ignore[reportArgumentType]
    return KNN(torch.where(idx >= 0, dists, pad_distance), idx, neighbours if return_nn else None)  # pyright: ignore


def _differentiated(points: Tensor) -> bool:
    """Whether a derivative may be asked for, in reverse or forward mode."""
    if points.requires_grad and torch.is_grad_enabled():
        return True
    return not torch.compiler.is_compiling() and forward_ad.unpack_dual(points).tangent is not None


def _distances(points: Tensor, neighbours: Tensor, idx: Tensor, norm: int) -> Float[Tensor, "b p k"]:
    """Distances from each point to its neighbours; where there is none, 0 with no gradient (not NaN)."""
    difference = torch.where((idx >= 0)[..., None], points[:, :, None] - neighbours, 0)
    return difference.abs().sum(-1) if norm == 1 else difference.square().sum(-1)


def _knn(
    p1: Tensor, p2: Tensor, lengths1: Tensor, lengths2: Tensor, k: int, norm: int, backend: str
) -> tuple[Tensor, Tensor]:
    """Distances (infinite where there is none) and indices of the k nearest."""
    if not (p1.numel() and p2.numel()):
        shape = (p1.shape[0], p1.shape[1], k)
        return p1.new_full(shape, math.inf), torch.full(shape, -1, device=p1.device)
    problem = problem_of("knn", p1, p2, k)
    return run(problem, backend, p1.contiguous(), p2.contiguous(), lengths1, lengths2, k, norm)


def _ball(p1: Tensor, p2: Tensor, lengths1: Tensor, lengths2: Tensor, k: int, radius: float, backend: str) -> Tensor:
    """Indices of the first k within the radius, -1 where there are fewer."""
    if not (p1.numel() and p2.numel()):
        return torch.full((p1.shape[0], p1.shape[1], k), -1, device=p1.device)
    problem = problem_of("ball", p1, p2, k)
    return run(problem, backend, p1.contiguous(), p2.contiguous(), lengths1, lengths2, k, radius)


def _table(p1: Tensor, k: int) -> Tensor:
    """Room for k indices per point."""
    return torch.empty((p1.shape[0], p1.shape[1], k), dtype=torch.int64, device=p1.device)


search_knn = operator(_knn, lambda p1, p2, n1, n2, k, norm, backend: (p1.new_empty(*p1.shape[:2], k), _table(p1, k)))
search_ball = operator(_ball, lambda p1, p2, n1, n2, k, radius, backend: _table(p1, k))
