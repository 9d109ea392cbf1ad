"""Latents: every shape of a split encoded once by a trained autoencoder, as data for a flow map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.datasets._encode import posterior_of
from geomflow.datasets._records import REFLECTION, check_resolution, load_surface, load_with_grid
from geomflow.errors import ConfigError
from geomflow.geometry.frame import sparse_similarity
from geomflow.prep.manifest import class_names, record_files


class Latents:
    """Standardised latents, each drawn anew from its posterior in every batch, and what they are conditioned on.

    Args:
        mean: Posterior means.
        std: Posterior standard deviations.
        condition: A row for every latent, by the condition's name; empty without conditions.
    """

    def __init__(
        self,
        mean: Float[Tensor, "shapes c *cells"],
        std: Float[Tensor, "shapes c *cells"],
        condition: dict[str, Tensor] | None = None,
    ) -> None:
        self.mean, self.std, self.condition = mean, std, condition or {}

    def __len__(self) -> int:
        """Return the number of latents."""
        return len(self.mean)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, channels, *cells) and, by their names, rows of the condition."""
        mean = self.mean[indices]
        data = mean + self.std[indices] * torch.randn(mean.shape, generator=generator)
        return {"data": data, **{name: rows[indices] for name, rows in self.condition.items()}}


def make(
    folder: str,
    autoencoder: nn.Module,
    scale: nn.Module,
    split: str = "train",
    mirror: bool = True,
    condition: str = "",
    classes: Sequence[str] = (),
    points: int = 64,
    variants: int = 4,
) -> Latents:
    """Return the latents of a dataset folder made by `geomflow prep`.

    Args:
        folder: Dataset folder.
        autoencoder: Trained encoder of grids or surfaces; it is only used.
        scale: Fitted here to the latents: mean and spread per channel, that of the posteriors included.
        split: Subset to read.
        mirror: Whether each shape's reflection in x is a shape of its own.
        condition: `class`, `points`, or empty for none.
        classes: Names of the classes in the order of their numbers, for that condition.
        points: Surface points that a shape is to be completed from, for that condition.
        variants: Times that each shape, and each reflection, is encoded, from other points of the surface every time
            (and, for the condition `points`, in the frame that a few of them suggest); grids are encoded once.

    Raises:
        RecordError: No such dataset or split, or records without what the encoder reads, or with grids of
            another resolution.
        ConfigError: Points are wanted, and the encoder reads grids; or no variants.
    """
    if condition == "points" and autoencoder.reads != "surface":
        raise ConfigError(f"condition 'points' wants an encoder that reads surfaces, not {autoencoder.reads!r}")
    if variants < 1:
        raise ConfigError(f"dataset.variants must be at least 1, given {variants}")
    parts = []
    for file, name in zip(record_files(folder, split), class_names(folder, split), strict=True):
        views, row = _views(file, autoencoder, mirror, variants), torch.empty(0)
        if condition == "points":
            views, row = _framed(views, points)
        elif condition == "class":
            row = torch.full((len(views),), list(classes).index(name))
        parts.append((*posterior_of(autoencoder, views), row))
    mean, log_variance, rows = (torch.cat(part) for part in zip(*parts, strict=True))
    told = {condition: rows} if condition else {}
    scale.fit(mean, log_variance.exp())  # pyright: ignore[reportCallIssue]
    return Latents(scale.standardize(mean), (0.5 * log_variance).exp() / scale.std, told)  # pyright: ignore


def _views(file: Path, autoencoder: Any, mirror: bool, variants: int) -> Tensor:
    """What the encoder is to read of a record."""
    if autoencoder.reads == "surface":
        return _surfaces(file, autoencoder.points, mirror, variants)
    return _grids(file, autoencoder.resolution, mirror)


def _grids(file: Path, resolution: int, mirror: bool) -> Float[Tensor, "views x y z"]:
    """A record's grid, once it is known to be of the encoder's resolution, and its reflection if that is asked for."""
    values = load_with_grid(file)[0]
    check_resolution(file, values.shape, resolution)
    grid = torch.from_numpy(values.astype(np.float32))
    return torch.stack([grid, grid.flip(0)][: 1 + mirror])


def _surfaces(file: Path, count: int, mirror: bool, variants: int) -> Float[Tensor, "views n 6"]:
    """Random draws of a record's surface points, and as many of the reflected surface if that is asked for."""
    generator = torch.Generator().manual_seed(0)
    surface = torch.from_numpy(load_surface(file))
    draws = [torch.randperm(len(surface), generator=generator)[:count] for _ in range(variants * (1 + mirror))]
    views = surface[torch.stack(draws)]
    views[variants:] *= REFLECTION
    return views


def _framed(views: Float[Tensor, "views n 6"], count: int) -> tuple[Tensor, Float[Tensor, "views count 3"]]:
    """Each view in the frame that its first few points suggest, and these points."""
    frames = [sparse_similarity(view[:count, :3].numpy()) for view in views]
    moved = [torch.from_numpy(frame.apply(view[:, :3].numpy())) for frame, view in zip(frames, views, strict=True)]
    points = torch.stack(moved).float()
    return torch.cat([points, views[..., 3:]], dim=2), points[:, :count]
