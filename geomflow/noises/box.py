"""Noise uniform in a cube, of edge 2 sqrt(3) so that every coordinate has unit variance."""

import torch
from torch import Tensor

from geomflow.flow.random import NoiseSource, uniform
from geomflow.noises._space import in_space

HALF_EDGE = 3**0.5


def make() -> NoiseSource:
    """Positions uniform in the cube."""

    def draw(count: int, generator: torch.Generator | None) -> Tensor:
        return HALF_EDGE * (2 * uniform(3 * count, generator, torch.float64).view(count, 3) - 1)

    return lambda shape, generator, dtype, device: in_space(draw, shape, generator, dtype, device)
