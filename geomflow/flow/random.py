"""Seeded noise: drawn where the generator lives, then moved to where it is needed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def normal(
    shape: Sequence[int],
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Float[Tensor, "..."]:
    """Unit Gaussian noise; the same seed gives the same numbers whatever ``device`` they go to."""
    origin = generator.device if generator else device
    return torch.randn(tuple(shape), generator=generator, dtype=dtype, device=origin).to(device or origin)


def uniform(
    count: int,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Float[Tensor, " count"]:
    """Uniform numbers in [0, 1), drawn as ``normal`` draws its."""
    origin = generator.device if generator else device
    return torch.rand(count, generator=generator, dtype=dtype, device=origin).to(device or origin)
