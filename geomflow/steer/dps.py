"""Diffusion posterior sampling: the baseline, which knows the instantaneous denoiser alone.

The gradient of the reward of the denoised estimate D(x) = E[data | x_t = x] stands for the score that the reward adds
(arXiv 2209.14687, equation 16). Adding it to the score of an ODE step from t to r moves the landing by

    strength b_t (a_r b_t / a_t - b_r) grad_x R(D(x)),

on any path a data + b noise. For normal data and a linear reward this is exact in the limit of many steps.

Where the signal a is 0 the gradient is 0 as well and only their ratio counts, so a path that starts there is entered a
little later. Of the way that the exact law goes, its start's a / sqrt(a^2 + b^2) is left out on every path.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow import FlowMap, Formulation, Path
from geomflow.flow.condition import rows
from geomflow.flow.sampler import on_clock
from geomflow.steer.look_ahead import levels
from geomflow.steer.reward import Look, Reward, score, score_and_gradient
from geomflow.steer.steered import Steered

NOISIEST = 100.0
"""Ratio sigma / signal from which on a state counts as pure noise: the error of a network in its first gradient grows
that many times, and a hundredth of the way is left out."""


@torch.no_grad()
def dps(
    flow_map: FlowMap,
    reward: Reward,
    noise: Float[Tensor, " batch *shape"],
    steps: int = 32,
    strength: float = 1.0,
    condition: Any = None,
) -> Steered:
    """Return data from noise by Euler steps of the ODE (DDIM's) with the reward's gradient in the score; deterministic.

    Args:
        flow_map: The map, of which only the instantaneous field is asked.
        reward: What is to be high, differentiable.
        noise: Unit noise.
        steps: Steps over the formulation's grid, each one network call with a gradient; those in pure noise are saved.
        strength: Nats per unit of the reward.
        condition: Passed to the network.

    Raises:
        ValueError: ``steps`` under 1.
        RewardError: The reward is no finite number per sample, or has no gradient.
    """
    formulation, means = replace(flow_map.formulation, predicts="data"), []
    x = formulation.start(noise)
    for t, r in pairwise(_times(formulation, steps)):
        ahead = score_and_gradient(reward, _denoised(flow_map, t, condition), x)
        landing = formulation.jump(ahead.data, x, on_clock(t, x, "t"), on_clock(r, x, "r"))
        x = landing + strength * _gain(formulation.path, t, r) * ahead.gradient
        means.append(float(ahead.reward.mean()))
    return Steered(x, score(reward, x), len(means), len(means), {"reward": means})


def _times(formulation: Formulation, steps: int) -> list[float]:
    """The grid of the formulation from where states have some signal; steps that end before are none."""
    grid = formulation.grid(steps)
    return grid.maximum(formulation.path.time(grid.new_tensor(NOISIEST))).unique().tolist()


def _denoised(flow_map: FlowMap, t: float, condition: Any) -> Look:
    """The denoised estimate of states, E[data | x]."""

    def estimate(x: Tensor, which: slice) -> Tensor:
        field = flow_map.instantaneous_field(x, t, rows(condition, which))
        return flow_map.formulation.convert(field, x, on_clock(t, x, "t"), "data")

    return estimate


def _gain(path: Path, t: float, r: float) -> float:
    """By how much an ODE step from t to r moves with the score at t."""
    (a, b), (c, d) = levels(path, t), levels(path, r)
    return b * (c * b / a - d)
