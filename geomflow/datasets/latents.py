"""Latents: every shape of a split encoded once by a trained autoencoder, as data for a flow map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.datasets._records import REFLECTION, load_surface, load_with_grid
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
    variants: int = 8,
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
        variants: Times that each shape is encoded, in the frames that as many draws of such points suggest.

    Raises:
        RecordError: No such dataset or split, or records without what the encoder reads.
        ConfigError: Points are wanted, and the encoder reads grids.
    """
    if condition == "points" and autoencoder.reads != "surface":
        raise ConfigError(f"condition 'points' wants an encoder that reads surfaces, not {autoencoder.reads!r}")
    files = record_files(folder, split)
    if condition == "points":
        posteriors, rows = [], []
        for file in files:
            views, few = _variants(file, autoencoder, mirror, points, variants)
            posteriors.append(_encode(views, autoencoder))
            rows.append(few)
        told = {"points": torch.cat(rows)}
    else:
        read = _VIEWS[str(autoencoder.reads)]
        posteriors = [_encode(read(file, autoencoder)[: 1 + mirror], autoencoder) for file in files]
        numbers = [list(classes).index(name) for name in class_names(folder, split)] if condition else []
        told = {"class": torch.tensor(numbers).repeat_interleave(1 + mirror)} if condition else {}
    mean, log_variance = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    scale.fit(mean, log_variance.exp())  # pyright: ignore[reportCallIssue]
    return Latents(scale.standardize(mean), (0.5 * log_variance).exp() / scale.std, told)  # pyright: ignore


@torch.no_grad()
def _encode(views: Tensor, autoencoder: Any) -> tuple[Tensor, Tensor]:
    """Posterior means and log-variances of views of shapes."""
    posterior = autoencoder.encode(views)
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


def _variants(
    file: Path, autoencoder: Any, mirror: bool, points: int, variants: int
) -> tuple[Float[Tensor, "v n 6"], Float[Tensor, "v p 3"]]:
    """A record's surface and a few of its points, several times, each time in the frame that the few suggest."""
    generator = torch.Generator().manual_seed(0)
    views, few = [], []
    for surface in _surfaces(file, autoencoder)[: 1 + mirror]:
        for _ in range(variants):
            chosen = surface[torch.randperm(len(surface), generator=generator)[:points], :3]
            frame = sparse_similarity(chosen.numpy())
            views.append(torch.cat([torch.from_numpy(frame.apply(surface[:, :3].numpy())), surface[:, 3:]], dim=1))
            few.append(torch.from_numpy(frame.apply(chosen.numpy())))
    return torch.stack(views).float(), torch.stack(few).float()
