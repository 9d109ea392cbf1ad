"""What a manifold is to a flow map: points with coordinates on the last axis, geodesics out of them and between them.

Points and tangent vectors are written in the coordinates of a space around the manifold, so that a network sees and
gives plain numbers. ``exp`` runs along a geodesic, ``log`` asks for one, and both are smooth enough for derivatives in
forward and in reverse mode; ``log`` jumps at the cut locus (on the sphere the antipode), where the shortest geodesic is
not the only one, and gives one of them there.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "*batch n"]
TOLERANCE = 3e-2
"""Largest defect of what counts as a point: more than rounding, even of bfloat16, less than any other mistake."""


@runtime_checkable
class Manifold(Protocol):
    """A Riemannian manifold in a space of n coordinates: one file of the shelf ``manifolds``.

    Notation:
        - x: points of the manifold; for ``project`` any points.
        - y: other points of it.
        - v: tangent vectors at x; for ``tangent`` any vectors.

    Attributes:
        coordinates: n, the length of the last axis of points and of tangent vectors.
    """

    @property
    def coordinates(self) -> int:
        """Numbers per point."""
        ...

    def project(self, x: Points) -> Points:
        """Return points of the manifold from any; from unit Gaussian numbers, uniform ones if there is such a thing."""
        ...

    def defect(self, x: Points) -> Float[Tensor, "*batch"]:
        """Return how far any points are from being points of the manifold: 0 where they are."""
        ...

    def tangent(self, x: Points, v: Points) -> Points:
        """Return the part of v that is tangent at x."""
        ...

    def exp(self, x: Points, v: Points) -> Points:
        """Return where the geodesic from x with velocity v is at time 1."""
        ...

    def log(self, x: Points, y: Points) -> Points:
        """Return the tangent vector at x whose geodesic is at y at time 1, the shortest: the inverse of ``exp``."""
        ...

    def distance(self, x: Points, y: Points) -> Float[Tensor, "*batch"]:
        """Return the length of the shortest geodesic."""
        ...


@runtime_checkable
class Homogeneous(Manifold, Protocol):
    """A manifold that is the same from each of its points, where uniform points have a density and none is beyond pi.

    Spheres and rotations are; flat space has no uniform points, and a product's distances say too little.
    """

    def log_shell(self, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the logarithm of the density of uniform points' distances, up to a number.

        Args:
            angle: distances from any point, in (0, pi).
        """
        ...


def check_coordinates(manifold: Manifold, x: Float[Tensor, "..."], name: str) -> None:
    """Refuses tensors whose last axis does not hold a manifold's coordinates.

    Args:
        manifold: the manifold.
        x: what should be points, or become some.
        name: what the message calls them.

    Raises:
        ValueError: another last axis.
    """
    if x.shape[-1:] != (manifold.coordinates,):
        raise ValueError(
            f"{name} must have {manifold.coordinates} coordinates on the last axis, given shape {tuple(x.shape)}"
        )


def check_points(manifold: Manifold, x: Float[Tensor, "..."], name: str) -> None:
    """Refuses what are no points of a manifold; of tensors whose values cannot be looked at, only other shapes.

    Args:
        manifold: the manifold.
        x: what should be points.
        name: what the message calls them.

    Raises:
        ValueError: another last axis, or a point that is off the manifold by more than ``TOLERANCE``.
    """
    check_coordinates(manifold, x, name)
    if can_look(x) and not bool(((defect := manifold.defect(x)) <= TOLERANCE).all()):
        raise ValueError(f"{name} must lie on {manifold}, given points up to {float(defect.max()):.3g} off it")


def can_look(x: Float[Tensor, "..."]) -> bool:
    """Return whether values can be looked at: on the CPU, outside of a compiled graph; elsewhere looking would stall.

    Args:
        x: the values.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
