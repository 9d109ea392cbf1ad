"""Seeded noise: drawn where the generator lives, then moved to where it is needed."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class NoiseSource(Protocol):
    """Where paths begin: independent draws of zero mean and unit variance, as ``normal`` makes them."""

    def __call__(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None,
        dtype: torch.dtype,
        device: torch.device | None,
        /,
    ) -> Float[Tensor, "..."]:
        """Noise of a shape.

        Args:
            shape: shape of the result.
            generator: source of the noise; torch's own if None.
            dtype: type of the result.
            device: where the result goes; that of the generator if None.
        """
        ...


def normal(
    shape: Sequence[int],
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Float[Tensor, "..."]:
    """Unit Gaussian noise; the same seed gives the same numbers whatever ``device`` they go to.

    Args:
        shape: shape of the result.
        generator: source of the numbers; torch's own if None.
        dtype: type of the result.
        device: where the result goes; that of the generator if None.
    """
    origin = generator.device if generator else device
    return torch.randn(tuple(shape), generator=generator, dtype=dtype, device=origin).to(device or origin)


def uniform(
    count: int,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Float[Tensor, " count"]:
    """Uniform numbers in [0, 1), drawn as ``normal`` draws its.

    Args:
        count: how many.
        generator: source of the numbers; torch's own if None.
        dtype: type of the result.
        device: where the result goes; that of the generator if None.
    """
    origin = generator.device if generator else device
    return torch.rand(count, generator=generator, dtype=dtype, device=origin).to(device or origin)


def generator_of(seed: int, index: int) -> torch.Generator:
    """The generator of one of many streams: `index` is multiplied by an odd constant, so that neighbours share none.

    Args:
        seed: seed of all streams.
        index: which stream.
    """
    return torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9) % (1 << 63))
