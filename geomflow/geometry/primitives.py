"""Exact signed distances of simple solids, and meshes of them: the oracles every distance is checked against.

Formulas for box, torus, capsule and rounded cylinder are the standard closed forms (I. Quilez, "Distance functions").
Solids drawn as outlines are in `profiles`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import trimesh
from jaxtyping import Float, Shaped
from scipy.spatial.transform import Rotation

Points = Shaped[np.ndarray, "n 3"]
Distances = Float[np.ndarray, " n"]


@runtime_checkable
class Solid(Protocol):
    """Anything with a signed distance, negative inside, and a closed mesh that looks outward."""

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3).

        Args:
            points: Where to ask.
        """
        ...

    def mesh(self) -> trimesh.Trimesh:
        """Return a mesh whose vertices lie on the surface."""
        ...


@dataclass(frozen=True)
class Sphere:
    """A ball of the given radius about the origin.

    Attributes:
        radius: Distance of the surface from the origin.
    """

    radius: float = 0.8

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        return np.linalg.norm(points, axis=1) - self.radius

    def mesh(self) -> trimesh.Trimesh:
        """Return an icosphere within 4e-5 radii of the surface."""
        return trimesh.creation.icosphere(subdivisions=6, radius=self.radius)


@dataclass(frozen=True)
class Box:
    """A box about the origin with the given half extents.

    Attributes:
        half_extents: Half of the edge along x, y and z.
    """

    half_extents: tuple[float, float, float] = (0.8, 0.5, 0.3)

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        return outside_corner(np.abs(points) - np.asarray(self.half_extents))

    def mesh(self) -> trimesh.Trimesh:
        """Return the box's twelve triangles."""
        return trimesh.creation.box(2 * np.asarray(self.half_extents))


@dataclass(frozen=True)
class Torus:
    """A torus about the z axis.

    Attributes:
        major: Radius of the circle in the middle of the tube.
        minor: Radius of the tube.
    """

    major: float = 0.6
    minor: float = 0.25

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        ring = np.linalg.norm(points[:, :2], axis=1) - self.major
        return np.hypot(ring, points[:, 2]) - self.minor

    def mesh(self) -> trimesh.Trimesh:
        """Return a mesh within 1e-4 of the surface."""
        return trimesh.creation.torus(self.major, self.minor, major_sections=256, minor_sections=128)


@dataclass(frozen=True)
class Capsule:
    """A ball swept along the z axis.

    Attributes:
        half_height: Half of the length of the segment inside, along z.
        radius: Distance of the surface from that segment.
    """

    half_height: float = 0.5
    radius: float = 0.3

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        axial = np.maximum(np.abs(points[:, 2]) - self.half_height, 0)
        return np.hypot(np.linalg.norm(points[:, :2], axis=1), axial) - self.radius

    def mesh(self) -> trimesh.Trimesh:
        """Return a mesh within 1e-4 of the surface."""
        return _revolve(self.radius, self.half_height, self.radius)


@dataclass(frozen=True)
class RoundedCylinder:
    """A cylinder about the z axis whose rims are rounded.

    Attributes:
        radius: Radius about the z axis.
        half_height: Half of its height along z.
        rounding: Radius of its rims.
    """

    radius: float = 0.5
    half_height: float = 0.6
    rounding: float = 0.15

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        radial = np.linalg.norm(points[:, :2], axis=1) - self.radius + self.rounding
        axial = np.abs(points[:, 2]) - self.half_height + self.rounding
        return outside_corner(np.stack([radial, axial], axis=1)) - self.rounding

    def mesh(self) -> trimesh.Trimesh:
        """Return a mesh within 1e-4 of the surface."""
        return _revolve(self.radius, self.half_height - self.rounding, self.rounding)


@dataclass(frozen=True)
class Moved:
    """A solid shifted by `offset`.

    Attributes:
        solid: The solid where it was.
        offset: By how much it is moved in x, y and z.
    """

    solid: Solid
    offset: tuple[float, float, float]

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return self.solid(points - np.asarray(self.offset))

    def mesh(self) -> trimesh.Trimesh:
        """Return the shifted mesh."""
        return self.solid.mesh().apply_translation(self.offset)


@dataclass(frozen=True)
class Turned:
    """A solid turned about the origin.

    Attributes:
        solid: What is turned.
        rotation: Rotation vector: its direction is the axis, its length the angle in radians, counter-clockwise.
    """

    solid: Solid
    rotation: tuple[float, float, float]

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return self.solid(points @ self._matrix)

    def mesh(self) -> trimesh.Trimesh:
        """Return the turned mesh."""
        mesh = self.solid.mesh()
        return trimesh.Trimesh(mesh.vertices @ self._matrix.T, mesh.faces, process=False)

    @property
    def _matrix(self) -> np.ndarray:
        return Rotation.from_rotvec(self.rotation).as_matrix()


@dataclass(frozen=True)
class Scaled:
    """A solid made larger or smaller about the origin, alike in all directions.

    Attributes:
        solid: The solid in its own size.
        factor: How many times as large it becomes.

    Raises:
        ValueError: The factor is not positive.
    """

    solid: Solid
    factor: float

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ValueError(f"factor must be positive, not {self.factor}")

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return self.factor * self.solid(points / self.factor)

    def mesh(self) -> trimesh.Trimesh:
        """Return the scaled mesh."""
        return self.solid.mesh().apply_scale(self.factor)


@dataclass(frozen=True)
class Assembly:
    """Any number of solids joined: the sign is right everywhere and the distance exact outside.

    Inside, the depth in the deepest part is a lower bound of the true depth, because faces that are buried in another
    part still count. Parts must overlap and not merely touch: a face that two of them share would be surface.

    Attributes:
        parts: Solids that may overlap.

    Raises:
        ValueError: There is no part.
    """

    parts: tuple[Solid, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("an assembly wants at least one part, given none")

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        nearest = self.parts[0](points)
        for part in self.parts[1:]:
            nearest = np.minimum(nearest, part(points))
        return nearest

    def mesh(self) -> trimesh.Trimesh:
        """Return all meshes in one soup, overlapping as real assets do."""
        return _soup([part.mesh() for part in self.parts])


@dataclass(frozen=True)
class Union:
    """Two solids joined: exact outside, a lower bound of the depth where they overlap.

    Attributes:
        one: A solid.
        two: Another one.
    """

    one: Solid
    two: Solid

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return np.minimum(self.one(points), self.two(points))

    def mesh(self) -> trimesh.Trimesh:
        """Return both meshes in one soup, overlapping as real assets do."""
        return _soup([self.one.mesh(), self.two.mesh()])


@dataclass(frozen=True)
class Difference:
    """The first solid without the second: the right sign everywhere, a lower bound of the distance.

    Attributes:
        one: What something is taken from.
        two: What is taken away.
    """

    one: Solid
    two: Solid

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return np.maximum(self.one(points), -self.two(points))


@dataclass(frozen=True)
class Intersection:
    """What two solids share: the right sign everywhere, a lower bound of the distance.

    Attributes:
        one: A solid.
        two: Another one.
    """

    one: Solid
    two: Solid

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return np.maximum(self.one(points), self.two(points))


def _soup(meshes: Sequence[trimesh.Trimesh]) -> trimesh.Trimesh:
    """All vertices and faces in one mesh, nothing welded."""
    first = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, first[:-1], strict=True)]
    return trimesh.Trimesh(np.vstack([mesh.vertices for mesh in meshes]), np.vstack(faces), process=False)


def outside_corner(excess: np.ndarray) -> np.ndarray:
    """Distance to the negative orthant of an excess per axis (n, d): the heart of every box-like solid.

    Args:
        excess: How far each coordinate is beyond its face.
    """
    return np.linalg.norm(np.maximum(excess, 0), axis=1) + np.minimum(excess.max(axis=1), 0)


def _revolve(radius: float, shoulder: float, rounding: float) -> trimesh.Trimesh:
    """Revolve a profile of two quarter circles about the z axis."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 194)
    height = np.sign(angle) * shoulder + rounding * np.sin(angle)
    profile = np.stack([radius - rounding + rounding * np.cos(angle), height], axis=1)
    axis = np.array([[0, profile[0, 1]], [0, profile[-1, 1]]])
    return trimesh.creation.revolve(np.vstack([axis[:1], profile, axis[1:]]), sections=256)
