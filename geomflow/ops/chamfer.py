"""Chamfer and Hausdorff distance of batched clouds: both ask each point for its nearest in the other cloud."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.ops.batches import readable
from geomflow.ops.neighbours import knn_gather, knn_points

Reduction = Literal["mean", "sum", "max"] | None


class _Side(NamedTuple):
    """What one direction finds for each point: distance, 1 - cosine of the normals, and whether it found anything."""

    distance: Float[Tensor, "b p"]
    normal: Float[Tensor, "b p"] | None
    found: Tensor


def chamfer_distance(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    x_normals: Float[Tensor, "b p d"] | None = None,
    y_normals: Float[Tensor, "b q d"] | None = None,
    weights: Float[Tensor, " b"] | None = None,
    batch_reduction: Literal["mean", "sum"] | None = "mean",
    point_reduction: Reduction = "mean",
    norm: Literal[1, 2] = 2,
    single_directional: bool = False,
    abs_cosine: bool = True,
    *,
    squared: bool = True,
    backend: str = "auto",
) -> tuple:
    """Return the chamfer distance of two batches of clouds, and the same of their normals if there are any.

    From x to y: the mean over x of the distance to the nearest point of y; the two directions are summed, never halved.
    With the defaults this is PyTorch3D's number: mean squared Euclidean distances. `squared=False` takes Euclidean
    distances (the reconstruction convention, a length).

    Args:
        x: Clouds (B, P1, D).
        y: Clouds (B, P2, D).
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        x_normals: Normals (B, P1, D) of x; distances of normals are 1 - |cosine| to the nearest point's.
        y_normals: Normals (B, P2, D) of y.
        weights: Weight of each cloud (B,), not negative; the mean over the batch divides by their sum.
        batch_reduction: `mean` or `sum` over the batch, or None for one number per cloud.
        point_reduction: `mean`, `sum` or `max` over the points that have a nearest, or None for one number per point.
            With `max` the larger direction is taken instead of the sum, and there are no normals.
        norm: 2 for Euclidean, 1 for L1 distances.
        single_directional: Whether to go from x to y only.
        abs_cosine: Whether normals may be opposite.
        squared: Whether Euclidean distances are squared.
        backend: As in `knn_points`.

    Returns:
        The distance, and the distance of normals or None. With point_reduction None each of them is a pair (B, P1),
        (B, P2), or only the first with single_directional. Both have gradients of every order.

    Raises:
        ValueError: Shapes, devices, lengths, weights or reductions do not fit.
        TypeError: The points are not floating point tensors of one dtype.
    """
    _check_reductions(batch_reduction, point_reduction, x_normals if x_normals is not None else y_normals)
    if (x_normals is None) != (y_normals is None) and not single_directional:
        raise ValueError("x_normals and y_normals must be given both or neither")
    _check_normals("x_normals", x_normals, x)
    _check_normals("y_normals", y_normals, y)
    _check_weights(weights, x)
    weights = None if weights is None else weights.to(x.dtype if x.dtype == torch.float64 else torch.float32)
    sides = [_side(x, y, x_lengths, y_lengths, x_normals, y_normals, norm, squared, abs_cosine, backend)]
    if not single_directional:
        sides.append(_side(y, x, y_lengths, x_lengths, y_normals, x_normals, norm, squared, abs_cosine, backend))
    sides = [side if weights is None else _weighted(side, weights) for side in sides]
    normals = [side.normal for side in sides]
    loss = _reduced([side.distance for side in sides], sides, weights, batch_reduction, point_reduction)
    return loss, None if normals[0] is None else _reduced(normals, sides, weights, batch_reduction, point_reduction)


def hausdorff_distance(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    single_directional: bool = False,
    *,
    backend: str = "auto",
) -> Float[Tensor, " b"]:
    """Return the Hausdorff distance (B,) of two batches of clouds, a length; 0 where a cloud is empty.

    The largest distance from a point of either cloud to the nearest of the other; `single_directional`: from x to y.

    Args:
        x: Clouds (B, P1, D).
        y: Clouds (B, P2, D).
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        single_directional: Whether to go from x to y only.
        backend: As in `knn_points`.

    Raises:
        ValueError: Shapes, devices or lengths do not fit.
        TypeError: The points are not floating point tensors of one dtype.
    """
    lengths = x_lengths, y_lengths
    return chamfer_distance(
        x, y, *lengths, None, None, None, None, "max", 2, single_directional, squared=False, backend=backend
    )[0]


def root(squared: Tensor) -> Tensor:
    """Return the square root, with gradient 0 instead of infinity at 0.

    Args:
        squared: Squared distances, of any shape.
    """
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)


def _side(
    a: Tensor,
    b: Tensor,
    a_lengths: Tensor | None,
    b_lengths: Tensor | None,
    a_normals: Tensor | None,
    b_normals: Tensor | None,
    norm: Literal[1, 2],
    squared: bool,
    abs_cosine: bool,
    backend: str,
) -> _Side:
    """Distances from a to the nearest of b."""
    dists, idx, _ = knn_points(a, b, a_lengths, b_lengths, norm, backend=backend)
    found, distance = idx[..., 0] >= 0, dists[..., 0]
    distance = distance if squared or norm == 1 else root(distance)
    if a_normals is None or b_normals is None:
        return _Side(distance, None, found)
    a_normals = torch.where(found[..., None], a_normals, 0)
    cosine = torch.cosine_similarity(a_normals, knn_gather(b_normals, idx)[:, :, 0], dim=-1, eps=1e-6)
    return _Side(distance, torch.where(found, 1 - (cosine.abs() if abs_cosine else cosine), 0), found)


def _weighted(side: _Side, weights: Tensor) -> _Side:
    normal = None if side.normal is None else side.normal * weights[:, None]
    return _Side(side.distance * weights[:, None], normal, side.found)


def _reduced(
    values: list, sides: list[_Side], weights: Tensor | None, batch_reduction: str | None, point_reduction: Reduction
) -> Tensor | tuple[Tensor, Tensor]:
    """Per-point values of one or two directions reduced over points, directions and batch."""
    if point_reduction is None:
        return tuple(values) if len(values) > 1 else values[0]
    per_cloud = torch.stack(
        [_over_points(v, side.found, point_reduction) for v, side in zip(values, sides, strict=True)]
    )
    per_cloud = per_cloud.amax(0) if point_reduction == "max" else per_cloud.sum(0)
    if batch_reduction is None:
        return per_cloud
    total = weights.sum().clamp(min=torch.finfo(weights.dtype).tiny) if weights is not None else max(1, len(per_cloud))
    return per_cloud.sum() / (total if batch_reduction == "mean" else 1)


def _over_points(values: Tensor, found: Tensor, reduction: Reduction) -> Float[Tensor, " b"]:
    if reduction == "max":
        return torch.nn.functional.pad(values, (0, 1)).amax(1)
    return values.sum(1) / (found.sum(1).clamp(min=1) if reduction == "mean" else 1)


def _check_reductions(batch: str | None, point: str | None, normals: Tensor | None) -> None:
    if batch not in ("mean", "sum", None):
        raise ValueError(f"batch_reduction must be mean, sum or None, given {batch!r}")
    if point not in ("mean", "sum", "max", None):
        raise ValueError(f"point_reduction must be mean, sum, max or None, given {point!r}")
    if point is None and batch is not None:
        raise ValueError("batch_reduction must be None where point_reduction is None")
    if point == "max" and normals is not None:
        raise ValueError("point_reduction 'max' must come without normals")


def _check_normals(name: str, normals: Tensor | None, points: Tensor) -> None:
    if normals is not None and normals.shape[:2] != points.shape[:2]:
        wanted, given = tuple(points.shape[:2]), tuple(normals.shape)
        raise ValueError(f"{name} must have the rows of its points, {wanted}, given {given}")


def _check_weights(weights: Tensor | None, x: Tensor) -> None:
    if weights is None:
        return
    if weights.shape != x.shape[:1]:
        raise ValueError(f"weights must have shape ({len(x)},), given {tuple(weights.shape)}")
    if readable(weights) and bool((weights < 0).any()):
        raise ValueError("weights must not be negative")
