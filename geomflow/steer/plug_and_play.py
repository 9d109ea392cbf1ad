"""Plug and play: each look-ahead is corrected by what is known, and fresh noise takes it to the next time.

From a state at t the map looks ahead to clean data, ``correct`` puts in what is known, and noise of level r is added
(arXiv 2605.03623, section on inverse problems). What is known may be pixels (``inpaint``), or anything with a reward:
distances at some points, a partial scan (``uphill``). Data that are there already are edited by beginning later than at
noise.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow import FlowMap
from geomflow.flow.formulation import per_sample
from geomflow.flow.sampler import on_clock
from geomflow.steer.chance import Sources, normal_rows
from geomflow.steer.look_ahead import END
from geomflow.steer.reward import Reward, score_and_gradient

Correction = Callable[[Tensor], Tensor]
"""Clean data as the map sees them, to data that agree better with what is known."""


@torch.no_grad()
def plug_and_play(
    flow_map: FlowMap,
    correct: Correction,
    noise: Float[Tensor, " batch *shape"],
    steps: int = 16,
    condition: Any = None,
    generator: Sources = None,
    given: Float[Tensor, " batch *shape"] | None = None,
    begin: float = 0.0,
) -> Float[Tensor, " batch *shape"]:
    """Return data that agree with what is known, as far as ``correct`` makes them, and are the map's own otherwise.

    Args:
        flow_map: The map.
        correct: Puts what is known into clean data; its result is what is returned in the end.
        noise: Where the loop starts.
        steps: Rounds from noise, one network call each, over the map's grid of jumps.
        condition: Passed to the network.
        generator: Source of the fresh noise, or one for each row; torch's own if None.
        given: Data to edit, instead of making new ones.
        begin: Clock time at which they are taken up, with as much noise as there is at it: the later, the more stays.

    Raises:
        ValueError: ``steps`` under 1, ``begin`` outside [0, 1), or other than 0 without data; or several generators,
            but not as many as rows.
    """
    if not 0 <= begin < END or (begin and given is None):
        raise ValueError(f"begin must lie in [0, 1), and be 0 unless data are given, it is {begin}")
    formulation = flow_map.formulation
    grid = [begin, *(time for time in formulation.jump_grid(steps).tolist() if time > begin)]
    x = formulation.start(noise) if given is None else formulation.x_t(given, noise, on_clock(begin, noise, "begin"))
    for t, r in pairwise(grid):
        seen = correct(flow_map(x, t, END, condition))
        if r == grid[-1]:
            return seen
        x = formulation.x_t(seen, normal_rows(x, generator), on_clock(r, x, "r"))
    return x


def uphill(reward: Reward, length: float, rounds: int = 1) -> Correction:
    """Return a correction that moves data along the gradient of a reward.

    Args:
        reward: Differentiable, such as minus how far data are from what is known.
        length: Of the moves of a sample together, as a root-mean-square change of its numbers.
        rounds: Moves.

    Raises:
        ValueError: ``rounds`` under 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, given {rounds}")

    def correct(data: Tensor) -> Tensor:
        for _ in range(rounds):
            gradient = score_and_gradient(reward, lambda part, _: part * 1, data).gradient
            size = gradient.flatten(1).square().mean(1).sqrt().clamp(min=1e-12)
            data = data + per_sample(length / rounds / size, data) * gradient
        return data

    return correct
