"""Latents: every shape of a split encoded once by a trained autoencoder, as data for a flow map."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.datasets._records import REFLECTION, load_surface, load_with_grid
from geomflow.prep.manifest import record_files


class Latents:
    """Standardised latents, each drawn anew from its posterior in every batch.

    Args:
        mean: Posterior means.
        std: Posterior standard deviations.
    """

    def __init__(self, mean: Float[Tensor, "shapes c x y z"], std: Float[Tensor, "shapes c x y z"]) -> None:
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        """Return the number of latents."""
        return len(self.mean)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, channels, x, y, z)."""
        mean = self.mean[indices]
        return {"data": mean + self.std[indices] * torch.randn(mean.shape, generator=generator)}


def make(folder: str, autoencoder: nn.Module, scale: nn.Module, split: str = "train", mirror: bool = True) -> Latents:
    """Return the latents of a dataset folder made by `geomflow prep`.

    Args:
        folder: Dataset folder.
        autoencoder: Trained encoder of grids or surfaces; it is only used.
        scale: Fitted here to the latents: mean and spread per channel, that of the posteriors included.
        split: Subset to read.
        mirror: Whether each shape's reflection in x is a shape of its own.

    Raises:
        RecordError: No such dataset or split, or records without what the encoder reads.
    """
    posteriors = [_encode(file, autoencoder, mirror) for file in record_files(folder, split)]
    mean, log_variance = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    scale.fit(mean, log_variance.exp())  # pyright: ignore[reportCallIssue]
    return Latents(scale.standardize(mean), (0.5 * log_variance).exp() / scale.std)  # pyright: ignore


@torch.no_grad()
def _encode(file: Path, autoencoder: nn.Module, mirror: bool) -> tuple[Tensor, Tensor]:
    """Posterior mean and log-variance of one record's shape and, if asked for, of its reflection."""
    both = _VIEWS[str(autoencoder.reads)](file, autoencoder)
    posterior = autoencoder.encode(both if mirror else both[:1])  # pyright: ignore[reportCallIssue]
    return posterior.mean, posterior.log_variance


def _grids(file: Path, _autoencoder: nn.Module) -> Float[Tensor, "2 x y z"]:
    """A record's grid and its reflection."""
    grid = torch.from_numpy(load_with_grid(file)[0].astype(np.float32))
    return torch.stack([grid, grid.flip(0)])


def _surfaces(file: Path, autoencoder: nn.Module) -> Float[Tensor, "2 n 6"]:
    """As many of a record's surface points as the encoder wants, and their reflection."""
    surface = torch.from_numpy(load_surface(file, autoencoder.points))  # pyright: ignore[reportArgumentType]
    return torch.stack([surface, surface * REFLECTION])


_VIEWS = {"grid": _grids, "surface": _surfaces}
