"""Backend `reference`: the definition of every discrete op in plain torch, for any device, dtype and dimension.

A squared (or L1) distance that is not finite is no distance: points with NaN or infinite coordinates neither have
neighbours nor are any, and the same holds for pairs whose squared distance overflows.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops._closest import closest_face_reference as closest_face
from geomflow.ops._matching import assignment_reference as assignment
from geomflow.ops.batches import length_mask
from geomflow.ops.dispatch import Problem

__all__ = ["assignment", "ball", "closest_face", "farthest", "knn", "unfit"]

BUDGET = 2**24
"""Numbers held at once by a block of the table of distances."""


def unfit(problem: Problem) -> str:
    """Return why this backend cannot do a problem: never.

    Args:
        problem: What the call is about.
    """
    return ""


def knn(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"],
    lengths2: Int[Tensor, " b"],
    k: int,
    norm: int,
) -> tuple[Float[Tensor, "b p k"], Int[Tensor, "b p k"]]:
    """Return the k nearest of p2 to each of p1 in ascending order, the lowest index first where distances are equal.

    Distances are squared for norm 2 and L1 distances for norm 1; where there is no neighbour, infinity and index -1.

    Args:
        p1: Queries.
        p2: Points to choose from.
        lengths1: Points of each cloud of p1.
        lengths2: Points of each cloud of p2.
        k: Neighbours or samples per cloud.
        norm: 1 or 2.
    """
    found = [_nearest(table, k) for table in _tables(p1, p2, lengths1, lengths2, norm)]
    distances, indices = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return distances, torch.where(distances.isfinite(), indices, -1)


def ball(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"],
    lengths2: Int[Tensor, " b"],
    k: int,
    radius: float,
) -> Int[Tensor, "b p k"]:
    """Return the first k of p2, by index, closer than `radius` to each of p1; -1 where there are fewer.

    Args:
        p1: Queries.
        p2: Points to choose from.
        lengths1: Points of each cloud of p1.
        lengths2: Points of each cloud of p2.
        k: Neighbours or samples per cloud.
        radius: Radius of the balls.
    """
    limit = torch.tensor(radius, dtype=p1.dtype).square().item()
    return torch.cat([_first(table < limit, k) for table in _tables(p1, p2, lengths1, lengths2, 2)], dim=1)


def farthest(
    points: Float[Tensor, "b p d"], valid: Bool[Tensor, "b p"], start: Int[Tensor, " b"], k: int
) -> Int[Tensor, "b k"]:
    """Return k indices per cloud, each farthest from those before it, none twice; -1 where all points are taken.

    Equal distances go to the lowest index. `valid` marks the points of each cloud, `start` is the first choice, -1 in
    clouds without points.

    Args:
        points: Clouds to choose from.
        valid: Which rows are points rather than padding.
        start: The first choice in each cloud.
        k: Neighbours or samples per cloud.
    """
    clouds, numbers = (
        torch.arange(len(points), device=points.device),
        torch.arange(points.shape[1], device=points.device),
    )
    distance = torch.where(valid, math.inf, -math.inf).to(points.dtype)
    chosen = [start]
    for _ in range(k - 1):
        last = chosen[-1].clamp(min=0)
        distance = torch.minimum(
            distance, (points - points[clouds, last][:, None]).square().sum(-1).nan_to_num(math.inf, math.inf)
        )
        distance[clouds, last] = -math.inf
        best = distance.amax(dim=1, keepdim=True)
        lowest = torch.where(distance == best, numbers, len(numbers)).amin(dim=1)
        chosen.append(torch.where(best[:, 0] >= 0, lowest, -1))
    return torch.stack(chosen, dim=1)


def _tables(
    p1: Tensor, p2: Tensor, lengths1: Tensor, lengths2: Tensor, norm: int
) -> Iterator[Float[Tensor, "b rows q"]]:
    """Distances of blocks of rows of p1 to all of p2, infinite wherever either is no point."""
    rows = max(1, BUDGET // max(1, p2.numel()))
    mask1, mask2 = length_mask(lengths1, p1.shape[1]), length_mask(lengths2, p2.shape[1])
    for block, mask in zip(p1.split(rows, dim=1), mask1.split(rows, dim=1), strict=True):
        difference = block[:, :, None] - p2[:, None]
        distance = difference.abs().sum(-1) if norm == 1 else difference.square().sum(-1)
        yield torch.where(mask[:, :, None] & mask2[:, None], distance, math.inf).nan_to_num(math.inf, math.inf)


def _nearest(table: Float[Tensor, "b rows q"], k: int) -> tuple[Tensor, Tensor]:
    """The k smallest entries of each row and their columns, filled up with infinity and -1."""
    missing = max(0, k - table.shape[2])
    distance, column = _ordered(table, k - missing)
    fill = torch.nn.functional.pad
    return fill(distance, (0, missing), value=math.inf), fill(column, (0, missing), value=-1)


def _ordered(table: Float[Tensor, "b rows q"], k: int) -> tuple[Tensor, Tensor]:
    """The k smallest entries of each row, the first of equals first.

    The bits of a float32 that is not negative order as the number does; with the column below them they are a key
    without equals, which need not be sorted whole.
    """
    if table.dtype != torch.float32:
        distance, column = table.sort(dim=2, stable=True)
        return distance[..., :k], column[..., :k]
    columns = torch.arange(table.shape[2], device=table.device)
    column = (table.view(torch.int32).long() << 32 | columns).topk(k, dim=2, largest=False).values & (2**32 - 1)
    return table.gather(2, column), column


def _first(hits: Tensor, k: int) -> Int[Tensor, "b rows k"]:
    """The first k columns that are true in each row, -1 where there are fewer."""
    columns = torch.arange(hits.shape[2], device=hits.device)
    ranked = torch.where(hits, columns, hits.shape[2]).sort(dim=2).values[..., :k]
    ranked = torch.nn.functional.pad(ranked, (0, k - ranked.shape[2]), value=hits.shape[2])
    return torch.where(ranked < hits.shape[2], ranked, -1)
