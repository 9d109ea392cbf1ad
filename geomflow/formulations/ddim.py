"""DDIM: the network predicts data or noise on a variance-preserving path, signal^2 + sigma^2 = 1.

Data prediction has P = a_r - b_r a_t / b_t and Q = b_r / b_t, noise prediction P = b_r - a_r b_t / a_t and
Q = a_r / a_t: with an m that does not depend on r a jump is one deterministic DDIM step (arXiv 2010.02502). Both paths
stop short of pure noise and of clean data, so that either prediction determines the jump at both ends. A noise
prediction is a poor one-step map by construction: at pure noise its error is multiplied by b_t / a_t.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.choice import check_choice
from geomflow.flow.formulation import Formulation
from geomflow.flow.preconditioner import DataWeight, Identity

Schedule = Literal["cosine", "linear"]


@dataclass(frozen=True)
class CosinePath:
    """signal = sin(angle), sigma = cos(angle), the angle linear in the clock (arXiv 2102.09672, without its offset).

    Attributes:
        ratio_max: noise-to-signal ratio at t = 0.
        ratio_min: the same at t = 1.
    """

    ratio_max: float = 100.0
    ratio_min: float = 0.01

    def __post_init__(self) -> None:
        """Checks the ratios."""
        if not 0 < self.ratio_min < self.ratio_max < math.inf:
            raise ValueError(f"CosinePath wants 0 < ratio_min < ratio_max, both finite, given {self}")

    @property
    def _ends(self) -> tuple[float, float]:
        """First angle, and how far it turns."""
        first, last = math.atan(1 / self.ratio_max), math.atan(1 / self.ratio_min)
        return first, last - first

    def _angle(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The angle at clock time t."""
        first, turn = self._ends
        return first + turn * t

    def signal(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Sine of the angle."""
        return self._angle(t).sin()

    def sigma(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Cosine of the angle."""
        return self._angle(t).cos()

    def signal_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of ``signal`` by the clock."""
        return self._ends[1] * self.sigma(t)

    def sigma_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of ``sigma`` by the clock."""
        return -self._ends[1] * self.signal(t)

    def time(self, ratio: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Clock time at which sigma / signal, the cotangent of the angle, has this value."""
        first, turn = self._ends
        return ((torch.atan2(torch.ones_like(ratio), ratio) - first) / turn).clamp(0, 1)


@dataclass(frozen=True)
class LinearBetaPath:
    """The diffusion dx = -beta x / 2 dtau + sqrt(beta) dW with beta linear in tau (DDPM; VP SDE, arXiv 2011.13456).

    signal = exp(-B / 2) and sigma = sqrt(1 - exp(-B)) with B(tau) = beta_min tau + (beta_max - beta_min) tau^2 / 2.
    tau falls linearly from 1 at t = 0 to ``tau_min`` at t = 1.

    Attributes:
        beta_min: rate of noising near the data.
        beta_max: rate of noising near the noise.
        tau_min: where the path ends, as a share of the noising time.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    tau_min: float = 1e-3

    def __post_init__(self) -> None:
        """Checks the constants."""
        if not (0 < self.beta_min < self.beta_max and 0 < self.tau_min < 1):
            raise ValueError(f"LinearBetaPath wants 0 < beta_min < beta_max and 0 < tau_min < 1, given {self}")

    def _tau(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The diffusion's own time."""
        return 1 - (1 - self.tau_min) * t

    def _integral(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """B, the integral of beta up to tau."""
        tau = self._tau(t)
        return tau * (self.beta_min + tau * (self.beta_max - self.beta_min) / 2)

    def _integral_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of B by the clock."""
        return -(1 - self.tau_min) * (self.beta_min + self._tau(t) * (self.beta_max - self.beta_min))

    def signal(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """exp(-B / 2)."""
        return (-self._integral(t) / 2).exp()

    def sigma(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """sqrt(1 - exp(-B))."""
        return (-torch.expm1(-self._integral(t))).sqrt()

    def signal_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of ``signal`` by the clock."""
        return -self._integral_rate(t) * self.signal(t) / 2

    def sigma_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of ``sigma`` by the clock."""
        return self._integral_rate(t) * self.signal(t) ** 2 / (2 * self.sigma(t))

    def time(self, ratio: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Clock time at which sigma / signal has this value: B = log(1 + ratio^2), solved for tau."""
        slope = self.beta_max - self.beta_min
        integral = torch.log1p(ratio**2)
        tau = 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * slope * integral).sqrt())
        return ((1 - tau) / (1 - self.tau_min)).clamp(0, 1)


def make(schedule: Schedule = "cosine", predicts: Literal["data", "noise"] = "data") -> Formulation:
    """The DDIM formulation; its steps are uniform in log(sigma / signal).

    Args:
        schedule: ``cosine`` or ``linear`` (in beta).
        predicts: ``data`` or ``noise``.

    Raises:
        ValueError: another schedule or prediction.
    """
    check_choice("schedule", schedule, Schedule)
    if predicts not in ("data", "noise"):
        raise ValueError(f"predicts must be 'data' or 'noise', given {predicts!r}")
    path = CosinePath() if schedule == "cosine" else LinearBetaPath()
    weight = DataWeight(path=path) if predicts == "data" else Identity()
    return Formulation(path, predicts, weight, spacing="log_ratio")
