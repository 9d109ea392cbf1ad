"""Lagrangian objective on manifolds: where a jump lands moves, with its time of arrival, at the velocity there.

Both sides are tangent at the landing; the rate of the landing is carried there by the differential of exp.
"""

from dataclasses import dataclass

import torch

from geomflow.flow.choice import check_choice
from geomflow.flow.derivative import Derivative
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._geodesic import lagrangian_regression


@dataclass(frozen=True)
class GeodesicLagrangian:
    """Regression of a landing's velocity on the velocity there.

    Attributes:
        derivative: ``jvp``, or ``difference`` for networks without forward mode.
    """

    derivative: Derivative = "jvp"

    def __post_init__(self) -> None:
        """Checks the option."""
        check_choice("derivative", self.derivative, Derivative)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The landing's velocity against the field of ``target_map`` there."""
        return lagrangian_regression(flow_map, target_map, batch, self.derivative)


def make(derivative: Derivative = "jvp") -> Objective:
    """The Lagrangian objective on manifolds.

    Args:
        derivative: ``jvp`` or ``difference``.

    Raises:
        ValueError: another derivative.
    """
    return GeodesicLagrangian(derivative)
