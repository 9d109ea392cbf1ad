"""Distributions whose flow maps are known exactly: the yardsticks of the flow tests.

For a Gaussian mixture x_t is itself a mixture, so E[data | x_t] and E[noise | x_t] are closed forms on every path. For
one diagonal Gaussian the flow map is closed too; for mixtures it is the ODE integrated by Runge-Kutta.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from geomflow.flow import Formulation, Path

Map = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Mixture:
    """A mixture of diagonal Gaussians: means and stds (components, d), weights (components,)."""

    means: Tensor
    stds: Tensor
    weights: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Samples of the mixture."""
        component = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[component] + self.stds[component] * noise

    def off_support(self, points: Tensor) -> Tensor:
        """Points outside of every component's ellipse of 99.9 % of its mass (in 2-D)."""
        nearest = ((points[:, None] - self.means) / self.stds).square().sum(-1).amin(1)
        return nearest > -2 * math.log(1e-3)

    def scaled(self, scale: float) -> "Mixture":
        """The mixture in another unit."""
        return Mixture(scale * self.means, scale * self.stds, self.weights)

    def expectations(self, path: Path, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """E[data | x_t = x] and E[noise | x_t = x]."""
        a, b = path.signal(t)[:, None, None], path.sigma(t)[:, None, None]
        variance = (a * self.stds) ** 2 + b**2
        offset = x[:, None] - a * self.means
        score = -0.5 * (offset**2 / variance + variance.log()).sum(-1) + self.weights.log()
        share = score.softmax(1)[..., None]
        data = self.means + a * self.stds**2 / variance * offset
        return (share * data).sum(1), (share * b / variance * offset).sum(1)

    def instantaneous(self, formulation: Formulation, x: Tensor, t: Tensor) -> Tensor:
        """m_t(x) of a formulation."""
        data, noise = self.expectations(formulation.path, x, t)
        return formulation.instantaneous_target(data, noise, t)

    def velocity(self, path: Path, x: Tensor, t: Tensor) -> Tensor:
        """dx/dt of the probability-flow ODE."""
        data, noise = self.expectations(path, x, t)
        return path.signal_rate(t)[:, None] * data + path.sigma_rate(t)[:, None] * noise

    def integrate(self, path: Path, x: Tensor, t: Tensor, r: Tensor, steps: int = 100) -> Tensor:
        """The flow map by ``steps`` Runge-Kutta steps of fourth order."""
        h = (r - t) / steps
        for step in range(steps):
            now, half, wide = t + step * h, t + (step + 0.5) * h, h[:, None]
            k1 = self.velocity(path, x, now)
            k2 = self.velocity(path, x + wide / 2 * k1, half)
            k3 = self.velocity(path, x + wide / 2 * k2, half)
            k4 = self.velocity(path, x + wide * k3, now + h)
            x = x + wide / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x


@dataclass(frozen=True)
class Checkerboard:
    """Uniform on the eight black squares of a 4 x 4 board centred at the origin; ``scale`` is a square's side."""

    scale: float = math.sqrt(0.75)
    """sqrt(3 / 4) makes the standard deviation 1 per coordinate."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Samples of the board."""
        row, half = (torch.randint(n, (count,), generator=generator) for n in (4, 2))
        corner = torch.stack([row, 2 * half + row % 2], 1) - 2
        return self.scale * (corner + torch.rand(count, 2, generator=generator))

    def off_support(self, points: Tensor) -> Tensor:
        """Points beside the board or on a white square."""
        square = (points / self.scale).floor()
        return (square.sum(1) % 2 != 0) | (square < -2).any(1) | (square > 1).any(1)


@dataclass(frozen=True)
class Gaussian(Mixture):
    """One diagonal Gaussian: the mixture with a closed-form map."""

    def exact_map(self, path: Path) -> Map:
        """psi(x) = a_r mu + (x - a_t mu) sqrt((a_r^2 s^2 + b_r^2) / (a_t^2 s^2 + b_t^2)) as a function of (x, t, r)."""

        def deviation(t: Tensor) -> Tensor:
            return ((path.signal(t)[:, None] * self.stds) ** 2 + path.sigma(t)[:, None] ** 2).sqrt()

        def psi(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
            standard = (x - path.signal(t)[:, None] * self.means) / deviation(t)
            return path.signal(r)[:, None] * self.means + standard * deviation(r)

        return psi


@dataclass(frozen=True)
class ExactField:
    """A "network" that answers with the exact cumulative field m = (psi - Q x) / P, and m_t at r = t.

    Meant for a formulation without preconditioner, for which the network is the field.
    """

    mixture: Mixture
    formulation: Formulation
    psi: Map

    def __call__(self, x: Tensor, t: Tensor, r: Tensor, condition: object = None) -> Tensor:
        """m(x, t, r)."""
        gain, kept = (value[:, None] for value in self.formulation.coefficients(t, r))
        jump = (self.psi(x, t, r) - kept * x) / torch.where(gain == 0, 1, gain)
        return torch.where(gain == 0, self.mixture.instantaneous(self.formulation, x, t), jump)


def gaussian(dtype: torch.dtype = torch.float64) -> Gaussian:
    """An off-centre Gaussian with unequal deviations in 2-D."""
    values = torch.tensor([[0.6, -0.4]], dtype=dtype), torch.tensor([[0.3, 0.8]], dtype=dtype)
    return Gaussian(*values, torch.ones(1, dtype=dtype))


def three_gaussians(dtype: torch.dtype = torch.float64) -> Mixture:
    """Three unequal Gaussians in 2-D."""
    means = torch.tensor([[0.8, 0.0], [-0.5, 0.7], [-0.3, -0.9]], dtype=dtype)
    stds = torch.tensor([[0.25, 0.4], [0.35, 0.2], [0.3, 0.3]], dtype=dtype)
    return Mixture(means, stds, torch.tensor([0.5, 0.3, 0.2], dtype=dtype))


def eight_gaussians(dtype: torch.dtype = torch.float32) -> Mixture:
    """Eight small Gaussians on a circle; standard deviation 0.5 per coordinate."""
    angles = torch.arange(8, dtype=dtype) * torch.pi / 4
    means = 0.7 * torch.stack([angles.cos(), angles.sin()], 1)
    return Mixture(means, torch.full((8, 2), 0.07, dtype=dtype), torch.full((8,), 0.125, dtype=dtype))


def wasserstein2(first: Tensor, second: Tensor) -> float:
    """Exact 2-Wasserstein distance of two equally large point sets, by optimal assignment (scipy)."""
    squared = torch.cdist(first.double(), second.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    rows, columns = linear_sum_assignment(squared.numpy())
    return float(np.sqrt(squared.numpy()[rows, columns].mean()))
