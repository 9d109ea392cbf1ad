"""The identities of a cumulative field as regressions, whatever makes the instantaneous predictions in them.

With psi = P m + Q x, velocity v = p m_t + q x and D = d_t + v . d_x (r fixed), psi is the flow map if and only if

    Eulerian      D psi = 0                  m = m_t + H D m,   H = P / (p Q)
    Lagrangian    d_r psi = v_r(psi)         m = m_r(psi) - (P / p(r)) d_r m
    semigroup     psi = psi_{s->r} psi_{t->s}   m = (1 - lam) m(x, t, s) + lam m(psi_{t->s}(x), s, r)

since d_t P = -p Q, d_t Q = -q Q, d_r P = p(r) + q(r) P and d_r Q = q(r) Q.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.derivative import Derivative, along_arrival, along_flow
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import Formulation, per_sample
from geomflow.flow.objective import FlowBatch, Regression

Field = Float[Tensor, " batch *shape"]


def eulerian_regression(
    flow_map: FlowMap,
    x: Field,
    batch: FlowBatch,
    instant: Field,
    velocity: Field,
    printed_cap: float | None = None,
    derivative: Derivative = "jvp",
) -> Regression:
    """m(x, t, r) against the field equation's right-hand side, held constant.

    The printed target is instant + H D m. Its noise grows with H, without bound for jumps to clean data. The default is
    that target relaxed towards m by min(1, Q), so that the residual is D psi / p(t), the error of a velocity,

        m + min(1, Q) (instant - m) + P / (p max(1, Q)) D m:

    for a velocity, where Q = 1, MeanFlow's target; for data predictions a target with bounded coefficients; for noise
    predictions, where Q > 1 and H is bounded, the printed one. All have the same fixed point.

    Args:
        flow_map: what is trained.
        x: states at t.
        batch: the jumps.
        instant: instantaneous prediction at (x, t): of the pair, or a teacher's.
        velocity: dx/dt at (x, t) to differentiate along.
        printed_cap: largest |H| of the printed target; None for the default one.
        derivative: ``jvp`` or ``difference``.
    """
    field, slope = along_flow(flow_map, x, batch.t, batch.r, velocity, batch.condition, derivative)
    formulation, constant = flow_map.formulation, field.detach()
    if printed_cap is not None:
        height = formulation.field_gain(batch.t, batch.r).nan_to_num(nan=0.0).clamp(-printed_cap, printed_cap)
        return Regression(field, instant + per_sample(height, x) * slope)
    relaxation = formulation.coefficients(batch.t, batch.r)[1].clamp(max=1)
    height = eulerian_height(formulation, batch.t, batch.r)
    return Regression(field, torch.lerp(constant, instant, per_sample(relaxation, x)) + per_sample(height, x) * slope)


def lagrangian_regression(
    flow_map: FlowMap,
    x: Field,
    batch: FlowBatch,
    at_arrival: Callable[[Field], Field],
    derivative: Derivative = "jvp",
) -> Regression:
    """The landing's rate, m + (P / p(r)) d_r m, against the instantaneous prediction at the landing, held constant.

    Where Q > 1 (noise predictions) P / p(r) grows with Q, and the error is weighed with 1 / Q^2.

    Args:
        flow_map: what is trained; gradients flow through m and d_r m, neither of which needs a derivative by x.
        x: states at t.
        batch: the jumps.
        at_arrival: instantaneous prediction at (psi, r).
        derivative: ``jvp`` or ``difference``.
    """
    field, slope = along_arrival(flow_map, x, batch.t, batch.r, batch.condition, derivative)
    formulation = flow_map.formulation
    with torch.no_grad():
        target = at_arrival(formulation.jump(field, x, batch.t, batch.r))
    gain, kept = formulation.coefficients(batch.t, batch.r)
    height = gain / formulation.rates(batch.r)[0]
    weight = formulation.preconditioner.weight(batch.t) / kept.clamp(min=1) ** 2
    return Regression(field + per_sample(height, x) * slope, target, weight)


def conditional_regression(
    flow_map: FlowMap, target_map: FlowMap, batch: FlowBatch, s: Float[Tensor, " batch"]
) -> Regression:
    """The semigroup with its first part along the pair's own line: a discrete Eulerian step from t to s.

    On the line from data to noise the instantaneous prediction m_c is constant, so the first part ends at x_s and

        m(x_t, t, r) = (1 - lam) m_c + lam m(x_s, s, r)

    in the mean, up to first order in s - t. The error is weighed up so that its gradient is, to that order, the
    Eulerian regression's: by P / (p max(1, Q)) / (s - t), which is (r - t) / (s - t) on the straight line.
    """
    formulation, t, r = flow_map.formulation, batch.t, batch.r
    x = formulation.x_t(batch.data, batch.noise, t)
    instant = formulation.instantaneous_target(batch.data, batch.noise, t)
    with torch.no_grad():
        beyond = formulation.jump(instant, x, t, s)
        second = target_map.cumulative_field(beyond, s, r, batch.condition)
    lam = formulation.lam(t, s, r)
    target = torch.lerp(instant, second, per_sample(lam, x))
    gain = torch.where(s > t, eulerian_height(formulation, t, r) / (s - t), 1).clamp(min=1)
    prediction = flow_map.cumulative_field(x, t, r, batch.condition)
    return Regression(prediction, target, gain * formulation.preconditioner.weight(t))


def eulerian_height(
    formulation: Formulation, t: Float[Tensor, " batch"], r: Float[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """P / (p max(1, Q)): the bounded factor of D m in the Eulerian target."""
    gain, kept = formulation.coefficients(t, r)
    return gain / (formulation.rates(t)[0] * kept.clamp(min=1))


def semigroup_regression(
    flow_map: FlowMap,
    target_map: FlowMap,
    batch: FlowBatch,
    s: Float[Tensor, " batch"],
    instants: Tensor | None = None,
) -> Regression:
    """m(x_t, t, r) against the average of the jumps t -> s -> r, held constant.

    Args:
        flow_map: what is trained.
        target_map: makes both jumps.
        batch: the jumps.
        s: where they are broken.
        instants: rows whose jumps hold the instantaneous field instead (Euler steps); none by default.
    """
    formulation, t, r, condition = flow_map.formulation, batch.t, batch.r, batch.condition
    x = formulation.x_t(batch.data, batch.noise, t)
    first_to, second_to = (s, r) if instants is None else (torch.where(instants, t, s), torch.where(instants, s, r))
    with torch.no_grad():
        first = target_map.cumulative_field(x, t, first_to, condition)
        between = formulation.jump(first, x, t, s)
        second = target_map.cumulative_field(between, s, second_to, condition)
    lam = per_sample(formulation.lam(t, s, r), x)
    prediction = flow_map.cumulative_field(x, t, r, condition)
    return Regression(prediction, (1 - lam) * first + lam * second, formulation.preconditioner.weight(t))


def dyadic(batch: FlowBatch, span: Float[Tensor, " batch"]) -> FlowBatch:
    """The batch with each [t, r] replaced by the interval [j, j + 1] span that holds t; spans are powers of two."""
    t = ((batch.t / span).floor() * span).clamp(max=1 - span)
    return batch.moved(t, t + span)
