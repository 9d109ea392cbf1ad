"""Gradient search in the noise: uphill on the sphere that typical noise lies on, keeping the best that was seen."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow import FlowMap
from geomflow.flow.formulation import per_sample
from geomflow.steer.look_ahead import from_noise
from geomflow.steer.reward import Reward, score_and_gradient
from geomflow.steer.steered import Steered


@torch.no_grad()
def ascend(
    flow_map: FlowMap,
    reward: Reward,
    noise: Float[Tensor, " batch *shape"],
    rounds: int = 8,
    angle: float = 0.1,
    steps: int = 1,
    condition: Any = None,
) -> Steered:
    """Return the data of the best noise found; deterministic.

    Every round turns the noise by ``angle`` towards the gradient of the reward. Its norm, and with it its density,
    stays what it was: no result is less likely as noise than what it began with. The reward's unit does not matter.

    Args:
        flow_map: The map.
        reward: What is to be high, differentiable.
        noise: Where the search begins.
        rounds: Moves; ``steps (rounds + 1)`` network calls, all with a gradient.
        angle: Of every move, in radians.
        steps: Jumps from noise to data; a gradient goes through all.
        condition: Passed to the network.

    Raises:
        ValueError: ``rounds`` under 0 or an angle that is not positive.
        RewardError: The reward is no finite number per sample, or has no gradient.
    """
    if rounds < 0 or not angle > 0:
        raise ValueError(f"rounds must be at least 0 and angle positive, given {rounds} and {angle}")
    look, z = from_noise(flow_map, steps, condition), noise
    ahead = best = score_and_gradient(reward, look, z)
    means = [float(best.reward.mean())]
    for _ in range(rounds):
        z = _turned(z, ahead.gradient, angle)
        ahead = score_and_gradient(reward, look, z)
        best = best.replaced(ahead.reward > best.reward, ahead)
        means.append(float(best.reward.mean()))
    return Steered(best.data, best.reward, steps * (rounds + 1), steps * (rounds + 1), {"reward": means})


def _turned(z: Float[Tensor, " batch *shape"], towards: Tensor, angle: float) -> Float[Tensor, " batch *shape"]:
    """Points turned about the origin towards a direction; those at its end, or without one, stay."""
    norm = per_sample(_norm(z), z)
    across = towards - (_dot(z, towards) / _dot(z, z).clamp(min=1e-30)) * z
    length = per_sample(_norm(across), z)
    unit = across / length.clamp(min=1e-30)
    turned = math.cos(angle) * z + math.sin(angle) * norm * unit
    return torch.where(length > 0, turned, z)


def _norm(x: Tensor) -> Float[Tensor, " batch"]:
    return x.flatten(1).norm(dim=1)


def _dot(x: Tensor, y: Tensor) -> Float[Tensor, " batch *ones"]:
    return per_sample((x * y).flatten(1).sum(1), x)
