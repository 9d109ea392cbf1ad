"""Eulerian objective: the field equation m = m_t + H D m, with the derivative along the flow.

A jump from t does not change its landing when x moves along the flow and t with it. Known as the field equation
(cumulative flow maps, arXiv 2605.03623), as MeanFlow for velocities (2505.13447), with the network's own velocity as
tangent as improved MeanFlow (2512.02012), and as Eulerian self-distillation (2505.18825). One forward-mode product per
step. ``_identities.py`` derives the target; the default one keeps its noise bounded for jumps to clean data.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from geomflow.flow.choice import check_choice
from geomflow.flow.derivative import Derivative
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._identities import eulerian_regression

Target = Literal["velocity", "paper"]
Tangent = Literal["conditional", "predicted"]


@dataclass(frozen=True)
class Eulerian:
    """Regression of a jump's field on the field equation.

    Attributes:
        target: ``velocity``, the residual measured as a velocity; or ``paper``, the printed equation.
        tangent: velocity to differentiate along: that of the pair of data and noise, or the one ``target_map`` predicts
            (one more network call, less noise).
        derivative: ``jvp``, or ``difference`` for networks without forward mode.
        cap: largest |H| of the printed target, which has no bound where a data prediction jumps to clean data.
    """

    target: Target = "velocity"
    tangent: Tangent = "conditional"
    derivative: Derivative = "jvp"
    cap: float = 10.0

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choice("target", self.target, Target)
        check_choice("tangent", self.tangent, Tangent)
        if not self.cap > 0:
            raise ValueError(f"cap must be positive, given {self.cap}")
        check_choice("derivative", self.derivative, Derivative)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """m(x_t, t, r) against the field equation with the pair's own instantaneous prediction."""
        formulation, t = flow_map.formulation, batch.t
        x = formulation.x_t(batch.data, batch.noise, t)
        instant = formulation.instantaneous_target(batch.data, batch.noise, t)
        if self.tangent == "predicted":
            with torch.no_grad():
                velocity = target_map.velocity(x, t, batch.condition)
        else:
            velocity = replace(formulation, predicts="velocity").instantaneous_target(batch.data, batch.noise, t)
        printed_cap = self.cap if self.target == "paper" else None
        return eulerian_regression(flow_map, x, batch, instant, velocity, printed_cap, self.derivative)


def make(
    target: Target = "velocity",
    tangent: Tangent = "conditional",
    derivative: Derivative = "jvp",
    cap: float = 10.0,
) -> Objective:
    """The Eulerian objective.

    Args:
        target: ``velocity`` or ``paper``.
        tangent: ``conditional`` or ``predicted``.
        derivative: ``jvp`` or ``difference``.
        cap: largest |H| of the printed target.

    Raises:
        ValueError: another value of one of them.
    """
    return Eulerian(target, tangent, derivative, cap)
