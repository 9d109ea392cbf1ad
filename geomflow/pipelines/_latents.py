"""From noise to latents: what the pipelines of all models with an autoencoder and a flow map share."""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.errors import CheckpointError
from geomflow.flow import FlowMap
from geomflow.model import LatentModel
from geomflow.pipeline import Clock
from geomflow.pipelines._condition import Told

AUTO_COUNT = 16
"""Noises by which `steps="auto"` is chosen."""

NETWORK_BATCH = 64
"""Latents per network call, so that memory does not grow with the count."""


def flow_map_of(model: LatentModel) -> FlowMap:
    """Return the flow map of a model.

    Raises:
        CheckpointError: It has none.
    """
    if not hasattr(model, "flow_map"):
        raise CheckpointError("this model is an autoencoder: it reconstructs, and has no flow map to generate with")
    return model.flow_map


@torch.no_grad()
def draw(
    model: LatentModel, count: int, steps: int, seed: int, asked: Told, ode: bool = False
) -> Float[Tensor, " count *latent"]:
    """Return latents, each of its own seed: what it is does not depend on the others.

    Args:
        model: The model.
        count: Number of latents.
        steps: Jumps of the flow map, or steps of the ODE.
        seed: Seed of the first latent's noise; latent i has `seed + i`.
        asked: What the network is told.
        ode: Solve the instantaneous ODE by Heun's method instead of jumping.

    Raises:
        ValueError: `count` or `steps` under 1.
        CheckpointError: The model has no flow map.
    """
    check_counts(count, steps)
    flow_map, device = flow_map_of(model), model.scale.mean.device
    sample = flow_map.sample_ode if ode else flow_map.sample
    noise, asked = noise_of(model, count, seed), encoded(flow_map, asked, device)
    parts = [sample(part, steps=steps, condition=asked.rows(len(part), device)) for part in noise.split(NETWORK_BATCH)]
    return model.scale.restore(torch.cat(parts))


def check_counts(count: int, steps: int) -> None:
    """Refuse numbers of samples and of steps that cannot be.

    Args:
        count: Number of samples.
        steps: Number of steps.

    Raises:
        ValueError: One of them is no whole number, or under 1.
    """
    if not (isinstance(count, int) and isinstance(steps, int) and count >= 1 and steps >= 1):
        raise ValueError(f"count and steps must be whole numbers of at least 1, given {count!r} and {steps!r}")


def encoded(flow_map: FlowMap, asked: Told, device: torch.device) -> Told:
    """The condition as the network knows it once it has read it, if it can read it apart (see `interfaces.Network`)."""
    encode = getattr(flow_map.network, "encode_condition", None)
    return replace(asked, row=encode(asked.rows(1, device))) if encode and asked.row else asked


def chosen_steps(
    model: LatentModel, steps: int | Literal["auto"], tolerance: float, seed: int, asked: Told, clock: Clock
) -> int:
    """Return the number of steps that was asked for; for `auto` as few as `enough_steps` finds, which is timed.

    Args:
        model: The model.
        steps: What was asked for.
        tolerance: See `enough_steps`.
        seed: See `enough_steps`.
        asked: What the network is told.
        clock: Gets the stage `choice of steps`.
    """
    if steps != "auto":
        return steps
    with clock.stage("choice of steps"):
        return enough_steps(model, tolerance, seed, asked)


def enough_steps(model: LatentModel, tolerance: float, seed: int, asked: Told, count: int = AUTO_COUNT) -> int:
    """Return the fewest jumps (a power of two, at most 64) within `tolerance` of twice as many.

    Args:
        model: The model.
        tolerance: Root-mean-square gap, in standard deviations of a latent number.
        seed: Seed of the noises it is measured with.
        asked: What the network is told.
        count: Number of those noises.

    Raises:
        ValueError: The tolerance is not positive.
        CheckpointError: The model has no flow map.
    """
    noise, flow_map = noise_of(model, count, seed), flow_map_of(model)
    asked = encoded(flow_map, asked, noise.device)
    return flow_map.enough_steps(noise, tolerance, condition=asked.rows(count, noise.device))


def noise_of(model: LatentModel, count: int, seed: int) -> Float[Tensor, " count *latent"]:
    """Return the noise that latents start from, one stream for each."""
    shape, device = model.autoencoder.latent_shape, model.scale.mean.device
    streams = (torch.Generator().manual_seed(seed + i) for i in range(count))
    return torch.stack([torch.randn(tuple(shape), generator=stream) for stream in streams]).to(device)
