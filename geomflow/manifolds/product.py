"""Products of manifolds: coordinates side by side, such as a point and its normal. Squared distances add up.

Parts that each flow by a formulation of their own are ``geomflow.flow.product``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.manifold import Manifold, Points, check_coordinates


@dataclass(frozen=True)
class Product:
    """Manifolds side by side on the last axis.

    Attributes:
        factors: the manifolds.
    """

    factors: tuple[Manifold, ...]

    @property
    def coordinates(self) -> int:
        """Numbers per point."""
        return sum(factor.coordinates for factor in self.factors)

    def project(self, x: Points) -> Points:
        """Return the projections to the factors."""
        check_coordinates(self, x, "x")
        return self._each(lambda factor, x: factor.project(x), x)

    def defect(self, x: Points) -> Float[Tensor, "*batch"]:
        """Return the largest of the factors' defects."""
        return self._each(lambda factor, x: factor.defect(x)[..., None], x).amax(dim=-1)

    def tangent(self, x: Points, v: Points) -> Points:
        """Return the tangent parts."""
        return self._each(lambda factor, x, v: factor.tangent(x, v), x, v)

    def exp(self, x: Points, v: Points) -> Points:
        """Return the ends of the factors' geodesics."""
        return self._each(lambda factor, x, v: factor.exp(x, v), x, v)

    def log(self, x: Points, y: Points) -> Points:
        """Return the factors' shortest geodesics."""
        return self._each(lambda factor, x, y: factor.log(x, y), x, y)

    def distance(self, x: Points, y: Points) -> Float[Tensor, "*batch"]:
        """Return the root of the sum of the factors' squared distances."""
        return self._each(lambda factor, x, y: factor.distance(x, y)[..., None], x, y).norm(dim=-1)

    def _each(self, law: Callable[..., Tensor], *points: Points) -> Tensor:
        widths = [factor.coordinates for factor in self.factors]
        split = zip(*(part.split(widths, dim=-1) for part in points), strict=True)
        return torch.cat([law(factor, *own) for factor, own in zip(self.factors, split, strict=True)], dim=-1)


def make(factors: Sequence[Manifold]) -> Manifold:
    """The product of manifolds.

    Args:
        factors: the manifolds, in the order of their coordinates.

    Raises:
        ValueError: there are none.
    """
    if not factors:
        raise ValueError("factors must be at least one manifold, given none")
    return Product(tuple(factors))
