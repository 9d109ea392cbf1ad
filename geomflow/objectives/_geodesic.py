"""The three laws of a flow map without linear jumps, for states on a manifold (generalised flow maps, 2510.21608).

The jump psi_{t->r}(x) = exp_x((kappa_r - kappa_t) m) is the flow map if and only if

    semigroup     psi_{t->r}(x) = psi_{s->r}(psi_{t->s}(x))      compared at x, by log_x
    Lagrangian    d_r psi = v_r(psi)                             compared at the landing
    Eulerian      D psi = 0,  D = d_t + v . d_x  (r fixed)       compared at the landing

Each compares two tangent vectors at one point, so that plain differences are lengths on the manifold. Derivatives of
psi are those of the network, taken as everywhere else, carried through exp by a second product without network: what
differs from flat space is the differential of exp.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.derivative import Derivative, along_arrival, along_flow
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import per_sample
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.objective import FlowBatch, Regression
from geomflow.objectives import _identities

Field = Float[Tensor, " batch *shape"]


def semigroup_regression(
    flow_map: FlowMap, target_map: FlowMap, batch: FlowBatch, s: Float[Tensor, " batch"]
) -> Regression:
    """m(x_t, t, r) against the field that leads straight to where the jumps t -> s -> r land, held constant.

    Where jumps are linear that field is an average, and computed as one.
    """
    formulation: Any = flow_map.formulation
    if formulation.linear:
        return _identities.semigroup_regression(flow_map, target_map, batch, s)
    t, r, condition = batch.t, batch.r, batch.condition
    x = formulation.x_t(batch.data, batch.noise, t)
    with torch.no_grad():
        first = target_map.cumulative_field(x, t, s, condition)
        landing = target_map(formulation.jump(first, x, t, s), s, r, condition)
        target = formulation.field(landing, x, t, r, instant=first)
    return Regression(flow_map.cumulative_field(x, t, r, condition), target)


def lagrangian_regression(
    flow_map: FlowMap, target_map: FlowMap, batch: FlowBatch, derivative: Derivative
) -> Regression:
    """The landing's rate by r against the velocity there, held constant; both dx / d kappa."""
    formulation, t, r, condition = geodesic(flow_map), batch.t, batch.r, batch.condition
    x = formulation.x_t(batch.data, batch.noise, t)
    m, slope = along_arrival(flow_map, x, t, r, condition, derivative)
    tangents = slope, torch.ones_like(r)
    landing, rate = torch.func.jvp(lambda m, r: formulation.jump(m, x, t, r), (m, r), tangents)[:2]
    with torch.no_grad():
        target = target_map.instantaneous_field(landing, r, condition)
    return Regression(rate / per_sample(formulation.pace(r), x), target)


def eulerian_regression(
    flow_map: FlowMap, x: Field, batch: FlowBatch, velocity: Field, derivative: Derivative
) -> Regression:
    """The velocity B m with which a jump's geodesic arrives, against B m + D psi, in which only B m is trained.

    B is the differential of exp at the jump. D psi holds -B m, so the target does not: in flat space, where B = 1, it
    is MeanFlow's v + (r - t) D m.

    Args:
        flow_map: what is trained.
        x: states at t.
        batch: the jumps.
        velocity: dx/dt at (x, t) to differentiate along.
        derivative: ``jvp`` or ``difference``.
    """
    formulation, t, r = geodesic(flow_map), batch.t, batch.r
    m, slope = along_flow(flow_map, x, t, r, velocity, batch.condition, derivative)
    constant = m.detach()
    with torch.no_grad():
        primals, tangents = (constant, x, t), (slope, velocity, torch.ones_like(t))
        drift = torch.func.jvp(lambda m, x, t: formulation.jump(m, x, t, r), primals, tangents)[1]
    span = per_sample(formulation.progress(r) - formulation.progress(t), x)
    arriving = torch.func.jvp(lambda v: formulation.manifold.exp(x, v), (span * constant,), (m,))[1]
    return Regression(arriving, arriving.detach() + drift / per_sample(formulation.pace(t), x))


def geodesic(flow_map: FlowMap) -> Geodesic:
    """The flow map's formulation, if its states lie on one manifold.

    Raises:
        TypeError: they do not.
    """
    formulation: Any = flow_map.formulation
    if not isinstance(formulation, Geodesic):
        raise TypeError(f"formulation must be Geodesic for this objective, given {type(formulation).__name__}")
    return formulation
