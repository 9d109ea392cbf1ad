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

from geomflow.flow.manifold import Manifold, Points
from geomflow.manifolds._series import arc_ratio, cosine, sine_ratio


@dataclass(frozen=True)
class Sphere:
    """Unit vectors.

    Attributes:
        coordinates: numbers per vector, one more than the sphere's dimension.
    """

    coordinates: int

    def project(self, x: Points) -> Points:
        """Return x / |x|; Gaussian vectors become uniform ones."""
        return F.normalize(x, dim=-1)

    def tangent(self, x: Points, v: Points) -> Points:
        """Return v without its part along x."""
        return v - (x * v).sum(-1, keepdim=True) * x

    def exp(self, x: Points, v: Points) -> Points:
        """Return the end of a great circle's arc, of unit length to rounding whatever went before."""
        square = v.square().sum(-1, keepdim=True)
        return self.project(cosine(square) * x + sine_ratio(square) * v)

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

    def shell(self, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the density of uniform points at a distance, up to a factor.

        Args:
            angle: the distance, in radians.
        """
        return angle.sin().clamp(min=0) ** (self.coordinates - 2)

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
