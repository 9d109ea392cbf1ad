"""Disks as a stranger adds them: a data set without files, every batch of which is drawn anew."""

import copy
from typing import Any

import torch
from torch import Tensor

LENGTH = 4096


class Disks:
    """Pictures of one bright disk each, standardised as the flow map wants them."""

    def __init__(self, scale: Any, size: int) -> None:
        self.axis = (torch.arange(size) + 0.5) * 2 / size - 1
        pictures = self.draw(LENGTH, torch.Generator().manual_seed(0))
        scale.fit(pictures, torch.zeros_like(pictures))
        self.scale = copy.deepcopy(scale)  # here, wherever the model goes

    def __len__(self) -> int:
        """Return the pictures of a pass."""
        return LENGTH

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return pictures (count, 1, size, size): -1 outside, 1 inside, and a pixel's width of grey between."""
        radius, x, y = torch.rand(3, count, 1, 1, 1, generator=generator)
        radius, x, y = 0.2 + 0.3 * radius, x - 0.5, y - 0.5
        distance = torch.hypot(self.axis - x, self.axis[:, None] - y) - radius
        return (-distance * len(self.axis)).clamp(-1, 1)

    def batch(self, indices: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, 1, size, size); only the number of indices counts."""
        return {"data": self.scale.standardize(self.draw(len(indices), generator))}


def make(folder: str, autoencoder: Any, scale: Any) -> Disks:
    """Return disks of the encoder's size; there is nothing to read in the folder."""
    return Disks(scale, autoencoder.latent_shape[-1])
