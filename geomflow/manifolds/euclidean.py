"""Flat space: geodesics are straight lines, and a geodesic flow map is u-prediction."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.manifold import Manifold, Points, check_coordinates


@dataclass(frozen=True)
class Euclidean:
    """Space of some dimension.

    Attributes:
        coordinates: its dimension.
    """

    coordinates: int

    def project(self, x: Points) -> Points:
        """Return x."""
        check_coordinates(self, x, "x")
        return x

    def defect(self, x: Points) -> Float[Tensor, "*batch"]:
        """Return 0."""
        return torch.zeros_like(x[..., 0])

    def tangent(self, x: Points, v: Points) -> Points:
        """Return v."""
        return v

    def exp(self, x: Points, v: Points) -> Points:
        """Return x + v."""
        return x + v

    def log(self, x: Points, y: Points) -> Points:
        """Return y - x."""
        return y - x

    def distance(self, x: Points, y: Points) -> Float[Tensor, "*batch"]:
        """Return |x - y|."""
        return (x - y).norm(dim=-1)


def make(coordinates: int = 3) -> Manifold:
    """Flat space.

    Args:
        coordinates: its dimension.

    Raises:
        ValueError: no dimension.
    """
    if coordinates < 1:
        raise ValueError(f"coordinates must be at least 1, given {coordinates}")
    return Euclidean(coordinates)
