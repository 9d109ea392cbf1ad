"""Batches of clouds of different sizes: padded with lengths, packed with a batch vector, packed with row splits.

One padding rule holds for every op. Rows of a padded tensor (B, P, ...) past a cloud's length are padding, and a point
with a non-finite coordinate counts as padding too: it is nobody's neighbour and has none. Whatever has no answer gets
index -1, gathered features 0, and the distance that the caller names (0 as in PyTorch3D, or infinity).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


class Clouds(NamedTuple):
    """Points (B, P, D) in float32 or float64, and lengths (B,) int64 on the same device."""

    points: Float[Tensor, "b p d"]
    lengths: Int[Tensor, " b"]

    @property
    def mask(self) -> Bool[Tensor, "b p"]:
        """Which rows are not past the length."""
        return length_mask(self.lengths, self.points.shape[1])

    @property
    def valid(self) -> Bool[Tensor, "b p"]:
        """Which rows are points: not past the length, and finite."""
        return self.mask & self.points.detach().isfinite().all(-1)


class Packed(NamedTuple):
    """Rows of all clouds one after another, (N, ...), and the cloud of each row (N,), in ascending order."""

    values: Shaped[Tensor, "n ..."]
    batch: Int[Tensor, " n"]


class Padded(NamedTuple):
    """Rows of each cloud, padded with zeros to the longest, (B, P, ...), and lengths (B,)."""

    values: Shaped[Tensor, "b p ..."]
    lengths: Int[Tensor, " b"]


def pack(values: Shaped[Tensor, "b p ..."], lengths: Int[Tensor, " b"]) -> Packed:
    """Return the rows of a padded batch without padding, with PyG's batch vector.

    Args:
        values: Padded rows (B, P, ...).
        lengths: Rows of each cloud (B,).
    """
    lengths = checked_lengths("lengths", lengths, values)
    mask = length_mask(lengths, values.shape[1])
    return Packed(values[mask], batch_vector(lengths))


def pad(values: Shaped[Tensor, "n ..."], batch: Int[Tensor, " n"], size: int | None = None) -> Padded:
    """Return packed rows as a padded batch; the inverse of `pack`.

    Args:
        values: Rows (N, ...).
        batch: Cloud of each row (N,), in ascending order.
        size: Clouds B, when the last of them may be empty; by default one more than the last entry of `batch`.

    Raises:
        ValueError: `batch` has another length than `values`, is not ascending, or names a cloud past `size`.
    """
    if batch.shape != values.shape[:1]:
        raise ValueError(f"batch must have one entry per row, {len(values)}, given shape {tuple(batch.shape)}")
    if len(batch) and bool((batch[1:] < batch[:-1]).any() | (batch[0] < 0)):
        raise ValueError("batch must be ascending from 0 on, given an entry smaller than the one before it")
    last = int(batch[-1]) + 1 if len(batch) else 0
    if size is not None and last > size:
        raise ValueError(f"batch must name clouds below size {size}, given {last - 1}")
    lengths = torch.bincount(batch, minlength=last if size is None else size)
    mask = length_mask(lengths, int(lengths.max()) if len(lengths) else 0)
    padded = values.new_zeros((*mask.shape, *values.shape[1:]))
    return Padded(padded.masked_scatter(_like(mask, padded), values), lengths)


def batch_vector(lengths: Int[Tensor, " b"]) -> Int[Tensor, " n"]:
    """Return the cloud of each row, (sum of lengths,), PyG's `batch`.

    Args:
        lengths: Points of each cloud.
    """
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def row_splits(lengths: Int[Tensor, " b"]) -> Int[Tensor, " splits"]:
    """Return where each cloud begins and the last one ends, (B + 1,), TensorFlow's and Open3D's `row_splits`.

    Args:
        lengths: Points of each cloud.
    """
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def split_lengths(splits: Int[Tensor, " splits"]) -> Int[Tensor, " b"]:
    """Return the lengths (B,) that `row_splits` came from.

    Args:
        splits: As `row_splits` returns them.
    """
    return splits.diff()


def length_mask(lengths: Int[Tensor, " b"], size: int) -> Bool[Tensor, "b p"]:
    """Return which of `size` rows of each cloud are not padding.

    Args:
        lengths: Points of each cloud.
        size: Rows of each cloud, padding included.
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def checked_clouds(name: str, points: Tensor, lengths: Tensor | None) -> Clouds:
    """Return clouds ready for an op: half precision becomes float32, missing lengths become full ones.

    Args:
        name: What errors call the argument.
        points: Clouds (B, P, D), padded.
        lengths: Points of each cloud (B,); all of them if None.

    Raises:
        TypeError: The points are not a floating point tensor, or the lengths are no integers.
        ValueError: The points are not (B, P, D), or the lengths are not (B,) between 0 and P on the same device.
    """
    if not points.is_floating_point():
        raise TypeError(f"{name} must be a floating point tensor, given {points.dtype}")
    if points.ndim != 3:
        raise ValueError(f"{name} must have shape (batch, points, coordinates), given {tuple(points.shape)}")
    return Clouds(
        points.float() if points.dtype in HALF else points, checked_lengths(f"lengths of {name}", lengths, points)
    )


def checked_3d(name: str, points: Tensor, lengths: Tensor | None) -> Clouds:
    """Return clouds in three dimensions; see `checked_clouds`.

    Args:
        name: What errors call the argument.
        points: Clouds (B, P, 3), padded.
        lengths: Points of each cloud (B,); all of them if None.

    Raises:
        TypeError: As in `checked_clouds`.
        ValueError: As in `checked_clouds`, or the points do not have three coordinates.
    """
    clouds = checked_clouds(name, points, lengths)
    if points.shape[2] != 3:
        raise ValueError(f"{name} must have shape (batch, points, 3), given {tuple(points.shape)}")
    return clouds


def checked_lengths(name: str, lengths: Tensor | None, padded: Tensor) -> Int[Tensor, " b"]:
    """Return lengths (B,) of a padded tensor as int64, all full where there are none.

    Their values are checked on the CPU only, since a look at a CUDA tensor would wait for the device; there, lengths
    outside the range count as the nearest end of it.

    Args:
        name: What errors call the argument.
        lengths: Points of each cloud (B,); all of them if None.
        padded: What the lengths are of (B, P, ...).

    Raises:
        ValueError: Their shape is not (B,), their device is another, or a length lies outside of 0 to P.
    """
    size = padded.shape[1]
    if lengths is None:
        return torch.full(padded.shape[:1], size, dtype=torch.int64, device=padded.device)
    check_integers(name, lengths)
    if lengths.shape != padded.shape[:1]:
        raise ValueError(f"{name} must have shape ({len(padded)},), given {tuple(lengths.shape)}")
    if lengths.device != padded.device:
        raise ValueError(f"{name} must be on {padded.device} like what they measure, given {lengths.device}")
    if readable(lengths) and len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= size:
        raise ValueError(f"{name} must lie between 0 and {size}, given {lengths.tolist()}")
    return lengths.long().clamp(0, size)


def check_integers(name: str, values: Tensor) -> None:
    """Refuse what is not a tensor of integers.

    Args:
        name: What errors call the argument.
        values: A tensor of any shape.

    Raises:
        TypeError: It is not; the message begins with `name`.
    """
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must be integers, given {values.dtype}")


def readable(values: Tensor) -> bool:
    """Return whether values can be looked at without a wait for a device or a break in a compiled graph.

    Args:
        values: A tensor of any shape.
    """
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def cloud_pair(
    names: tuple[str, str], first: Tensor, second: Tensor, lengths1: Tensor | None, lengths2: Tensor | None
) -> tuple[Clouds, Clouds]:
    """Return two batches of clouds that can be compared.

    Args:
        names: What errors call the two.
        first: Clouds (B, P, D), padded.
        second: Clouds (B, Q, D), padded.
        lengths1: Points of each cloud of the first batch (B,); all of them if None.
        lengths2: Points of each cloud of the second batch (B,).

    Raises:
        ValueError: Shapes, devices or lengths do not fit.
        TypeError: They are not floating point tensors of one dtype.
    """
    clouds = checked_clouds(names[0], first, lengths1), checked_clouds(names[1], second, lengths2)
    checked_pair(names, *clouds)
    return clouds


def checked_pair(names: tuple[str, str], first: Clouds, second: Clouds) -> None:
    """Refuse two batches of clouds that cannot be compared.

    Args:
        names: What errors call the two.
        first: Clouds.
        second: Other clouds.

    Raises:
        ValueError: They differ in device, batch size or coordinates.
        TypeError: They differ in dtype.
    """
    (a, b), p, q = names, first.points, second.points
    if p.device != q.device:
        raise ValueError(f"{a} and {b} must be on one device, given {p.device} and {q.device}")
    if p.dtype != q.dtype:
        raise TypeError(f"{a} and {b} must have one dtype, given {p.dtype} and {q.dtype}")
    if p.shape[0] != q.shape[0] or p.shape[2] != q.shape[2]:
        raise ValueError(
            f"{a} and {b} must have equal batch sizes and coordinates, given {tuple(p.shape)} and {tuple(q.shape)}"
        )


def _like(mask: Bool[Tensor, "b p"], values: Tensor) -> Tensor:
    """The mask with as many axes as the values."""
    return mask.view(*mask.shape, *[1] * (values.ndim - 2))
