"""Looking ahead: from states, or from noise, to the data that they end in, differentiably."""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow import FlowMap, Path
from geomflow.flow.condition import rows
from geomflow.steer.reward import Look

END = 1.0
"""Clock time of data."""


def from_state(flow_map: FlowMap, t: float, condition: Any = None) -> Look:
    """Return the look-ahead X = psi_{t->1} from states at t: one network call.

    Args:
        flow_map: The map.
        t: Clock time of the states.
        condition: Passed to the network, the rows that belong to the states.
    """
    return lambda x, which: flow_map(x, t, END, rows(condition, which))


def from_noise(flow_map: FlowMap, steps: int, condition: Any = None) -> Look:
    """Return the look-ahead from unit noise in ``steps`` jumps, as ``FlowMap.sample`` makes them.

    Args:
        flow_map: The map.
        steps: Number of jumps.
        condition: Passed to the network, the rows that belong to the noise.
    """
    return lambda noise, which: chain(flow_map, noise, steps, rows(condition, which))


def chain(
    flow_map: FlowMap, noise: Float[Tensor, " batch *shape"], steps: int, condition: Any = None
) -> Float[Tensor, " batch *shape"]:
    """Return the data that noise ends in after ``steps`` jumps, differentiably.

    Args:
        flow_map: The map.
        noise: Unit noise, one per sample.
        steps: Number of jumps.
        condition: Passed to the network.

    Raises:
        ValueError: ``steps`` under 1.
    """
    x = flow_map.formulation.start(noise)
    for t, r in pairwise(flow_map.formulation.jump_grid(steps).tolist()):
        x = flow_map(x, t, r, condition)
    return x


def levels(path: Path, time: float) -> tuple[float, float]:
    """Return signal and sigma of a path at a time.

    Args:
        path: The path.
        time: Clock time.
    """
    t = torch.tensor(time, dtype=torch.float64)
    return float(path.signal(t)), float(path.sigma(t))


def deviation(path: Path, time: float) -> float:
    """Return the standard deviation of a state whose data have unit variance.

    Args:
        path: The path.
        time: Clock time.
    """
    signal, sigma = levels(path, time)
    return (signal**2 + sigma**2) ** 0.5
