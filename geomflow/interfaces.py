"""The joints of the house on one page: what the items of each shelf promise to each other."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.geometry.attributes import PointSource

Batch = dict[str, Tensor]


@runtime_checkable
class ShapeDataset(Protocol):
    """Shapes ready for training, in memory or read when they are wanted."""

    def __len__(self) -> int:
        """Return the number of shapes."""
        ...

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        """Return one training batch; everything random in it comes from the generator; a thread may call it.

        Args:
            indices: Which shapes.
            generator: Source of everything random in it.
        """
        ...


@runtime_checkable
class PointDataset(ShapeDataset, Protocol):
    """Clouds of one shape's points, the batch's `data` (batch, points, channels) in the shape's own frame.

    Attributes:
        source: Where points come from, with the shape itself, to judge models by.
        channels: Numbers of each part of a point, its coordinates first.
    """

    source: PointSource
    channels: dict[str, int]

    def measure(self, seed: int = 0) -> tuple[Float[Tensor, "n c"], Float[Tensor, "1 c"]]:
        """Return what the data are standardised by: many points, and a variance to add to theirs.

        Args:
            seed: Seed of the points.
        """
        ...

    def expectation(self, scale: nn.Module, seed: int = 0, formulation: Any = None) -> nn.Module | None:
        """Return an estimate (`geomflow.flow.Expectation`) of standardised points behind noisy ones, or None.

        Args:
            scale: What points are standardised by.
            seed: Seed of the points that it is estimated from.
            formulation: How points flow, for parts of them that lie on manifolds.
        """
        ...


@runtime_checkable
class Posterior(Protocol):
    """Distribution over the latent of each shape of a batch."""

    @property
    def mean(self) -> Tensor:
        """Most likely latent."""
        ...

    @property
    def log_variance(self) -> Tensor:
        """Logarithm of the variance of every latent number."""
        ...

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return one draw per shape.

        Args:
            generator: Source of the draws; torch's own if None.
        """
        ...

    def divergence(self) -> Tensor:
        """Return the divergence from the standard normal, in nats per latent number."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Shape to latent.

    Attributes:
        reads: Which view of a shape `encode` takes, also its name in a training batch: `grid`, signed distances at
            the nodes of a grid over [-1, 1]^3 (batch, x, y, z), or `surface`, points on the surface with unit normals
            (batch, points, 6). An encoder that reads `surface` says in an attribute `points` how many it wants.
        resolution: Samples per axis of the grid that the encoder reads, or that its latents are as fine as.
        latent_shape: Shape of one latent.
    """

    reads: Literal["grid", "surface"]
    resolution: int
    latent_shape: Sequence[int]

    def encode(self, shape: Tensor, /) -> Posterior:
        """Return the latent's distribution for a batch of what the encoder reads.

        Args:
            shape: What `reads` names, (batch, x, y, z) or (batch, points, 6).
        """
        ...


@runtime_checkable
class Decoder(Protocol):
    """Latent to a signed distance field; `decode` runs once per shape, `sdf` once per block of points."""

    band: float

    def decode(self, latent: Tensor) -> Tensor:
        """Return whatever `sdf` needs of the latents.

        Args:
            latent: One latent per row (batch, *latent).
        """
        ...

    def sdf(self, features: Tensor, points: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n"]:
        """Return signed distances, negative inside, at points of [-1, 1]^3.

        Args:
            features: What `decode` returned (batch, ...).
            points: Where to ask.
        """
        ...


@runtime_checkable
class Network(Protocol):
    """Anything that maps a state and two times to an output like the state; it does not know what it predicts.

    One that takes long to read conditions may have a method `encode_condition`: from a condition to another, of as many
    rows, which tells it the same and is quick to read.
    """

    def __call__(
        self,
        x: Tensor,
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Tensor | None = None,
    ) -> Tensor:
        """Return an output of the shape of `x`.

        Args:
            x: States (batch, *shape).
            t: Times of departure.
            r: Times of arrival.
            condition: What the network is told, with a row per state; None for nothing.
        """
        ...


@runtime_checkable
class LossModule(Protocol):
    """What the training loop steps on: a batch in, a scalar loss and the numbers worth logging out."""

    def __call__(self, batch: Batch, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch at a training progress in [0, 1].

        Args:
            batch: What the data set gave, by name.
            progress: Share of the training that is done, from 0 to 1.
            generator: Source of noise and times.
        """
        ...
