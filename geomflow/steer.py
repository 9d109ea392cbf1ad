"""What a flow map makes, steered by what is known of it: images and latents completed from a part.

The plug-and-play loop (arXiv 2605.03623, section on inverse problems): from a state x at t the map looks ahead to clean
data; where data are known they take the place of what it saw; fresh noise brings the result to the next time.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geomflow.flow import FlowMap
from geomflow.flow.random import normal


@torch.no_grad()
def inpaint(
    flow_map: FlowMap,
    data: Float[Tensor, " batch *shape"],
    known: Bool[Tensor, " batch *mask"],
    noise: Float[Tensor, " batch *shape"],
    steps: int = 16,
    condition: Any = None,
    generators: Sequence[torch.Generator] | None = None,
) -> Float[Tensor, " batch *shape"]:
    """Return data that equal given ones where these are known, and are the map's own elsewhere.

    Args:
        flow_map: The map.
        data: What is known; what is not may be anything finite.
        known: Where it is known, of a shape that expands to that of the data.
        noise: Where the loop starts.
        steps: Rounds, one network call each, over the map's grid of jumps.
        condition: Passed to the network.
        generators: Sources of the fresh noise, one for each row; torch's own if None.

    Raises:
        ValueError: `steps` under 1.
    """
    path, grid = flow_map.formulation.path, flow_map.formulation.jump_grid(steps).tolist()
    x = flow_map.formulation.start(noise)
    for t, r in pairwise(grid):
        seen = torch.where(known, data, flow_map(x, t, 1.0, condition))
        if r == grid[-1]:
            return seen
        time = torch.tensor(r, dtype=x.dtype, device=x.device)
        x = path.signal(time) * seen + path.sigma(time) * _fresh(x, generators)
    return x


def _fresh(x: Tensor, generators: Sequence[torch.Generator] | None) -> Tensor:
    """Normal noise like x, every row from a source of its own."""
    if generators is None:
        return torch.randn_like(x)
    return torch.stack([normal(x.shape[1:], generator, x.dtype, x.device) for generator in generators])
