"""Noise uniform on a sphere, of radius sqrt(3) so that every coordinate has unit variance."""

import torch
from torch import Tensor
from torch.nn import functional as F

from geomflow.flow.random import NoiseSource, normal
from geomflow.noises._space import in_space

RADIUS = 3**0.5


def make() -> NoiseSource:
    """Positions uniform on the sphere: directions of normal vectors."""

    def draw(count: int, generator: torch.Generator | None) -> Tensor:
        return RADIUS * F.normalize(normal((count, 3), generator, torch.float64), dim=1)

    return lambda shape, generator, dtype, device: in_space(draw, shape, generator, dtype, device)
