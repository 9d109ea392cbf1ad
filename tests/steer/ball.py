"""The exact flow map of balls of normally distributed size, for tests: all that is random is one number.

Standardised data are -(g + grown) u, with g normal, u the unit vector all of whose entries are alike, and ``grown`` the
one weight. What restores latents (`fit`) makes of them the distances of a ball of radius RADIUS + SPREAD (g + grown).
"""

import torch
from torch import Tensor, nn

from geomflow.model import LatentModel

BAND, RADIUS, SPREAD = 0.2, 0.6, 0.05


class Balls(nn.Module):
    """The cumulative field of an x1-flow: normal along u, fixed across."""

    def __init__(self) -> None:
        super().__init__()
        self.grown = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: object = None) -> Tensor:
        scale = x[0].numel() ** -0.5
        along, wide = x.flatten(1).sum(1) * scale, (-1, *[1] * (x.ndim - 1))
        jump = (r - t) / (1 - t)
        landing = ((r**2 + (1 - r) ** 2) / (t**2 + (1 - t) ** 2)).sqrt() * along - (1 - r) / (1 - t) * along
        instant = t / (t**2 + (1 - t) ** 2) * along
        size = torch.where(r == t, instant, landing / torch.where(r == t, 1, jump)) - self.grown
        return (size * scale).reshape(wide).expand_as(x)


def make(latent_shape: tuple[int, ...], condition: str = "", classes: int = 0) -> Balls:
    return Balls()


def fit(model: LatentModel) -> None:
    """Sets what restores latents."""
    cells = model.scale.mean.shape[-1]
    axis = torch.linspace(-1, 1, cells)
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    model.scale.mean.copy_((distance[None] - RADIUS) / BAND)
    model.scale.std.fill_(SPREAD * cells**1.5 / BAND)
