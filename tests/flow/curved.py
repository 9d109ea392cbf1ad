"""Exact flows on manifolds: velocities whose flow maps have closed forms, as networks of geodesic flow maps."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.manifold import Manifold
from geomflow.manifolds.rotations import rotation, skew

SPHERE = shelves.load("manifolds", "sphere")
CIRCLE = shelves.load("manifolds", "sphere", coordinates=2)
ROTATIONS = shelves.load("manifolds", "rotations")
AXIS, OTHER = torch.tensor([[0.3, -1.1, 0.8], [-0.7, 0.4, 0.5]], dtype=torch.float64)


@dataclass(frozen=True)
class ExactFlow:
    """A velocity and its flow map, which make a network's cumulative field exact."""

    manifold: Manifold
    velocity: Callable[[Tensor, Tensor], Tensor]
    psi: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """log_x(psi) / (r - t), the velocity at r = t."""
        span = (r - t)[:, None]
        field = self.manifold.log(x, self.psi(x, t, r)) / torch.where(span == 0, 1, span)
        return torch.where(span == 0, self.velocity(x, t), field)

    def flow_map(self) -> FlowMap:
        """The exact flow map."""
        return FlowMap(self, Geodesic(manifold=self.manifold))


def spinning() -> ExactFlow:
    """The sphere turned about an axis."""
    return ExactFlow(
        SPHERE,
        lambda x, t: x @ skew(AXIS).T,
        lambda x, t, r: (rotation((r - t)[:, None] * AXIS) @ x[..., None])[..., 0],
    )


def climbing(manifold: Manifold) -> ExactFlow:
    """The gradient flow of the height z on a sphere: z' = 1 - z^2, so z is a hyperbolic tangent of time.

    It is a Moebius map: on the circle it takes the uniform distribution to the wrapped Cauchy.
    """
    pole = torch.zeros(manifold.coordinates, dtype=torch.float64)
    pole[0] = 1

    def psi(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        cosh, sinh = (r - t).cosh()[:, None], (r - t).sinh()[:, None]
        z = x[:, :1]
        return (x + (z * cosh + sinh - z) * pole) / (cosh + z * sinh)

    return ExactFlow(manifold, lambda x, t: pole - x[:, :1] * x, psi)


def contracting(manifold: Manifold) -> ExactFlow:
    """Everything on its geodesic to one point, to be there at t = 1: the path of a single point of data."""
    point = random_points(manifold, 1, seed=9)

    def rest(x: Tensor) -> Tensor:
        return manifold.log(x, point.expand_as(x))

    return ExactFlow(
        manifold,
        lambda x, t: rest(x) / (1 - t)[:, None],
        lambda x, t, r: manifold.exp(x, ((r - t) / (1 - t))[:, None] * rest(x)),
    )


def turning() -> ExactFlow:
    """Rotations turned from both sides: R' = A R + R B, R(r) = exp((r - t) A) R exp((r - t) B)."""

    def psi(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        before, after = (rotation((r - t)[:, None] * axis) for axis in (AXIS, OTHER))
        return (before @ x.unflatten(-1, (3, 3)) @ after).flatten(-2)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        R = x.unflatten(-1, (3, 3))
        return (skew(AXIS) @ R + R @ skew(OTHER)).flatten(-2)

    return ExactFlow(ROTATIONS, velocity, psi)


FLOWS: dict[str, Callable[[], ExactFlow]] = {
    "spinning": spinning,
    "climbing": lambda: climbing(SPHERE),
    "climbing-circle": lambda: climbing(CIRCLE),
    "contracting": lambda: contracting(SPHERE),
    "contracting-rotations": lambda: contracting(ROTATIONS),
    "turning": turning,
}


def random_points(manifold: Manifold, count: int, seed: int) -> Tensor:
    """Uniform points."""
    generator = torch.Generator().manual_seed(seed)
    return manifold.project(torch.randn(count, manifold.coordinates, generator=generator, dtype=torch.float64))


def jumps(manifold: Manifold, count: int = 64, seed: int = 0) -> FlowBatch:
    """Pairs of random points with times t < r < 0.95."""
    data, noise = random_points(manifold, count, seed), random_points(manifold, count, seed + 1)
    times = torch.rand(2, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    t, r = (0.95 * times).sort(0).values
    return FlowBatch(data, noise, t, r + 1e-3)


@dataclass(frozen=True)
class FinitePoints:
    """Data at a few points of a sphere with probabilities: the expected velocity of the geodesic path in closed form.

    Noise is uniform on the sphere of dimension n. The state at t is at angle a = (1 - t) theta from its data y, where
    theta, the noise's angle, has the density sin(theta)^(n-1) of uniform noise up to a factor. So the state has the
    density (sin(a / (1 - t)) / sin(a))^(n-1) / (1 - t) up to the same factor, where a < (1 - t) pi.
    """

    points: Tensor
    shares: Tensor

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """E[log_x(data) | x] / (1 - t)."""
        manifold = shelves.load("manifolds", "sphere", coordinates=x.shape[1])
        here, there = (p.flatten(0, 1) for p in torch.broadcast_tensors(x[:, None], self.points[None]))
        logs, angle = manifold.log(here, there), manifold.distance(here, there).view(len(x), -1)
        theta = angle / (1 - t)[:, None]
        weights = self.shares * torch.where(theta < math.pi, theta.sin() / angle.sin(), 0) ** (x.shape[1] - 2)
        weights = torch.where(theta < math.pi, weights, 0)
        mean = (weights[..., None] * logs.view(len(x), -1, x.shape[1])).sum(1) / weights.sum(1, keepdim=True)
        return mean / (1 - t)[:, None]
