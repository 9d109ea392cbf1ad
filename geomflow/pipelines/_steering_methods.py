"""Methods of steering as pipelines run them: the noise that each starts from, and what a strength is to it."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow import steer
from geomflow.errors import RewardError
from geomflow.flow import FlowMap
from geomflow.flow.random import generator_of, normal
from geomflow.model import LatentModel
from geomflow.pipelines._condition import Told
from geomflow.pipelines._latents import encoded, flow_map_of, noise_of
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.steer.look_ahead import from_noise
from geomflow.steer.reward import name_of, score, score_ahead
from geomflow.steer.steered import Steered

logger = logging.getLogger("geomflow")

MEASURED = 32
"""Unsteered shapes by which the spread of a reward is measured, of noises that are no seed's."""


@dataclass(frozen=True)
class Job:
    """What is to be steered.

    Attributes:
        model: The model.
        reward: Of its latents.
        steps: Jumps of the flow map; steps of the ODE for `dps`.
        seed: Of the first shape's noise; shape i has `seed + i`.
        asked: What the network is told.
        count: Number of shapes.
        particles: As `Steering` has them, 1 where the method takes none.
        strength: As `Steering` has it.
    """

    model: LatentModel
    reward: ShapeReward
    steps: int
    seed: int
    asked: Told
    count: int
    particles: int = 1
    strength: float = 0.0

    @property
    def flow_map(self) -> FlowMap:
        """The model's."""
        return flow_map_of(self.model)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the reward of unsteered shapes, whatever the seed and the count.

        Raises:
            RewardError: It is the same for all of them, or none (see `geomflow.steer.reward.checked`).
        """
        shape, device = tuple(self.model.autoencoder.latent_shape), self.model.scale.mean.device
        rewards = self.unsteered(normal((MEASURED, *shape), generator_of(0, 3), device=device))
        rounding = torch.finfo(rewards.dtype).eps * rewards.abs().max()
        if rewards.max() - rewards.min() <= rounding:
            same = f"{float(rewards[0]):.4g} for each of {MEASURED} unsteered shapes"
            raise RewardError(f"reward {name_of(self.reward)!r} must differ to be steered by, it is {same}")
        return float(rewards.std())

    @property
    def nats(self) -> float:
        """The strength as nats per unit of the reward."""
        return self.strength / self.spread

    @property
    def length(self) -> float:
        """The strength as root-mean-square change of a latent's numbers: one that moves a linear reward by as much."""
        return self.strength / math.sqrt(math.prod(self.model.autoencoder.latent_shape))

    def noise(self, count: int) -> Float[Tensor, " count *latent"]:
        """Noise of the first seeds."""
        return noise_of(self.model, count, self.seed)

    def streams(self, index: int) -> list[torch.Generator]:
        """Sources of what is drawn for each shape besides its noise."""
        return [generator_of(self.seed + i, index) for i in range(self.count)]

    def condition(self, count: int) -> Any:
        """What the network is told, so often."""
        device = self.model.scale.mean.device
        return encoded(self.flow_map, self.asked, device).rows(count, device)

    def unsteered(self, noise: Float[Tensor, " batch *latent"]) -> Float[Tensor, " batch"]:
        """Rewards of shapes as they come."""
        look = from_noise(self.flow_map, self.steps, self.condition(len(noise)))
        return score_ahead(self.reward, look, noise)[1]

    def run(self, method: Callable[..., Steered], noise: Tensor, *arguments: Any, **options: Any) -> Steered:
        """A method on noise (batch, *latent)."""
        condition = self.condition(len(noise))
        return method(self.flow_map, self.reward, noise, *arguments, condition=condition, **options)


def _best_of_n(job: Job) -> Steered:
    """Of the noise of a shape's seed, and of others from streams of the same seed."""
    rows = []
    for i, own in enumerate(job.noise(job.count)):
        streams = (generator_of(job.seed + i, j) for j in range(1, job.particles))
        rows += [own, *(normal(own.shape, stream, own.dtype, own.device) for stream in streams)]
    found = job.run(steer.best_of_n, torch.stack(rows), job.particles, job.steps)
    return replace(found, calls=found.calls * job.particles)


def _guide(job: Job) -> Steered:
    return job.run(steer.guide, job.noise(job.count), job.steps, job.nats)


def _ascend(job: Job) -> Steered:
    angle = job.length / job.particles
    return job.run(steer.ascend, job.noise(job.count), job.particles, angle, steps=job.steps)


def _tilt(job: Job) -> Steered:
    """All of one population, of which the shapes are spread evenly over the survivors."""
    generator, share = generator_of(job.seed, 2), job.particles / job.count
    cloud = job.run(steer.tilt, job.noise(job.particles), job.steps, job.nats, generator=generator)
    chosen = torch.arange(job.count, device=cloud.reward.device) * job.particles // job.count
    distinct = len(cloud.data[chosen].flatten(1).unique(dim=0))
    if distinct < job.count:
        logger.warning("%d shapes by tilt are %d and copies: take more particles or less strength", job.count, distinct)
    calls, gradients = math.ceil(share * cloud.calls), math.ceil(share * cloud.gradients)
    return Steered(cloud.data[chosen], cloud.reward[chosen], calls, gradients, cloud.trace)


def _langevin(job: Job) -> Steered:
    options = {"steps": job.steps, "generator": job.streams(2)}
    return job.run(steer.langevin, job.noise(job.count), job.particles, job.nats, **options)


def _plug_and_play(job: Job) -> Steered:
    """Each look-ahead moved uphill."""
    noise, correct = job.noise(job.count), steer.uphill(job.reward, job.length)
    data = steer.plug_and_play(job.flow_map, correct, noise, job.steps, job.condition(job.count), job.streams(1))
    return Steered(data, score(job.reward, data), job.steps)


def _dps(job: Job) -> Steered:
    return job.run(steer.dps, job.noise(job.count), job.steps, job.nats)


@dataclass(frozen=True)
class Method:
    """A method of steering.

    Attributes:
        run: Steers the shapes of a job; its calls are per shape.
        particles: How many shapes it looks at unless it is told; None if there is nothing to choose.
        strength: Whether it can go more or less far.
        together: Whether its shapes are of one population, which is then at least as many.
    """

    run: Callable[[Job], Steered]
    particles: int | None = None
    strength: bool = True
    together: bool = False


METHODS = {
    "best_of_n": Method(_best_of_n, particles=8, strength=False),
    "guide": Method(_guide),
    "ascend": Method(_ascend, particles=8),
    "tilt": Method(_tilt, particles=64, together=True),
    "langevin": Method(_langevin, particles=16),
    "plug_and_play": Method(_plug_and_play),
    "dps": Method(_dps),
}
"""All methods; the first is the one that is taken if none is named."""
