"""What a checkpoint holds: the model of a task, its parts built from the shelves, its weights not yet trained."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow import shelves
from geomflow.config import Item, RunConfig
from geomflow.errors import ConfigError
from geomflow.flow import FlowMap, Formulation
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.product import product
from geomflow.flow.random import NoiseSource, generator_of

CHUNK = 1 << 14
"""Points that go through the network at a time, and share a seed."""

JUMP_RATIOS = (1.0, 0.01)
"""Noise-to-signal ratios between which the jumps that make a shape's points are spread."""


class LatentScale(nn.Module):
    """Affine map between a model's data and the zero-mean, unit-spread data that its flow map works in.

    Args:
        latent_shape: Shape of one latent, or the channels of a point.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_shape))
        self.register_buffer("std", torch.ones(latent_shape))

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        """Take mean and spread per channel of Gaussians with means and variances (shapes, channels, *cells).

        Args:
            mean: Means of the Gaussians.
            variance: Their variances, of the same shape.
        """
        over = (0, *range(2, mean.ndim))
        spread = (mean.var(over, correction=0, keepdim=True) + variance.mean(over, keepdim=True)).sqrt()
        self.mean.copy_(mean.mean(over, keepdim=True)[0].expand_as(self.mean))
        self.std.copy_(spread[0].expand_as(self.std))

    def standardize(self, latents: Tensor) -> Tensor:
        """Return data with zero mean and unit spread.

        Args:
            latents: Latents (batch, *latent), or points (..., channels).
        """
        return (latents - self.mean) / self.std

    def restore(self, standardized: Tensor) -> Tensor:
        """Return data as they were.

        Args:
            standardized: What `standardize` returned, shaped as there.
        """
        return standardized * self.std + self.mean


class LatentModel(nn.Module):
    """Whole shapes, images or drawings: an autoencoder and, unless only that was trained, a flow map on its latents.

    Args:
        config: The configuration of the run, which names encoder, network and formulation.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.autoencoder = build("encoders", config.encoder)
        if config.task == "flow_map":
            shape = self.autoencoder.latent_shape
            self.scale = LatentScale(shape)
            told = {"condition": config.condition, "classes": len(config.classes)} if config.condition else {}
            self.flow_map = _flow_map(config, latent_shape=shape, **told)

    @property
    def makes(self) -> str:
        """What is made: the item of the shelf `pipelines` that runs the model."""
        return getattr(self.autoencoder, "makes", "shapes")


class PointModel(nn.Module):
    """The points of one shape: a flow map on clouds of them, and the noise that it starts from.

    Args:
        config: The configuration of the run, which names network, formulation, noise and channels.
    """

    makes = "points"

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.channels, self.manifolds = dict(config.channels), dict(config.manifolds)
        self.scale = LatentScale((sum(self.channels.values()),))
        self.noise: NoiseSource = build("noises", config.noise)
        self.flow_map = _flow_map(config, channels=sum(self.channels.values()))
        self.flow_map.formulation = _on_manifolds(self.flow_map.formulation, self.channels, config.manifolds)
        if self.flow_map.formulation.jump_ratios is None:
            self.flow_map.formulation = replace(self.flow_map.formulation, jump_ratios=JUMP_RATIOS)

    def fit_scale(self, points: Float[Tensor, "n c"], variance: Float[Tensor, "1 c"]) -> None:
        """Take mean and spread of points, and leave parts on manifolds as they are.

        Args:
            points: Points of the shape.
            variance: Variance to add to theirs, per channel.
        """
        self.scale.fit(points, variance)
        widths = list(self.channels.values())
        parts = zip(self.channels, self.scale.mean.split(widths), self.scale.std.split(widths), strict=True)
        for _, mean, std in (part for part in parts if part[0] in self.manifolds):
            mean.zero_()
            std.fill_(1)

    def draw(
        self, count: int, steps: int, seed: int, ode: bool = False, noise: NoiseSource | None = None
    ) -> Iterator[Float[Tensor, "n c"]]:
        """Yield points of the shape, chunk by chunk, `count` in all; the first ones are the same whatever the count.

        Args:
            count: Number of points.
            steps: Jumps, or steps of the ODE.
            seed: Chunk i starts from noise seeded by it and i.
            ode: Solve the instantaneous ODE by Heun's method instead of jumping.
            noise: Where to start instead of the model's own noise.
        """
        source, shape = noise or self.noise, (CHUNK, len(self.scale.mean))
        for chunk in range(-(-count // CHUNK)):
            start = source(shape, generator_of(seed, chunk), torch.float32, self.scale.mean.device)
            yield self.from_noise(start, steps, ode)[: count - chunk * CHUNK]

    @torch.no_grad()
    def from_noise(self, noise: Float[Tensor, "n c"], steps: int, ode: bool = False) -> Float[Tensor, "n c"]:
        """Return the points at which noise ends, row by row.

        Args:
            noise: Standardised noise.
            steps: Jumps of the flow map, or steps of the ODE.
            ode: Solve the instantaneous ODE instead of jumping.
        """
        sample = self.flow_map.sample_ode if ode else self.flow_map.sample
        return torch.cat([self.scale.restore(sample(part[None], steps=steps)[0]) for part in noise.split(CHUNK)])

    @torch.no_grad()
    def to_noise(self, points: Float[Tensor, "n c"], steps: int) -> Float[Tensor, "n c"]:
        """Return the noise that ends at points, row by row: the ODE solved backwards by Heun's method.

        Args:
            points: Points with their channels, in the shape's own frame.
            steps: Jumps of the flow map, or steps of the ODE.
        """
        parts = self.scale.standardize(points).split(CHUNK)
        return torch.cat([self.flow_map.invert(part[None], steps, "heun")[0] for part in parts])


def build(shelf: str, item: Item, **given: Any) -> Any:
    """Return an item of a shelf, made with its options and what the caller knows.

    Args:
        shelf: Name of the shelf.
        item: Name and options.
        **given: What the caller knows; options of the item come before it.
    """
    return shelves.load(shelf, item.name, **{**given, **item.options})


def _on_manifolds(formulation: Formulation, channels: dict[str, int], manifolds: dict[str, str]) -> Formulation:
    """A formulation for points some of whose parts lie on manifolds, where they move along geodesics."""
    for name in manifolds:
        if name not in channels:
            raise ConfigError(f"manifolds.{name}: points have no {name}, but {', '.join(channels)}")
    if not manifolds:
        return formulation
    places = {name: shelves.load("manifolds", item, coordinates=channels[name]) for name, item in manifolds.items()}
    curved = {name: Geodesic(formulation.path, manifold=place) for name, place in places.items()}
    return product([(width, curved.get(name, formulation)) for name, width in channels.items()])


def _flow_map(config: RunConfig, **given: Any) -> FlowMap:
    return FlowMap(build("networks", config.network, **given), build("formulations", config.formulation))
