"""Eulerian objective on manifolds: the landing stays where it is while x moves along the flow and t with it.

The derivative of the landing is carried there by the differential of exp, from the field's and from the state's.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from geomflow.flow.choice import check_choice
from geomflow.flow.derivative import Derivative
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._geodesic import eulerian_regression, geodesic

Tangent = Literal["conditional", "predicted"]


@dataclass(frozen=True)
class GeodesicEulerian:
    """Regression of a jump's field on what keeps its landing in place.

    Attributes:
        tangent: velocity to differentiate along: that of the pair of data and noise, or the one ``target_map`` predicts
            (one more network call, less noise).
        derivative: ``jvp`` or ``difference``; the latter leaves the manifold by the square of its step.
    """

    tangent: Tangent = "conditional"
    derivative: Derivative = "jvp"

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choice("tangent", self.tangent, Tangent)
        check_choice("derivative", self.derivative, Derivative)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The velocity at which a jump arrives against that without the landing's motion."""
        formulation, t = geodesic(flow_map), batch.t
        x = formulation.x_t(batch.data, batch.noise, t)
        with torch.no_grad():
            if self.tangent == "predicted":
                velocity = target_map.velocity(x, t, batch.condition)
            else:
                velocity = formulation.velocity(formulation.instantaneous_target(batch.data, batch.noise, t), x, t)
        return eulerian_regression(flow_map, x, batch, velocity, self.derivative)


def make(tangent: Tangent = "conditional", derivative: Derivative = "jvp") -> Objective:
    """The Eulerian objective on manifolds.

    Args:
        tangent: ``conditional`` or ``predicted``.
        derivative: ``jvp`` or ``difference``.

    Raises:
        ValueError: another value of one of them.
    """
    return GeodesicEulerian(tangent, derivative)
