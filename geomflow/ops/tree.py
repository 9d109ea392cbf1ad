"""A tree of boxes over each cloud of a batch, built by batched torch on the clouds' device.

Points are sorted along a Hilbert curve and cut into buckets; a complete binary tree of bounding boxes stands on the
buckets, in heap order: the children of node n are 2 n + 1 and 2 n + 2, and the leaves are the last ones. The tree is
balanced whatever the density, and the curve lies in a frame that few far outliers cannot stretch.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops.kernels import curve
from geomflow.ops.launch import array, launch, vectors

NOBODY = 2**31 - 1
"""Index of no point: larger than all."""

SAMPLE = 1024
"""Points per cloud that the frame of the curve is taken from."""

TAIL = 0.02
"""Share of the points on either side of each axis that the frame may leave out."""


class Tree(NamedTuple):
    """Sorted clouds and their boxes; nodes are in heap order.

    Attributes:
        points: Points in the order of the curve, padded with NaN to whole buckets (B, N, 3).
        order: Row of each of them in the cloud, int32 (B, N).
        lower: Lower corner of each node's box (B, nodes, 3), infinite for empty ones.
        upper: Upper corner (B, nodes, 3).
        lowest: Least row of the points under each node, int32 (B, nodes).
        buckets: Number of leaves, a power of two.
    """

    points: Float[Tensor, "b n 3"]
    order: Int[Tensor, "b n"]
    lower: Float[Tensor, "b nodes 3"]
    upper: Float[Tensor, "b nodes 3"]
    lowest: Int[Tensor, "b nodes"]
    buckets: int


def build(points: Float[Tensor, "b p 3"], valid: Bool[Tensor, "b p"], bucket: int) -> Tree:
    """Return the tree of each cloud's valid points, with `bucket` points per leaf.

    Args:
        points: The points, padded.
        valid: Which rows are points rather than padding.
        bucket: Points per leaf.
    """
    order = curve_orders(points, valid)
    buckets = 2 ** math.ceil(math.log2(max(1, math.ceil(points.shape[1] / bucket))))
    room = (0, buckets * bucket - points.shape[1])
    pad = torch.nn.functional.pad
    kept = valid.gather(1, order)
    points = torch.where(kept[..., None], points.gather(1, order[..., None].expand(-1, -1, 3)), math.nan)
    points = pad(points, (0, 0, *room), value=math.nan)
    leaves = points.unflatten(1, (buckets, bucket))
    lowest = pad(torch.where(kept, order, NOBODY), room, value=NOBODY).int().unflatten(1, (buckets, bucket)).amin(2)
    return Tree(
        points,
        pad(order.int(), room),
        _heap(leaves.nan_to_num(math.inf, math.inf, -math.inf).amin(2), "amin"),
        _heap(leaves.nan_to_num(-math.inf, math.inf, -math.inf).amax(2), "amax"),
        _heap(lowest, "amin"),
        buckets,
    )


def curve_orders(points: Float[Tensor, "b p 3"], valid: Bool[Tensor, "b p"]) -> Int[Tensor, "b p"]:
    """Return each cloud's rows in the order of a Hilbert curve, valid ones first, the lowest row first among equals.

    Args:
        points: The points, padded.
        valid: Which rows are points rather than padding.
    """
    lower, scale = _frame(torch.where(valid[..., None], points, math.nan))
    keys = torch.empty(points.shape[:2], dtype=torch.int64, device=points.device)
    inputs = [vectors(points), array(valid), vectors(lower), vectors(scale), array(keys)]
    launch(curve.hilbert_keys, keys.numel(), inputs, points.device)
    return keys.argsort(dim=1, stable=True)


def three(points: Float[Tensor, "b p d"]) -> Float[Tensor, "b p 3"]:
    """Return points with zeros for the coordinates that they lack.

    Args:
        points: Points with at most three coordinates.
    """
    return torch.nn.functional.pad(points, (0, 3 - points.shape[2])) if points.shape[2] < 3 else points


def _frame(points: Float[Tensor, "b p 3"]) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]:
    """Corner of a box around nearly all points, thrice as wide as their bulk, and curve cells per unit of length."""
    some = points[:, :: max(1, points.shape[1] // SAMPLE)].sort(dim=1).values
    last = (~some.isnan()).sum(1, keepdim=True) - 1
    low, high = (some.gather(1, (last * share).long().clamp(min=0))[:, 0].nan_to_num(0.0) for share in (TAIL, 1 - TAIL))
    width = (high - low).clamp(min=torch.finfo(points.dtype).tiny * 2**curve.BITS)
    return low - width, 2**curve.BITS / (3 * width)


def _heap(leaves: Tensor, reduce: str) -> Tensor:
    """All levels of a binary tree over the leaves (B, buckets, ...), root first."""
    levels = [leaves]
    while levels[0].shape[1] > 1:
        levels.insert(0, getattr(levels[0].unflatten(1, (-1, 2)), reduce)(2))
    return torch.cat(levels, dim=1)
