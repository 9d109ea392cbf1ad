"""Lagrangian objective: where a jump lands moves, with its time of arrival, at the velocity of the place it lands at.

d_r psi_{t->r}(x) = v_r(psi_{t->r}(x)), in terms of the field m + (P / p(r)) d_r m = m_r(psi). The derivative is by time
alone, so there is no spatial Jacobian, and the right-hand side is the instantaneous field, held constant. Known as
Lagrangian self-distillation (arXiv 2505.18825) and terminal velocity matching (2511.19797).
"""

from dataclasses import dataclass

import torch

from geomflow.flow.choice import check_choice
from geomflow.flow.derivative import Derivative
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._identities import Field, lagrangian_regression


@dataclass(frozen=True)
class Lagrangian:
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
        """The landing's velocity against the field of ``target_map`` there, both in units of the prediction."""

        def at_arrival(landing: Field) -> Field:
            return target_map.instantaneous_field(landing, batch.r, batch.condition)

        x = flow_map.formulation.x_t(batch.data, batch.noise, batch.t)
        return lagrangian_regression(flow_map, x, batch, at_arrival, self.derivative)


def make(derivative: Derivative = "jvp") -> Objective:
    """The Lagrangian objective.

    Args:
        derivative: ``jvp`` or ``difference``.

    Raises:
        ValueError: another derivative.
    """
    return Lagrangian(derivative)
