"""The velocity of a flow map as solvers of other libraries call it: model(x, t) -> dx/dt, from noise (0) to data (1).

The convention is that of facebookresearch/flow_matching (arXiv 2412.06264): its ODESolver takes a `VelocityModel` as
it is, torchdiffeq a function of (t, x), SciPy one of (t, flat x). The clock is ours as well: no time is turned round.

The state at t = 0 is `start(noise)`, unit noise times sigma(0) of the path (EDM: sigma_max). A prediction may say
nothing of the velocity at an end of the path: a data prediction at clean data, a noise prediction at pure noise, where
the velocity is a ratio of two zeros. `first` and `last` are the times between which it is finite.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow import FlowMap, Formulation
from geomflow.flow.flow_map import ALMOST_CLEAN
from geomflow.pipeline import Pipeline
from geomflow.pipelines._condition import KINDS, told
from geomflow.pipelines._latents import flow_map_of

STEEPEST = 1e6
"""Rates of a formulation beyond this are those of an end where the velocity is not determined."""


class VelocityModel(nn.Module):
    """The instantaneous velocity of a flow map, differentiable, as a model of x and t.

    Attributes:
        flow_map: The flow map.
        condition: What its network is told unless a call says otherwise; one row of it serves every sample.
        first: The earliest time at which the velocity is finite, 0 or 0.001.
        last: The latest such time, 1 or 0.999.
    """

    def __init__(self, flow_map: FlowMap, condition: Any = None) -> None:
        super().__init__()
        self.flow_map, self.condition = flow_map, condition
        self.first, self.last = _finite_between(flow_map.formulation)

    def forward(
        self, x: Float[Tensor, " batch *shape"], t: Float[Tensor, "..."] | float, condition: Any = None
    ) -> Float[Tensor, " batch *shape"]:
        """dx/dt at the states x.

        Args:
            x: States on the path.
            t: Clock time from 0 (noise) to 1 (data), one for all or one per sample. Times before `first` count as
                `first`, those after `last` as `last`; solvers with adaptive steps look beyond the ends.
            condition: What the network is told instead of `self.condition`.

        Raises:
            ValueError: t is neither one number nor one per sample.
        """
        asked = self.condition if condition is None else condition
        time = torch.as_tensor(t, device=x.device).clamp(self.first, self.last)
        return self.flow_map.velocity(x, time, _for_each(asked, len(x)))

    def start(self, noise: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """Return the states at t = 0 of unit Gaussian noise.

        Args:
            noise: Samples of it.
        """
        return self.flow_map.formulation.start(noise)


def velocity_model(source: FlowMap | Pipeline, condition: Any = None) -> VelocityModel:
    """Return the velocity of a flow map, or of a pipeline's, for a solver of another library.

    A pipeline's states are standardised latents: `pipeline.model.scale.restore` makes latents of where they end.

    Args:
        source: A flow map, or a pipeline that has one.
        condition: For a flow map, what its network is told (a tensor or a mapping of such); for a pipeline, what the
            pipeline would be given - the name of a class, points of a surface - or such a mapping.

    Raises:
        TypeError: The source is neither.
        ValueError: A condition that the pipeline's model does not know.
        CheckpointError: The pipeline's model has no flow map.
    """
    if isinstance(source, FlowMap):
        return VelocityModel(source, condition)
    if isinstance(source, Pipeline):
        return VelocityModel(flow_map_of(source.model), _told(source, condition))
    raise TypeError(f"source must be a FlowMap or a Pipeline, given a {type(source).__name__}")


def _finite_between(formulation: Formulation) -> tuple[float, float]:
    """The first and the last time of the clock at which the rates of a formulation are finite."""
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    gain, kept = formulation.rates(ends)
    start, end = ((gain.abs() < STEEPEST) & (kept.abs() < STEEPEST)).tolist()
    return 0.0 if start else 1 - ALMOST_CLEAN, 1.0 if end else ALMOST_CLEAN


def _told(pipeline: Pipeline, condition: Any) -> Any:
    """What the network of a pipeline is told, as one row."""
    if isinstance(condition, Mapping):
        return condition
    kind = pipeline.saved.config.condition
    if kind not in KINDS:
        raise ValueError(f"condition must be a mapping of {kind!r} to a tensor, given a {type(condition).__name__}")
    row = told(condition, pipeline.saved.config).row
    return row and {name: values.to(pipeline.device) for name, values in row.items()}


def _for_each(condition: Any, count: int) -> Any:
    """A condition with a row per sample, where it has one row for all."""
    if isinstance(condition, Mapping):
        return {name: _for_each(values, count) for name, values in condition.items()}
    return (
        condition.expand(count, *condition.shape[1:])
        if isinstance(condition, Tensor) and len(condition) == 1
        else condition
    )
