"""A formulation: path, what the network predicts, preconditioner. Data, not code.

**The cumulative field.** On a path x_t = a(t) data + b(t) noise the probability-flow ODE moves x with the velocity
v = a' E[data | x_t = x] + b' E[noise | x_t = x]. A network that predicts data, noise or velocity at an instant, m_t(x),
enters it linearly: v = p(t) m_t + q(t) x. Let psi_{t->r} be the ODE's flow map. Its cumulative field m(x, t, r) is
defined by

    psi_{t->r}(x) = P(t, r) m(x, t, r) + Q(t, r) x,        m(x, t, t) = m_t(x),

where P, Q solve x' = p m + q x exactly for constant m (cumulative flow maps, arXiv 2605.03623).

**One formula for every prediction.** While m is constant the solutions are the lines x = d(t) m + k(t) w, where w
is a constant of integration and (d, k) are the path's own coefficients:

    predicts     d    k    w
    data         a    b    the noise
    noise        b    a    the data
    velocity     t    1    x at t = 0

Eliminating w between t and r, and differentiating at r = t, gives

    P(t, r) = (d_r k_t - d_t k_r) / k_t,     Q(t, r) = k_r / k_t,     p = d' - d k' / k,     q = k' / k.

u-prediction: P = r - t, Q = 1 (MeanFlow, arXiv 2505.13447). EDM: P = (sigma_t - sigma_r) / sigma_t and
Q = sigma_r / sigma_t, so a jump with r-independent m is one DDIM step (arXiv 2010.02502).
P and Q are finite on the closed clock wherever k_t > 0; at k_t = 0 (clean data, data prediction on a path that ends
there) only the empty jump exists: P = 0, Q = 1.

**Conversions.** At an instant every prediction is a combination m = alpha data + beta noise; together with
x = a data + b noise it determines both ends, data = (beta x - b m) / (a beta - b alpha) and
noise = (a m - alpha x) / (a beta - b alpha), and so every other prediction.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.choice import check_choice
from geomflow.flow.path import Path
from geomflow.flow.preconditioner import Identity, Preconditioner

Prediction = Literal["data", "noise", "velocity"]
Spacing = Literal["clock", "log_ratio"]
RATIO_LIMIT = 1e3
"""Noise-to-signal ratios beyond it, or below its inverse, count as the limit when a grid is spaced by them."""


@dataclass(frozen=True)
class Formulation:
    """How a network's output becomes a flow map; the module docstring derives the coefficients.

    Notation:
        - t, s, r: times of departure, in between and of arrival, one per sample, in [0, 1].
        - output: what the network returns.
        - m: a cumulative field; at an instant, the prediction.
        - x, landing: states at t and at r.
        - data, noise: clean samples and unit Gaussian noise.
        - z: states over signal, as ``evidence`` makes them.
        - ratio: their sigma / signal, one per sample.
        - to: the prediction that is wanted.
        - steps: how many steps or jumps.

    Attributes:
        path: coefficients of data and noise on the clock.
        predicts: what the network, behind its preconditioner, predicts at an instant; a velocity is dx/dt on the clock.
        preconditioner: scalings around the network.
        spacing: what the steps of ``grid`` are uniform in: the clock, or log(sigma / signal).
        jump_ratios: ratios sigma / signal, the larger first, between which the times of jumps are uniform in their
            logarithm, after a first jump from noise; None: jumps are spaced like the steps of the ODE.
        linear: whether jumps are linear, as they are but on manifolds.
    """

    linear: ClassVar[bool] = True
    path: Path
    predicts: Prediction
    preconditioner: Preconditioner = field(default_factory=Identity)
    spacing: Spacing = "clock"
    jump_ratios: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Refuses unknown predictions and spacings, and ratios that no jumps can be spread between."""
        check_choice("predicts", self.predicts, Prediction)
        check_choice("spacing", self.spacing, Spacing)
        if self.jump_ratios is not None:
            self._check_ratios(self.jump_ratios)

    @property
    def ends_clean(self) -> bool:
        """Whether the path ends at clean data, sigma(1) = 0, from where a data prediction determines no jump."""
        end = torch.ones((), dtype=torch.float64)
        return bool(self.path.sigma(end).abs() < 1e-6 * self.path.signal(end))

    def coefficients(
        self, t: Float[Tensor, "*batch"], r: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """P(t, r) and Q(t, r) of the jump psi = P m + Q x; exactly 0 and 1 at r = t."""
        d_t, k_t = self._lines(t)
        d_r, k_r = self._lines(r)
        gain, kept = (d_r * k_t - d_t * k_r) / k_t, k_r / k_t
        return torch.where(t == r, 0, gain), torch.where(t == r, 1, kept)

    def rates(self, t: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """p(t) and q(t) of the velocity v = p m + q x: the rates of P and Q by r at r = t."""
        d, k = self._lines(t)
        d_rate, k_rate = self._line_rates(t)
        return d_rate - d * k_rate / k, k_rate / k

    def field_gain(self, t: Float[Tensor, "*batch"], r: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """H(t, r) = P / (p(t) Q) of the field equation m = m_t + H (d_t + v . d_x) m."""
        gain, kept = self.coefficients(t, r)
        return gain / (self.rates(t)[0] * kept)

    def lam(
        self, t: Float[Tensor, "*batch"], s: Float[Tensor, "*batch"], r: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """P(s, r) / P(t, r) in [0, 1]: the second part's share of a jump t -> r broken at s (0 for an empty jump)."""
        second, whole = self.coefficients(s, r)[0], self.coefficients(t, r)[0]
        return torch.where(whole == 0, 0, second / whole).clamp(0, 1)

    def jump(
        self,
        m: Float[Tensor, " batch *shape"],
        x: Float[Tensor, " batch *shape"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """P m + Q x: where a cumulative field m takes x from t to r."""
        gain, kept = self.coefficients(t, r)
        return per_sample(gain, x) * m + per_sample(kept, x) * x

    def field(
        self,
        landing: Float[Tensor, " batch *shape"],
        x: Float[Tensor, " batch *shape"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """(landing - Q x) / P: the cumulative field of a jump that takes x to ``landing``; the inverse of ``jump``."""
        gain, kept = self.coefficients(t, r)
        return (landing - per_sample(kept, x) * x) / per_sample(gain, x)

    def predicted(
        self, output: Float[Tensor, " batch *shape"], x: Float[Tensor, " batch *shape"], t: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch *shape"]:
        """The cumulative field c_skip x + c_out output that a network's output stands for."""
        scale = self.preconditioner
        return per_sample(scale.c_skip(t), x) * x + per_sample(scale.c_out(t), x) * output

    def velocity(
        self, m: Float[Tensor, " batch *shape"], x: Float[Tensor, " batch *shape"], t: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch *shape"]:
        """The velocity p m + q x = dx/dt on the clock from an instantaneous field m.

        Not finite where m does not determine it: at t = 1 for data predictions if ``ends_clean``.
        """
        p, q = self.rates(t)
        return per_sample(p, x) * m + per_sample(q, x) * x

    def x_t(
        self,
        data: Float[Tensor, " batch *shape"],
        noise: Float[Tensor, " batch *shape"],
        t: Float[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """The state signal(t) data + sigma(t) noise."""
        return per_sample(self.path.signal(t), data) * data + per_sample(self.path.sigma(t), data) * noise

    def instantaneous_target(
        self,
        data: Float[Tensor, " batch *shape"],
        noise: Float[Tensor, " batch *shape"],
        t: Float[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """The conditional prediction whose mean given x_t is m_t: data, noise, or signal' data + sigma' noise."""
        alpha, beta = self._row(t)
        return per_sample(alpha, data) * data + per_sample(beta, data) * noise

    def evidence(
        self,
        data: Float[Tensor, " batch *shape"],
        noise: Float[Tensor, " batch *shape"],
        ratio: Float[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """The state over signal, where sigma / signal is ratio."""
        return data + per_sample(ratio, data) * noise

    def noise_behind(
        self, data: Float[Tensor, " batch *shape"], z: Float[Tensor, " batch *shape"], ratio: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch *shape"]:
        """The noise of ``evidence``."""
        return (z - data) / per_sample(ratio, z)

    def data_and_noise(
        self, m: Float[Tensor, " batch *shape"], x: Float[Tensor, " batch *shape"], t: Float[Tensor, " batch"]
    ) -> tuple[Float[Tensor, " batch *shape"], Float[Tensor, " batch *shape"]]:
        """Both ends of the pair that an instantaneous prediction m at x implies.

        Not finite where m and x say the same: a data prediction at clean data, a noise prediction at pure noise.
        """
        a, b, alpha, beta = (per_sample(value, x) for value in (self.path.signal(t), self.path.sigma(t), *self._row(t)))
        determinant = a * beta - b * alpha
        return (beta * x - b * m) / determinant, (a * m - alpha * x) / determinant

    def convert(
        self,
        m: Float[Tensor, " batch *shape"],
        x: Float[Tensor, " batch *shape"],
        t: Float[Tensor, " batch"],
        to: Prediction,
    ) -> Float[Tensor, " batch *shape"]:
        """An instantaneous prediction of this formulation as another: data, noise or the velocity on the clock.

        Raises:
            ValueError: ``to`` is no prediction.
        """
        target = replace(self, predicts=to)
        return m if to == self.predicts else target.instantaneous_target(*self.data_and_noise(m, x, t), t)

    def start(self, noise: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """State at t = 0 from unit Gaussian noise: sigma(0) noise (EDM: sigma_max noise)."""
        return noise * self._noise_scale(noise)

    def unstart(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """Unit noise from a state at t = 0: the inverse of ``start``."""
        return x / self._noise_scale(x)

    def grid(self, steps: int) -> Float[Tensor, " times"]:
        """Clock times of ``steps`` steps from 0 to 1, spaced as the formulation says (float64, steps + 1 values).

        Raises:
            ValueError: steps is no whole number of at least 1.
        """
        uniform = torch.linspace(0, 1, checked_steps(steps) + 1, dtype=torch.float64)
        if self.spacing == "clock":
            return uniform
        ratio = self.path.sigma(uniform[[0, -1]]) / self.path.signal(uniform[[0, -1]])
        return self._log_uniform(uniform, ratio.clamp(1 / RATIO_LIMIT, RATIO_LIMIT))

    def jump_grid(self, steps: int) -> Float[Tensor, " times"]:
        """Clock times of ``steps`` jumps from 0 to 1: those of ``grid``, unless there are ``jump_ratios``.

        Raises:
            ValueError: steps is no whole number of at least 1.
        """
        if self.jump_ratios is None:
            return self.grid(steps)
        uniform = torch.linspace(0, 1, checked_steps(steps) + 1, dtype=torch.float64)
        return self._log_uniform(uniform, torch.tensor(self.jump_ratios, dtype=torch.float64))

    def _log_uniform(self, uniform: Float[Tensor, " times"], ratios: Float[Tensor, " 2"]) -> Float[Tensor, " times"]:
        """Both ends of the clock, and between them times whose ratios are uniform in their logarithm."""
        first, last = ratios.log()
        inner = self.path.time(torch.lerp(first, last, uniform[1:-1]).exp())
        return torch.cat([uniform[:1], inner, uniform[-1:]])

    def _check_ratios(self, ratios: Sequence[float]) -> None:
        """Two positive ratios, the larger first, that lie behind the start of the path."""
        start = torch.zeros((), dtype=torch.float64)
        most = float(self.path.sigma(start) / self.path.signal(start))
        pair = ratios if isinstance(ratios, Sequence) and len(ratios) == 2 else (0.0, 0.0)
        if not most >= pair[0] > pair[1] > 0:
            raise ValueError(f"jump_ratios must be two in (0, {most:g}], the larger first, given {ratios}")

    def _noise_scale(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, ""]:
        """sigma(0)."""
        return self.path.sigma(x.new_zeros(()))

    def _row(self, t: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Alpha and beta of the prediction m = alpha data + beta noise."""
        if self.predicts == "velocity":
            return self.path.signal_rate(t), self.path.sigma_rate(t)
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        return (one, zero) if self.predicts == "data" else (zero, one)

    def _lines(self, t: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """d(t) and k(t) of the lines x = d m + k w."""
        if self.predicts == "velocity":
            return t, torch.ones_like(t)
        signal, sigma = self.path.signal(t), self.path.sigma(t)
        return (signal, sigma) if self.predicts == "data" else (sigma, signal)

    def _line_rates(self, t: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Derivatives of d and k by the clock."""
        if self.predicts == "velocity":
            return torch.ones_like(t), torch.zeros_like(t)
        signal, sigma = self.path.signal_rate(t), self.path.sigma_rate(t)
        return (signal, sigma) if self.predicts == "data" else (sigma, signal)


def checked_steps(steps: SupportsIndex) -> int:
    """A count of steps as an integer.

    Args:
        steps: what was given as a count.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    if not isinstance(steps, SupportsIndex) or operator.index(steps) < 1:
        raise ValueError(f"steps must be a whole number of at least 1, given {steps!r}")
    return operator.index(steps)


def per_sample(
    value: Float[Tensor, " batch *channels"], x: Float[Tensor, " batch *shape"]
) -> Float[Tensor, " batch *ones"]:
    """One number per sample, or one for each channel (last axis) of it, shaped and typed to multiply x.

    Args:
        value: the numbers.
        x: what they multiply, or are shaped like.
    """
    channels = value.shape[1:] or [1] * (x.ndim > 1)
    return value.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2), *channels)
