"""Distillation objective: the flow map of a frozen teacher's ODE.

The identities of the self-trained objectives with the instantaneous field of a teacher, which has no noise and does not
move: Lagrangian and Eulerian map distillation (flow map matching, arXiv 2406.07507) and the direct regression on the
teacher's own solution. A teacher is a flow map (its instantaneous field is used, whatever it predicts) or any velocity.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from geomflow.flow.choice import check_choice
from geomflow.flow.derivative import Derivative
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import Formulation, checked_steps
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._identities import Field, eulerian_regression, lagrangian_regression

Kind = Literal["lagrangian", "eulerian", "direct"]
Velocity = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Distillation:
    """Regression on a teacher.

    Attributes:
        teacher: a flow map on the student's path, or an unconditional velocity (x, t) -> dx/dt on the clock, finite up
            to t = 1 (a flow map's own velocity may not be: give the flow map).
        kind: ``lagrangian``, ``eulerian``, or ``direct``.
        derivative: ``jvp``, or ``difference``; unused by ``direct``.
        steps: Heun steps of the teacher per jump; used by ``direct`` alone.
    """

    teacher: FlowMap | Velocity
    kind: Kind = "lagrangian"
    derivative: Derivative = "jvp"
    steps: int = 8

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choice("kind", self.kind, Kind)
        if not callable(self.teacher):
            raise TypeError(f"teacher must be a FlowMap or a velocity (x, t) -> dx/dt, given {self.teacher!r}")
        checked_steps(self.steps)
        check_choice("derivative", self.derivative, Derivative)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The student's jump against what the teacher says of it."""
        formulation, condition = flow_map.formulation, batch.condition
        teacher = self._teacher(formulation)
        x = formulation.x_t(batch.data, batch.noise, batch.t)

        def field(state: Field, time: Tensor) -> Field:
            own = teacher.instantaneous_field(state, time, condition)
            return teacher.formulation.convert(own, state, time, to=formulation.predicts)

        if self.kind == "lagrangian":
            return lagrangian_regression(flow_map, x, batch, lambda end: field(end, batch.r), self.derivative)
        with torch.no_grad():
            if self.kind == "eulerian":
                instant, velocity = field(x, batch.t), teacher.velocity(x, batch.t, condition)
            else:
                landing = teacher.integrate(x, batch.t, batch.r, self.steps, condition=condition)
        if self.kind == "eulerian":
            return eulerian_regression(flow_map, x, batch, instant, velocity, derivative=self.derivative)
        target = formulation.field(landing, x, batch.t, batch.r)
        return Regression(flow_map.cumulative_field(x, batch.t, batch.r, condition), target)

    def _teacher(self, formulation: Formulation) -> FlowMap:
        """The teacher as a flow map on the student's path."""
        if not isinstance(self.teacher, FlowMap):
            return FlowMap(_Velocity(self.teacher), Formulation(formulation.path, "velocity"))
        theirs = self.teacher.formulation
        if theirs.path != formulation.path:
            raise ValueError(f"teacher and student must share a path, given {theirs.path} and {formulation.path}")
        if theirs.predicts == "data" != formulation.predicts and theirs.ends_clean:
            raise ValueError(
                f"a teacher that predicts data determines no {formulation.predicts} at clean data, where this path "
                "ends; the student must predict data too"
            )
        return self.teacher


@dataclass(frozen=True)
class _Velocity:
    """A velocity as a network that predicts it, for every arrival."""

    velocity: Velocity

    def __call__(self, x: Tensor, t: Tensor, r: Tensor, condition: Any = None) -> Tensor:
        if condition is not None:
            raise ValueError("a velocity (x, t) teaches no conditions; give a FlowMap as teacher")
        return self.velocity(x, t)


def make(
    teacher: FlowMap | Velocity, kind: Kind = "lagrangian", derivative: Derivative = "jvp", steps: int = 8
) -> Objective:
    """The distillation objective.

    Args:
        teacher: a frozen flow map on the student's path, or an unconditional velocity (x, t) -> dx/dt on the clock,
            finite up to t = 1.
        kind: ``lagrangian``, ``eulerian`` or ``direct``.
        derivative: ``jvp`` or ``difference``.
        steps: Heun steps of the teacher per jump, for ``direct``.

    Raises:
        TypeError: a teacher that is neither.
        ValueError: another kind or derivative, or no steps.
    """
    return Distillation(teacher, kind, derivative, steps)
