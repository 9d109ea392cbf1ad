"""Farthest point sampling: a subset that covers a cloud evenly, exact and in the greedy order.

Each point is the one farthest from all points taken before it (Gonzalez 1985; Eldar et al. 1997; PointNet++, Qi et al.,
arXiv 1706.02413), the lowest index where distances are equal, and no point is taken twice.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple, TypeGuard

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.ops.batches import Clouds, checked_clouds
from geomflow.ops.dispatch import Problem, operator, run
from geomflow.ops.neighbours import check_count, knn_gather


class FarthestPoints(NamedTuple):
    """Sampled points (B, K, D), zeros where a cloud has fewer, and their rows (B, K), -1 there."""

    points: Float[Tensor, "b k d"]
    idx: Int[Tensor, "b k"]


def sample_farthest_points(
    points: Float[Tensor, "b p d"],
    lengths: Int[Tensor, " b"] | None = None,
    K: int | Sequence[int] | Int[Tensor, " b"] = 50,
    random_start_point: bool = False,
    *,
    start_idx: int | Int[Tensor, " b"] = 0,
    generator: torch.Generator | None = None,
    backend: str = "auto",
) -> FarthestPoints:
    """Return K points of each cloud in the order of farthest point sampling.

    Args:
        points: Clouds (B, P, D), float32 or float64; half precision is computed in float32.
        lengths: Points of each cloud (B,), all of them by default.
        K: Samples, one number or one per cloud (B,); the result is as long as the largest.
        random_start_point: Whether the first point is drawn at random.
        start_idx: Row of the first point, one number or one per cloud (B,). A row that is padding or not finite gives
            way to the lowest row that is a point.
        generator: Where a random start is drawn from.
        backend: `auto`, `reference` or `warp`.

    Returns:
        Points, with gradients to the clouds, and int64 rows. Both can be unpacked as in PyTorch3D.

    Raises:
        ValueError: Shapes, devices, lengths, start or K do not fit, or the backend cannot.
        TypeError: The points are not a floating point tensor.
    """
    clouds = checked_clouds("points", points, lengths)
    counts = _per_cloud("K", K, clouds)
    most = int(K) if _is_one(K) else max((int(count) for count in torch.as_tensor(K)), default=1)
    check_count("K", most)
    valid = clouds.valid
    start = _random_start(valid, generator) if random_start_point else _per_cloud("start_idx", start_idx, clouds)
    idx = search_farthest(clouds.points.detach(), valid, _first_valid(start, valid), most, backend)
    idx = torch.where(torch.arange(most, device=idx.device) < counts[:, None], idx, -1)
    return FarthestPoints(knn_gather(clouds.points, idx[..., None])[:, :, 0], idx)


def _per_cloud(name: str, value: int | Sequence[int] | Tensor, clouds: Clouds) -> Int[Tensor, " b"]:
    """One number or one per cloud as a tensor (B,) on the clouds' device."""
    device, size = clouds.points.device, len(clouds.points)
    one = _is_one(value)
    numbers = torch.full((size,), int(value), device=device) if one else torch.as_tensor(value, device=device)
    if numbers.shape != (size,):
        raise ValueError(f"{name} must be one number or one per cloud ({size},), given shape {tuple(numbers.shape)}")
    return numbers.long()


def _is_one(value: object) -> TypeGuard[int]:
    """Whether a value is one number rather than one per cloud."""
    return value.ndim == 0 if isinstance(value, Tensor) else isinstance(value, Integral)


def _random_start(valid: Tensor, generator: torch.Generator | None) -> Int[Tensor, " b"]:
    """A random point of each cloud."""
    source = generator.device if generator else valid.device
    draw = torch.rand(valid.shape, generator=generator, device=source).to(valid.device)
    return (
        torch.where(valid, draw, -1).argmax(dim=1) if valid.shape[1] else valid.new_zeros(len(valid), dtype=torch.int64)
    )


def _first_valid(start: Int[Tensor, " b"], valid: Tensor) -> Int[Tensor, " b"]:
    """The start if it is a point, else the lowest row that is one, else -1."""
    if valid.shape[1] == 0:
        return torch.full_like(start, -1)
    inside = (start >= 0) & (start < valid.shape[1])
    wanted = inside & valid.gather(1, torch.where(inside, start, 0)[:, None])[:, 0]
    rows = torch.where(valid, torch.arange(valid.shape[1], device=valid.device), valid.shape[1])
    lowest = rows.amin(dim=1)
    return torch.where(wanted, start, torch.where(lowest < valid.shape[1], lowest, -1))


def _farthest(points: Tensor, valid: Tensor, start: Tensor, k: int, backend: str) -> Tensor:
    """Rows in the order of farthest point sampling, -1 where all points are taken."""
    if not points.numel():
        return torch.full((len(points), k), -1, device=points.device)
    batch, size, dimension = points.shape
    problem = Problem("farthest", points.device.type, points.dtype, dimension, batch * size * k, k, batch * k, size)
    return run(problem, backend, points.contiguous(), valid, start, k)


search_farthest = operator(
    _farthest,
    lambda points, valid, start, k, backend: torch.empty((len(points), k), dtype=torch.int64, device=points.device),
)
