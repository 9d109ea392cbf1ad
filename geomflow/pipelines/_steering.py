"""Steering of shapes: latents steered by a reward of what they decode to."""

import math
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow import checkpoint, shelves, steer
from geomflow.errors import CheckpointError, ConfigError
from geomflow.model import LatentModel
from geomflow.pipelines._condition import Told
from geomflow.pipelines._latents import check_counts
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.pipelines._steering_methods import MEASURED, METHODS, Job
from geomflow.steer.reward import Reward, name_of

STRENGTH = 2.0
"""Of methods that have one, unless they are told."""


@dataclass(frozen=True)
class Steering:
    """How shapes are steered.

    Attributes:
        reward: Distances at the nodes of grids (batch, n, n, n) to (batch,).
        name: What the reward is called.
        method: One of `METHODS`.
        particles: Candidates of each shape (`best_of_n`), moves of each in the noise (`langevin`, `ascend`), population
            that all shapes are drawn from (`tilt`); None for the others.
        strength: How far, in standard deviations of the reward of unsteered shapes; None for `best_of_n`.
    """

    reward: Reward
    name: str
    method: str
    particles: int | None
    strength: float | None


@dataclass(frozen=True)
class Report:
    """What steering did.

    Attributes:
        before: Rewards of what the map makes of the noise of the same seeds in as many jumps, unsteered.
        after: Rewards of the steered shapes.
        calls: Network calls per shape, without those that `before` and `spread` took.
        gradients: How many of them were differentiated.
        measuring: Network calls that `before` and `spread` took, for all shapes together.
        spread: Standard deviation of the reward of unsteered shapes, which strengths count in; None without a strength.
        trace: See `geomflow.steer.Steered`.
    """

    before: list[float]
    after: list[float]
    calls: int
    gradients: int
    measuring: int
    spread: float | None
    trace: dict[str, list[float]]

    def as_dict(self, how: Steering) -> dict[str, Any]:
        """Return it for generation.json."""
        asked = {"reward": how.name, "method": how.method, "particles": how.particles, "strength": how.strength}
        found = {"spread": self.spread, "before": self.before, "after": self.after, "network_calls": self.calls}
        return asked | found | {"gradients": self.gradients, "measuring_calls": self.measuring, "trace": self.trace}


def steering_of(
    reward: str | Reward | None, method: str | None, particles: int | None, strength: float | None, count: int
) -> Steering | None:
    """Return how to steer, None if there is no reward.

    Raises:
        ConfigError: An unknown reward or method, or a reward that cannot be called; too few particles, or a strength
            that is not positive and finite; either for a method that has no use for it; or anything of this without a
            reward.
    """
    if reward is None:
        if (method, particles, strength) != (None, None, None):
            raise ConfigError("method, particles and strength want a reward, given none")
        return None
    method = next(iter(METHODS)) if method is None else method
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}: the methods are {', '.join(METHODS)}")
    particles, strength = _particles(method, particles, count), _strength(method, strength)
    name, made = reward if isinstance(reward, str) else name_of(reward), made_reward(reward)
    return Steering(made, name, method, particles, strength)


def made_reward(reward: str | Reward) -> Reward:
    """Return a reward that was asked for by name, or as it is.

    Args:
        reward: The name of one on the shelf `rewards`, or a callable.

    Raises:
        ConfigError: An unknown name, or nothing that can be called.
    """
    if isinstance(reward, str):
        return shelves.load("rewards", reward)
    if not callable(reward):
        raise ConfigError(f"reward must be a name or a callable, given {reward!r}")
    return reward


def _particles(method: str, given: int | None, count: int) -> int | None:
    """As many as were asked for, or as are usual."""
    usual, fewest = METHODS[method].particles, count if METHODS[method].together else 1
    if usual is None:
        _refuse_for(method, "particles", given, [name for name, other in METHODS.items() if other.particles])
        return None
    if given is None:
        return max(usual, fewest)
    if not isinstance(given, int) or isinstance(given, bool) or given < fewest:
        wanted = f"a whole number of at least {fewest} for {count} shapes by {method}"
        raise ConfigError(f"particles must be {wanted}, given {given!r}")
    return given


def _strength(method: str, given: float | None) -> float | None:
    """As much as was asked for, or as is usual."""
    if not METHODS[method].strength:
        _refuse_for(method, "strength", given, [name for name, other in METHODS.items() if other.strength])
        return None
    if given is not None and not (isinstance(given, Real) and 0 < given < math.inf):
        raise ConfigError(f"strength must be a positive, finite number, given {given!r}")
    return STRENGTH if given is None else float(given)


def _refuse_for(method: str, option: str, given: float | None, takers: list[str]) -> None:
    if given is not None:
        raise ConfigError(f"{option} must be left out for {method}, given {given}: it is for {', '.join(takers)}")


@torch.no_grad()
def steered(
    model: LatentModel, count: int, steps: int, seed: int, asked: Told, how: Steering
) -> tuple[Float[Tensor, " count *latent"], Report]:
    """Return latents, as the decoder takes them, and what steering did.

    Args:
        model: The model.
        count: Number of latents.
        steps: Jumps of the flow map; steps of the ODE for `dps`.
        seed: Seed of the first latent's noise; latent i has `seed + i` and, but for `tilt`, minds no other.
        asked: What the network is told.
        how: The reward and the method.

    Raises:
        ValueError: `count` or `steps` under 1.
        CheckpointError: The model has no flow map.
        RewardError: The reward is no finite number per shape, or has no gradient and the method wants one; or it is the
            same for all unsteered shapes and the method has a strength.
    """
    check_counts(count, steps)
    reward = ShapeReward(model, how.reward, how.name)
    job = Job(model, reward, steps, seed, asked, count, how.particles or 1, how.strength or 0.0)
    before = job.unsteered(job.noise(count))
    spread = None if how.strength is None else job.spread
    result = METHODS[how.method].run(job)
    measuring = steps * (count + (0 if spread is None else MEASURED))
    after = result.reward.tolist()
    report = Report(before.tolist(), after, result.calls, result.gradients, measuring, spread, result.trace)
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
        CheckpointError: The model has no flow map, the folder holds a model that is not gone on with, or see
            `geomflow.steer.fine_tune`.
        RewardError: The reward is no finite number per shape, has no gradient, or is the same for all unsteered shapes.
    """
    if not options.get("resume") and (Path(folder) / checkpoint.CONFIG).exists():
        raise CheckpointError(f"{folder}: holds a model already; choose another folder")
    job = Job(model, ShapeReward(model, reward), options.get("jumps", 1), seed, asked, batch)

    spread = job.spread

    def in_spreads(latents: Tensor) -> Tensor:
        return job.reward(latents) / spread

    in_spreads.__name__ = job.reward.__name__
    condition, shape = asked.rows(batch, model.scale.mean.device), model.autoencoder.latent_shape
    return steer.fine_tune(
        job.flow_map, in_spreads, folder, shape, batch=batch, seed=seed, condition=condition, **options
    )
