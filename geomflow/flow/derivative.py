"""Derivatives of a cumulative field along its three arguments: one forward-mode product, or a central difference.

Both objectives with derivatives need one directional derivative: along the flow, D m = (d_t + v . d_x) m with r fixed
(Eulerian), and in the time of arrival, d_r m (Lagrangian). `torch.func.jvp` gives it exactly for the price of a second
forward pass; a central difference costs two more network calls, is accurate to about 3e-5 in float32, and works
through any network.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import per_sample

Derivative = Literal["jvp", "difference"]
STEP = 5e-3
"""Clock time of a central difference: the error of order STEP^2 meets float32's rounding, about 1e-7 / STEP."""

Field = Float[Tensor, " batch *shape"]


def along_flow(
    flow_map: FlowMap,
    x: Field,
    t: Float[Tensor, " batch"],
    r: Float[Tensor, " batch"],
    velocity: Field,
    condition: Any = None,
    method: Derivative = "jvp",
) -> tuple[Field, Field]:
    """m(x, t, r) and its derivative D m along (velocity, 1, 0), which carries no gradient.

    Args:
        flow_map: whose cumulative field it is.
        x: states.
        t: times of departure.
        r: times of arrival.
        velocity: direction in which x moves with t.
        condition: passed to the network.
        method: forward mode, or central differences.

    Raises:
        ValueError: the network cannot be differentiated in forward mode; the message says what to switch to.
    """

    def field(x: Field, t: Tensor) -> Field:
        return flow_map.cumulative_field(x, t, r, condition)

    with torch.no_grad():
        if method == "jvp":
            slope = _jvp(field, (x, t), (velocity, torch.ones_like(t)))[1]
        else:
            before, after = (t - STEP).clamp(min=0), (t + STEP).clamp(max=1)
            ends = [field(x + per_sample(time - t, x) * velocity, time) for time in (before, after)]
            slope = (ends[1] - ends[0]) / per_sample(after - before, x)
    return field(x, t), slope


def along_arrival(
    flow_map: FlowMap,
    x: Field,
    t: Float[Tensor, " batch"],
    r: Float[Tensor, " batch"],
    condition: Any = None,
    method: Derivative = "jvp",
) -> tuple[Field, Field]:
    """m(x, t, r) and its derivative d_r m, along (0, 0, 1); gradients flow through both.

    Args:
        flow_map: whose cumulative field it is.
        x: states.
        t: times of departure.
        r: times of arrival.
        condition: passed to the network.
        method: forward mode, or central differences.

    Raises:
        ValueError: the network cannot be differentiated in forward mode; the message says what to switch to.
    """

    def field(r: Tensor) -> Field:
        return flow_map.cumulative_field(x, t, r, condition)

    if method == "jvp":
        return _jvp(field, (r,), (torch.ones_like(r),))
    before, after = (r - STEP).clamp(min=0), (r + STEP).clamp(max=1)
    return field(r), (field(after) - field(before)) / per_sample(after - before, x)


def _jvp(function: Any, primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> tuple[Field, Field]:
    """Value and directional derivative, in full precision: low precision ruins the derivative, not the value.

    Fused attention has no forward-mode derivative, so torch is asked for the kernel that has one.
    """
    try:
        with torch.autocast(primals[0].device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            found = torch.func.jvp(function, tuple(primal.contiguous() for primal in primals), tangents)
    except (NotImplementedError, RuntimeError) as error:
        if not _is_forward_mode_gap(error):
            raise
        raise ValueError(
            "the network uses an operation without forward-mode derivative, which derivative='jvp' needs: "
            f"{str(error).splitlines()[0]} -- choose derivative='difference', or the objective 'semigroup', which "
            "needs no derivative"
        ) from error
    return found[0], found[1]


def _is_forward_mode_gap(error: Exception) -> bool:
    """Whether an error of torch says that forward mode is not implemented, not something else."""
    text = str(error)
    return any(phrase in text for phrase in ("forward AD", "forward-mode", "forward mode", "jvp", "JVP"))
