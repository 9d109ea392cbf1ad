"""Images and latents completed from a part: plug and play where some of the numbers are known."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geomflow.flow import FlowMap
from geomflow.steer.chance import Sources
from geomflow.steer.plug_and_play import plug_and_play


def inpaint(
    flow_map: FlowMap,
    data: Float[Tensor, " batch *shape"],
    known: Bool[Tensor, " batch *mask"],
    noise: Float[Tensor, " batch *shape"],
    steps: int = 16,
    condition: Any = None,
    generator: Sources = None,
) -> Float[Tensor, " batch *shape"]:
    """Return data that equal given ones where these are known, and are the map's own elsewhere.

    Args:
        flow_map: The map.
        data: What is known; what is not may be anything finite.
        known: Where it is known, of a shape that expands to that of the data.
        noise: Where the loop starts.
        steps: Rounds, one network call each, over the map's grid of jumps.
        condition: Passed to the network.
        generator: Source of the fresh noise, or one for each row; torch's own if None.

    Raises:
        ValueError: `steps` under 1, or several generators, but not as many as rows.
    """

    def correct(seen: Tensor) -> Tensor:
        return torch.where(known, data, seen)

    return plug_and_play(flow_map, correct, noise, steps, condition, generator)
