"""Surface: one shape, of which every batch holds fresh random points, with attributes if asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.datasets._expectation import NeighbourExpectation
from geomflow.datasets._part_mean import PartMean
from geomflow.errors import ConfigError
from geomflow.flow import Formulation
from geomflow.flow.product import Product
from geomflow.geometry.attributes import PointSource, point_source
from geomflow.ops import sample_farthest_points

PASS = 1 << 16
"""Clouds that count as one pass over a surface, which has no last point."""

MEASURED = 1 << 17
"""Points by which mean and spread are measured."""

LEAST_SPREAD = 1e-3
"""Least spread of a channel, relative to the largest of its kind: a flat sheet has none across itself."""

MOST_NEIGHBOURS = 1024
"""Neighbours that even the smallest pool has."""

OVERSAMPLED = 5
"""Random points per point of blue noise."""


class Surface:
    """Clouds of random points of a shape, in its own frame.

    Args:
        source: Where points come from.
        points: Points per cloud.
        blue_noise: Whether the points of a batch keep their distance from each other.
        neighbours: Points that an expectation is taken over.
    """

    def __init__(self, source: PointSource, points: int, blue_noise: bool, neighbours: int) -> None:
        self.source, self.points, self.blue_noise, self.neighbours = source, points, blue_noise, neighbours
        self.channels = source.channels()

    def __len__(self) -> int:
        """Return the clouds of a pass."""
        return PASS

    def measure(self, seed: int = 0) -> tuple[Float[Tensor, "n c"], Float[Tensor, "1 c"]]:
        """Return many points, and a variance to add to theirs, so that no channel is without spread."""
        rows = torch.from_numpy(self.source.draw(MEASURED, np.random.default_rng(seed)))
        kinds = rows.std(0).split(list(self.channels.values()))
        least = [torch.full_like(kind, LEAST_SPREAD * (float(kind.max()) or 1 / LEAST_SPREAD)) for kind in kinds]
        return rows, torch.cat(least).square()[None]

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, points, channels) in the shape's own frame; only the number of indices counts."""
        rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
        count = len(indices) * self.points
        rows = self._spread(count, rng) if self.blue_noise else self.source.draw(count, rng)
        return {"data": torch.from_numpy(rows).view(len(indices), self.points, -1)}

    def expectation(
        self, scale: nn.Module, seed: int = 0, formulation: Formulation | None = None
    ) -> NeighbourExpectation | None:
        """Return an estimate of the point behind a noisy one, both standardised by a scale; None if not wanted.

        A formulation is asked for if parts of points lie on manifolds.

        Args:
            scale: What points are standardised by.
            seed: Seed of the points that it is estimated from.
            formulation: How points flow; if it is a product, each part is averaged by its own law.
        """

        def draw(count: int, rng: np.random.Generator) -> Tensor:
            rows = torch.from_numpy(self.source.draw(count, rng)).to(scale.mean.device)  # pyright: ignore
            return scale.standardize(rows).float().cpu()  # pyright: ignore

        mean = PartMean(formulation) if isinstance(formulation, Product) else None
        return NeighbourExpectation(draw, self.neighbours, seed, mean) if self.neighbours else None

    def _spread(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random points thinned to those far from each other, in random order."""
        rows = self.source.draw(OVERSAMPLED * count, rng)
        chosen = sample_farthest_points(torch.from_numpy(rows[None, :, :3]), K=count)[1][0].numpy()
        return rows[rng.permutation(chosen)]


def make(
    file: str, attributes: Sequence[str] = (), points: int = 16, blue_noise: bool = False, neighbours: int = 64
) -> Surface:
    """Return the surface of a mesh, or the points of a cloud.

    Args:
        file: Mesh or point file.
        attributes: Some of normals, colors and labels, drawn with the positions.
        points: Points per cloud, which share their noise level.
        blue_noise: Thin each batch from five times as many points, to those far from each other; slower.
        neighbours: Points nearby whose mean, weighted by Bayes' rule, is the target of the instants; 0 for the single
            point that was drawn, which is right on average but much noisier.

    Raises:
        ConfigError: `points` under 1, or negative or too many `neighbours`.
        ValueError: An unknown attribute.
        MeshError: The file cannot be read, has no area, or does not carry an attribute.
    """
    if points < 1:
        raise ConfigError(f"dataset.points must be at least 1, given {points}")
    if not 0 <= neighbours <= MOST_NEIGHBOURS:
        raise ConfigError(f"dataset.neighbours must be from 0 to {MOST_NEIGHBOURS}, given {neighbours}")
    return Surface(point_source(file, attributes), points, blue_noise, neighbours)
