"""What a manifold is to a flow map: points with coordinates on the last axis, geodesics out of them and between them.

Points and tangent vectors are written in the coordinates of a space around the manifold, so that a network sees and
gives plain numbers. ``exp`` runs along a geodesic, ``log`` asks for one, and both are smooth enough for derivatives in
forward and in reverse mode; ``log`` jumps at the cut locus (on the sphere the antipode), where the shortest geodesic is
not the only one, and gives one of them there.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "*batch n"]


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
