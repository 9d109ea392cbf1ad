"""Steering of shapes: latents steered by a reward of what they decode to."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow import shelves, steer
from geomflow.errors import ConfigError
from geomflow.flow import FlowMap
from geomflow.flow.random import generator_of
from geomflow.model import LatentModel
from geomflow.pipelines._condition import Told
from geomflow.pipelines._latents import encoded, flow_map_of, noise_of
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.steer.reward import Reward, name_of, score
from geomflow.steer.steered import Steered

FEWEST = 8
"""Unsteered shapes, at least, by which the spread of a reward is measured."""

PARTICLES = {"best_of_n": 8, "tilt": 64, "langevin": 16, "ascend": 8, "guide": 1, "plug_and_play": 1, "dps": 1}
"""Methods, and how many shapes each looks at for every shape that it makes, by default."""


@dataclass(frozen=True)
class Steering:
    """How shapes are steered.

    Attributes:
        reward: Distances at the nodes of grids (batch, n, n, n) to (batch,).
        name: What the reward is called.
        method: One of `PARTICLES`.
        particles: Candidates of each shape (`best_of_n`), population that all shapes are drawn from (`tilt`), moves in
            the noise (`langevin`, `ascend`); of no use to the others.
        strength: How far, in standard deviations of the reward of unsteered shapes; of no use to `best_of_n`.
    """

    reward: Reward
    name: str
    method: str
    particles: int
    strength: float


@dataclass(frozen=True)
class Report:
    """What steering did.

    Attributes:
        before: Rewards of the shapes of the same noise, unsteered.
        after: Rewards of the steered shapes.
        calls: Network calls per shape, without those that `before` took.
        gradients: How many of them were differentiated.
        spread: Standard deviation of the reward of unsteered shapes.
        trace: See `geomflow.steer.Steered`.
    """

    before: list[float]
    after: list[float]
    calls: int
    gradients: int
    spread: float
    trace: dict[str, list[float]]

    def as_dict(self, how: Steering) -> dict[str, Any]:
        """Return it for generation.json."""
        asked = {"reward": how.name, "method": how.method, "particles": how.particles, "strength": how.strength}
        found = {"spread": self.spread, "before": self.before, "after": self.after}
        return asked | found | {"network_calls": self.calls, "gradients": self.gradients, "trace": self.trace}


def steering_of(
    reward: str | Reward | None, method: str | None, particles: int | None, strength: float | None, count: int
) -> Steering | None:
    """Return how to steer, None if there is no reward.

    Raises:
        ConfigError: An unknown reward or method, too few particles, or anything of this without a reward.
    """
    if reward is None:
        if (method, particles, strength) != (None, None, None):
            raise ConfigError("method, particles and strength want a reward, given none")
        return None
    method = method or "best_of_n"
    if method not in PARTICLES:
        raise ConfigError(f"unknown method {method!r}: the methods are {', '.join(PARTICLES)}")
    particles = PARTICLES[method] if particles is None else particles
    fewest = count if method == "tilt" else 1
    if particles < fewest:
        raise ConfigError(f"particles must be at least {fewest} for {count} shapes by {method}, given {particles}")
    name, made = (reward, shelves.load("rewards", reward)) if isinstance(reward, str) else (name_of(reward), reward)
    return Steering(made, name, method, particles, 2.0 if strength is None else float(strength))


@torch.no_grad()
def steered(
    model: LatentModel, count: int, steps: int, seed: int, asked: Told, how: Steering
) -> tuple[Float[Tensor, " count *latent"], Report]:
    """Return latents, as the decoder takes them, and what steering did.

    Args:
        model: The model.
        count: Number of latents.
        steps: Jumps of the flow map; steps of the ODE for `dps`.
        seed: Seed of the first latent's noise.
        asked: What the network is told.
        how: The reward and the method.

    Raises:
        ValueError: `count` or `steps` under 1.
        CheckpointError: The model has no flow map.
        RewardError: The reward is no finite number per shape, or has no gradient and the method wants one.
    """
    if not (isinstance(count, int) and isinstance(steps, int) and count >= 1 and steps >= 1):
        raise ValueError(f"count and steps must be whole numbers of at least 1, given {count!r} and {steps!r}")
    job = _Job(flow_map_of(model), model, ShapeReward(model, how.reward, how.name), steps, seed, asked)
    before = job.unsteered(max(count, FEWEST))
    spread = float(before.std())
    result, rows = _RUN[how.method](job, how, count, how.strength / max(spread, 1e-12))
    share = len(rows) / count  # rows of noise for every shape
    report = Report(
        before[:count].tolist(),
        result.reward.tolist(),
        math.ceil(share * result.calls),
        math.ceil(share * result.gradients),
        spread,
        result.trace,
    )
    return model.scale.restore(result.data), report


def tuned(
    model: LatentModel, reward: Reward, folder: str | Path, seed: int, asked: Told, batch: int, **options: Any
) -> steer.FineTuned:
    """Return the model's flow map fine-tuned on a reward, in units of its spread over unsteered shapes.

    Args:
        model: The model.
        reward: Of distances at the nodes of grids.
        folder: Where the state of the training is kept.
        seed: Of the noise.
        asked: What the network is told.
        batch: Shapes of an update.
        **options: See `geomflow.steer.fine_tune`.

    Raises:
        CheckpointError: The model has no flow map, or see `geomflow.steer.fine_tune`.
        RewardError: The reward is no finite number per shape, or has no gradient.
    """
    of_latents = ShapeReward(model, reward)
    job = _Job(flow_map_of(model), model, of_latents, 1, seed, asked)
    spread = max(float(job.unsteered(2 * FEWEST).std()), 1e-12)

    def in_spreads(latents: Tensor) -> Tensor:
        return of_latents(latents) / spread

    in_spreads.__name__ = of_latents.__name__
    condition, shape = asked.rows(batch, model.scale.mean.device), model.autoencoder.latent_shape
    return steer.fine_tune(
        job.flow_map, in_spreads, folder, shape, batch=batch, seed=seed, condition=condition, **options
    )


@dataclass(frozen=True)
class _Job:
    """What all methods are given."""

    flow_map: FlowMap
    model: LatentModel
    reward: ShapeReward
    steps: int
    seed: int
    asked: Told

    @property
    def numbers(self) -> int:
        """Numbers of a latent."""
        return math.prod(self.model.autoencoder.latent_shape)

    def noise(self, count: int) -> Tensor:
        """Noise of the first seeds."""
        return noise_of(self.model, count, self.seed)

    def condition(self, count: int) -> Any:
        """What the network is told, so often."""
        device = self.model.scale.mean.device
        return encoded(self.flow_map, self.asked, device).rows(count, device)

    def unsteered(self, count: int) -> Float[Tensor, " count"]:
        """Rewards of as many shapes as they come."""
        data = self.flow_map.sample(self.noise(count), self.steps, condition=self.condition(count))
        return score(self.reward, data)

    def run(self, method: Callable[..., Steered], count: int, *arguments: Any, **options: Any) -> Steered:
        """A method on as many noises."""
        condition = self.condition(count)
        return method(self.flow_map, self.reward, self.noise(count), *arguments, condition=condition, **options)

    def chance(self) -> torch.Generator:
        """The source of all that is drawn besides the noise."""
        return generator_of(self.seed, 2)


Run = tuple[Steered, range]
"""What came out, and the rows of noise that went in."""


def _best_of_n(job: _Job, how: Steering, count: int, strength: float) -> Run:
    rows = range(count * how.particles)
    return job.run(steer.best_of_n, len(rows), how.particles, job.steps), rows


def _guide(job: _Job, how: Steering, count: int, strength: float) -> Run:
    return job.run(steer.guide, count, job.steps, strength), range(count)


def _tilt(job: _Job, how: Steering, count: int, strength: float) -> Run:
    """All of one population, of which the shapes are spread evenly over the survivors."""
    rows = range(how.particles)
    cloud = job.run(steer.tilt, len(rows), job.steps, strength, generator=job.chance())
    chosen = torch.arange(count, device=cloud.reward.device) * len(rows) // count
    return replace(cloud, data=cloud.data[chosen], reward=cloud.reward[chosen]), rows


def _langevin(job: _Job, how: Steering, count: int, strength: float) -> Run:
    options = {"steps": job.steps, "generator": job.chance()}
    return job.run(steer.langevin, count, how.particles, strength, **options), range(count)


def _ascend(job: _Job, how: Steering, count: int, strength: float) -> Run:
    """Turned by as much as moves a linear reward by so many deviations in all."""
    angle = how.strength / (math.sqrt(job.numbers) * how.particles)
    return job.run(steer.ascend, count, how.particles, angle, steps=job.steps), range(count)


def _plug_and_play(job: _Job, how: Steering, count: int, strength: float) -> Run:
    """Each look-ahead moved uphill by as much as moves a linear reward by so many deviations."""
    correct = steer.uphill(job.reward, how.strength / math.sqrt(job.numbers))
    fresh = [generator_of(job.seed + row, 1) for row in range(count)]
    data = steer.plug_and_play(job.flow_map, correct, job.noise(count), job.steps, job.condition(count), fresh)
    return Steered(data, score(job.reward, data), job.steps), range(count)


def _dps(job: _Job, how: Steering, count: int, strength: float) -> Run:
    return job.run(steer.dps, count, job.steps, strength), range(count)


_RUN: dict[str, Callable[[_Job, Steering, int, float], Run]] = {
    "best_of_n": _best_of_n,
    "guide": _guide,
    "tilt": _tilt,
    "langevin": _langevin,
    "ascend": _ascend,
    "plug_and_play": _plug_and_play,
    "dps": _dps,
}
