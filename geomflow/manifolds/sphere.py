"""The unit sphere in n coordinates: directions, unit normals; n = 2 is the circle.

Geodesics are great circles. With an angle a between x and y the vector y - cos(a) x is tangent at x and as long as
sin(a), so log_x(y) = (y - cos(a) x) a / sin(a), and exp_x(v) = cos(|v|) x + v sin(|v|) / |v|. The cut locus of x is -x.
The tangent part of y is that of y - x and of y + x; the shorter of them loses no digits where y is close to x or to -x.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from geomflow.flow.manifold import Manifold, Points, can_look, check_coordinates
from geomflow.manifolds._series import arc_ratio, cosine, sine_ratio

SHORTEST = 1e-12
"""Least length of a vector that has a direction."""


@dataclass(frozen=True)
class Sphere:
    """Unit vectors.

    Attributes:
        coordinates: numbers per vector, one more than the sphere's dimension.
    """

    coordinates: int

    def project(self, x: Points) -> Points:
        """Return x / |x|; Gaussian vectors become uniform ones.

        Raises:
            ValueError: another number of coordinates, or a vector of length 0, which has no direction.
        """
        check_coordinates(self, x, "x")
        if can_look(x) and not bool(((length := x.norm(dim=-1)) > SHORTEST).all()):
            raise ValueError(f"x must be vectors with a direction, given one of length {float(length.min()):g}")
        return F.normalize(x, dim=-1)

    def defect(self, x: Points) -> Float[Tensor, "*batch"]:
        """Return by how much lengths differ from 1."""
        return (x.norm(dim=-1) - 1).abs()

    def tangent(self, x: Points, v: Points) -> Points:
        """Return v without its part along x."""
        return v - (x * v).sum(-1, keepdim=True) * x

    def exp(self, x: Points, v: Points) -> Points:
        """Return the end of a great circle's arc, of unit length to rounding whatever went before."""
        square = v.square().sum(-1, keepdim=True)
        return F.normalize(cosine(square) * x + sine_ratio(square) * v, dim=-1)

    def log(self, x: Points, y: Points) -> Points:
        """Return the shortest arc to y; at -x, where there are many, one of them."""
        cos = (x * y).sum(-1, keepdim=True)
        across = self.tangent(x, torch.where(cos < 0, y + x, y - x))
        square = across.square().sum(-1, keepdim=True)
        lost = (square < 1e-24) & (cos < 0)
        across = torch.where(lost, torch.pi * self._aside(x), across)
        return torch.where(lost, across, arc_ratio(torch.where(lost, 1, square), cos) * across)

    def distance(self, x: Points, y: Points) -> Float[Tensor, "*batch"]:
        """Return the angle, by Kahan's formula, which is exact to rounding at every angle."""
        return 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))

    def log_shell(self, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the logarithm of sin(angle)^(n - 2), the density of uniform points' distances up to a factor.

        Args:
            angle: distances, in radians.
        """
        return (self.coordinates - 2) * angle.sin().clamp(min=torch.finfo(angle.dtype).tiny).log()

    def _aside(self, x: Points) -> Points:
        """A unit tangent vector: the axis that x is least along, turned to the tangent space."""
        axis = F.one_hot(x.abs().argmin(-1), self.coordinates).to(x.dtype)
        return F.normalize(self.tangent(x, axis), dim=-1)


def make(coordinates: int = 3) -> Manifold:
    """The unit sphere.

    Args:
        coordinates: numbers per vector; 3 for directions in space.

    Raises:
        ValueError: fewer than two coordinates.
    """
    if coordinates < 2:
        raise ValueError(f"coordinates must be at least 2, given {coordinates}")
    return Sphere(coordinates)
