"""TrigFlow as a stranger adds it: one file, outside the package, with a path, a preconditioner and `make`.

x_t = sin(angle) data + sigma_data cos(angle) noise with angle = pi t / 2; the output of the network F is the velocity
by the angle, dx / d angle = sigma_data F(x / sigma_data, t) (arXiv 2410.11081, with the clock turned round).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geomflow.flow import Formulation

QUARTER = math.pi / 2


@dataclass(frozen=True)
class TrigPath:
    """A quarter circle from noise of the data's own size to the data."""

    sigma_data: float

    def signal(self, t: Tensor) -> Tensor:
        """Sine of the angle."""
        return (QUARTER * t).sin()

    def sigma(self, t: Tensor) -> Tensor:
        """Cosine of the angle, in units of the data."""
        return self.sigma_data * (QUARTER * t).cos()

    def signal_rate(self, t: Tensor) -> Tensor:
        """Derivative of `signal` by the clock."""
        return QUARTER * (QUARTER * t).cos()

    def sigma_rate(self, t: Tensor) -> Tensor:
        """Derivative of `sigma` by the clock."""
        return -QUARTER * self.sigma_data * (QUARTER * t).sin()

    def time(self, ratio: Tensor) -> Tensor:
        """Clock time at which sigma / signal has this value."""
        return torch.atan2(torch.full_like(ratio, self.sigma_data), ratio) / QUARTER


@dataclass(frozen=True)
class TrigScale:
    """The network sees states and gives velocities of unit size."""

    sigma_data: float

    def c_skip(self, t: Tensor) -> Tensor:
        """Nothing passes the network by."""
        return torch.zeros_like(t)

    def c_out(self, t: Tensor) -> Tensor:
        """From the angle's unit velocity to the clock's."""
        return torch.full_like(t, QUARTER * self.sigma_data)

    def c_in(self, t: Tensor) -> Tensor:
        """The state has the data's size all along."""
        return torch.full_like(t, 1 / self.sigma_data)

    def c_noise(self, t: Tensor) -> Tensor:
        """The angle."""
        return QUARTER * t

    def weight(self, t: Tensor) -> Tensor:
        """1 / c_out^2: errors are measured at the network's output."""
        return self.c_out(t) ** -2


def make(sigma_data: float = 0.5) -> Formulation:
    """The TrigFlow formulation for data of standard deviation `sigma_data`."""
    return Formulation(TrigPath(sigma_data), "velocity", TrigScale(sigma_data))
