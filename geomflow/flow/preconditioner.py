"""Preconditioners: scalings around a network by the time of departure, and the weight its errors should have."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.path import Path


@runtime_checkable
class Preconditioner(Protocol):
    """m = c_skip(t) x + c_out(t) network(c_in(t) x, c_noise(t), c_noise(r)): scalings by the time of departure only.

    Notation:
        - t: clock times.
    """

    def c_skip(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Share of x that passes the network by."""
        ...

    def c_out(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Scale of the network's output."""
        ...

    def c_in(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Scale of the network's input."""
        ...

    def c_noise(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """What the network is told about a clock time, departure or arrival."""
        ...

    def weight(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Weight of a squared error of m, making it a squared error of the network's output."""
        ...


@dataclass(frozen=True)
class Identity:
    """No preconditioning: the network sees x and the clock and gives m itself."""

    def c_skip(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """0."""
        return torch.zeros_like(t)

    def c_out(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1."""
        return torch.ones_like(t)

    def c_in(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1."""
        return torch.ones_like(t)

    def c_noise(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The clock itself."""
        return t

    def weight(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1."""
        return torch.ones_like(t)


@dataclass(frozen=True)
class DataWeight(Identity):
    """No scalings, but errors of a data prediction weigh 1 / sigma(t)^2, as the velocity's errors do.

    Without it the fine detail, which is decided at low noise, hardly counts (min-SNR, arXiv 2303.09556).

    Attributes:
        path: where sigma is from.
        floor: smallest sigma that counts, so that the weight stays finite at clean data.
    """

    path: Path = field(kw_only=True)
    floor: float = 0.1

    def weight(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1 / max(sigma, floor)^2."""
        return 1 / self.path.sigma(t).clamp(min=self.floor) ** 2


@dataclass(frozen=True)
class Karras:
    """EDM's preconditioner of a data prediction (arXiv 2206.00364, table 1) for data of standard deviation sigma_data.

    Written for any path: with v = (a sigma_data)^2 + b^2, the variance of x_t, it is c_in = 1 / sqrt(v),
    c_skip = a sigma_data^2 / v, c_out = b sigma_data / sqrt(v), c_noise = log(b / a) / 4; EDM itself is a = 1. It needs
    b / a finite and positive on the closed clock. The cumulative field needs nothing that depends on r.

    Attributes:
        path: the path that x_t is on.
        sigma_data: standard deviation of the data.
    """

    path: Path
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        """Checks the data's standard deviation."""
        if not self.sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, given {self.sigma_data}")

    def _variance(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Variance of x_t."""
        return (self.path.signal(t) * self.sigma_data) ** 2 + self.path.sigma(t) ** 2

    def c_skip(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Best linear prediction of the data from x_t."""
        return self.path.signal(t) * self.sigma_data**2 / self._variance(t)

    def c_out(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Standard deviation of what that linear prediction leaves open."""
        return self.path.sigma(t) * self.sigma_data / self._variance(t).sqrt()

    def c_in(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Brings x_t to unit variance."""
        return 1 / self._variance(t).sqrt()

    def c_noise(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """A quarter of the logarithm of the noise-to-signal ratio."""
        return (self.path.sigma(t) / self.path.signal(t)).log() / 4

    def weight(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1 / c_out^2; for EDM (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
        return 1 / self.c_out(t) ** 2
