"""Paths from noise to data: x_t = signal(t) data + sigma(t) noise, on one clock for all of them.

The clock runs from t = 0 (noise) to t = 1 (data). A path is four closed-form functions of the clock (the two
coefficients and their rates) and the inverse of its noise-to-signal ratio, which lets one draw times by noise level.
A further path is a further class with these five methods, kept in the file of the formulation that uses it.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Path(Protocol):
    """Coefficients of x_t = signal(t) data + sigma(t) noise and their rates; all take and give tensors of one shape.

    Notation:
        - t: clock times.
        - ratio: values of sigma / signal.
    """

    def signal(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Coefficient of the data at clock time t."""
        ...

    def sigma(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Coefficient of the noise at clock time t."""
        ...

    def signal_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of ``signal`` by the clock."""
        ...

    def sigma_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of ``sigma`` by the clock."""
        ...

    def time(self, ratio: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Clock time at which sigma / signal has this value, clipped to the clock."""
        ...


@dataclass(frozen=True)
class LinearPath:
    """The straight line x_t = t data + (1 - t) noise (flow matching, arXiv 2210.02747; rectified flow, 2209.03003)."""

    def signal(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The clock, t."""
        return t

    def sigma(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1 - t."""
        return 1 - t

    def signal_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1."""
        return torch.ones_like(t)

    def sigma_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """-1."""
        return -torch.ones_like(t)

    def time(self, ratio: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1 / (1 + ratio)."""
        return 1 / (1 + ratio)


@dataclass(frozen=True)
class KarrasPath:
    """The variance-exploding path x_t = data + sigma(t) noise of EDM (arXiv 2206.00364, equation 5).

    sigma(t) = (sigma_max^(1/rho) + t (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho: the clock is EDM's own grid of
    noise levels, so steps uniform in the clock are EDM's steps. It ends at sigma_min, a little short of clean data.

    Attributes:
        sigma_min: noise level at t = 1.
        sigma_max: noise level at t = 0.
        rho: the clock is uniform in sigma^(1 / rho).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        """Checks the noise levels."""
        if not (0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise ValueError(f"KarrasPath wants 0 < sigma_min < sigma_max and rho > 0, given {self}")

    @property
    def _ends(self) -> tuple[float, float]:
        """The rho-th roots of the largest and the smallest noise level."""
        return self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)

    def signal(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The noise level, falling from sigma_max to sigma_min."""
        high, low = self._ends
        return (high + t * (low - high)) ** self.rho

    def signal_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """0."""
        return torch.zeros_like(t)

    def sigma_rate(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Derivative of the noise level by the clock (negative)."""
        high, low = self._ends
        return self.rho * (low - high) * (high + t * (low - high)) ** (self.rho - 1)

    def time(self, ratio: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Clock time of a noise level."""
        high, low = self._ends
        return ((ratio ** (1 / self.rho) - high) / (low - high)).clamp(0, 1)
