"""What the sources that are about space share: the channels behind the coordinates are Gaussian."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geomflow.flow.random import normal

Draw = Callable[[int, torch.Generator | None], Tensor]


def in_space(
    draw: Draw,
    shape: Sequence[int],
    generator: torch.Generator | None,
    dtype: torch.dtype,
    device: torch.device | None,
) -> Tensor:
    """Return noise (*, channels) whose first three channels are positions that `draw` gives (count, 3)."""
    noise = normal(shape, generator, dtype, device)
    noise[..., :3] = draw(noise[..., 0].numel(), generator).to(noise).view(*noise.shape[:-1], 3)
    return noise
