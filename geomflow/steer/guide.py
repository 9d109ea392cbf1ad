"""Guidance by look-ahead: before it jumps, a state is moved to where the reward of the data ahead rises."""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow import FlowMap, Path
from geomflow.steer.look_ahead import END, deviation, from_state, levels
from geomflow.steer.reward import Reward, score, score_and_gradient
from geomflow.steer.steered import Steered


@torch.no_grad()
def guide(
    flow_map: FlowMap,
    reward: Reward,
    noise: Float[Tensor, " batch *shape"],
    steps: int = 2,
    strength: float = 1.0,
    condition: Any = None,
) -> Steered:
    """Return data from noise with states drawn uphill before they jump; deterministic.

    With the look-ahead X = psi_{t->1}, a step is

        x_r = psi_{t->r}(x + eta grad_x R(X(x))),        eta = strength (s_t - s_r) d_t^2,

    where d is the standard deviation of a state whose data have unit variance, which is what the scale of a gradient
    by states goes with, and s = sigma / d falls from 1 to 0: the share of the way that the exact guided ODE goes while
    the noise falls as far. Moves are made before jumps, which keep of them what makes data of the model's kind. The
    first of several jumps, from pure noise, is plain, for so far ahead a gradient says little; the step after it goes
    that share as well. For normal data of unit variance and a linear reward the result is, on every path and with any
    number of steps, the exact tilted law: the mean moves by strength grad R. Elsewhere it is a heuristic.

    Args:
        flow_map: The map, of data of about unit spread.
        reward: What is to be high, differentiable.
        noise: Unit noise.
        steps: Jumps; ``2 steps - 1`` network calls, ``steps - 1`` of them with a gradient. One jump takes two and one.
        strength: Length of the way uphill: nats per unit of the reward.
        condition: Passed to the network.

    Raises:
        ValueError: ``steps`` under 1, or states on a manifold.
        RewardError: The reward is no finite number per sample, or has no gradient.
    """
    if not flow_map.formulation.linear:
        raise ValueError("guide moves states in straight lines, not on manifolds; langevin and ascend steer there")
    path, x, means = flow_map.formulation.path, flow_map.formulation.start(noise), []
    times = flow_map.formulation.jump_grid(steps).tolist()
    left = _noise_share(path, times[0])
    if steps > 1:
        x, times = flow_map(x, times[0], times[1], condition), times[1:]
    for t, r in pairwise(times):
        ahead = score_and_gradient(reward, from_state(flow_map, t, condition), x)
        way, left = left - _noise_share(path, r), _noise_share(path, r)
        x = flow_map(x + strength * way * deviation(path, t) ** 2 * ahead.gradient, t, r, condition)
        means.append(float(ahead.reward.mean()))
    looks = len(means)
    return Steered(x, score(reward, x), steps + looks, looks, {"reward": means})


def _noise_share(path: Path, time: float) -> float:
    """The noise's share of a state's deviation, 0 at the end."""
    return 0.0 if time == END else levels(path, time)[1] / deviation(path, time)
