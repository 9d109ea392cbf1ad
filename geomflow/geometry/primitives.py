"""Exact signed distances of simple solids, and meshes of them: the oracles every distance is checked against.

Formulas for box, torus, capsule and rounded cylinder are the standard closed forms (I. Quilez, "Distance functions").
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, Shaped

Points = Shaped[np.ndarray, "n 3"]
Distances = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Sphere:
    """A ball of the given radius about the origin."""

    radius: float = 0.8

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        return np.linalg.norm(points, axis=1) - self.radius

    def mesh(self) -> trimesh.Trimesh:
        """Return an icosphere within 4e-5 radii of the surface."""
        return trimesh.creation.icosphere(subdivisions=6, radius=self.radius)


@dataclass(frozen=True)
class Box:
    """A box about the origin with the given half extents."""

    half_extents: tuple[float, float, float] = (0.8, 0.5, 0.3)

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        return _outside_corner(np.abs(points) - np.asarray(self.half_extents))

    def mesh(self) -> trimesh.Trimesh:
        """Return the box's twelve triangles."""
        return trimesh.creation.box(2 * np.asarray(self.half_extents))


@dataclass(frozen=True)
class Torus:
    """A torus about the z axis."""

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
    """A ball swept along the z axis."""

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
    """A cylinder about the z axis whose rims are rounded."""

    radius: float = 0.5
    half_height: float = 0.6
    rounding: float = 0.15

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        radial = np.linalg.norm(points[:, :2], axis=1) - self.radius + self.rounding
        axial = np.abs(points[:, 2]) - self.half_height + self.rounding
        return _outside_corner(np.stack([radial, axial], axis=1)) - self.rounding

    def mesh(self) -> trimesh.Trimesh:
        """Return a mesh within 1e-4 of the surface."""
        return _revolve(self.radius, self.half_height - self.rounding, self.rounding)


@dataclass(frozen=True)
class Moved:
    """A solid shifted by `offset`."""

    solid: "Solid"
    offset: tuple[float, float, float]

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return self.solid(points - np.asarray(self.offset))

    def mesh(self) -> trimesh.Trimesh:
        """Return the shifted mesh."""
        return self.solid.mesh().apply_translation(self.offset)


@dataclass(frozen=True)
class Union:
    """Two solids joined: exact outside, a lower bound of the depth where they overlap."""

    one: "Solid"
    two: "Solid"

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return np.minimum(self.one(points), self.two(points))

    def mesh(self) -> trimesh.Trimesh:
        """Return both meshes in one soup, overlapping as real assets do."""
        one, two = self.one.mesh(), self.two.mesh()
        faces = np.vstack([one.faces, two.faces + len(one.vertices)])
        return trimesh.Trimesh(np.vstack([one.vertices, two.vertices]), faces, process=False)


@dataclass(frozen=True)
class Difference:
    """The first solid without the second: the right sign everywhere, a lower bound of the distance."""

    one: "Solid"
    two: "Solid"

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return np.maximum(self.one(points), -self.two(points))


@dataclass(frozen=True)
class Intersection:
    """What two solids share: the right sign everywhere, a lower bound of the distance."""

    one: "Solid"
    two: "Solid"

    def __call__(self, points: Points) -> Distances:
        """Return the signed distance (n,) at points (n, 3)."""
        return np.maximum(self.one(points), self.two(points))


Solid = Sphere | Box | Torus | Capsule | RoundedCylinder | Moved | Union


def _outside_corner(excess: np.ndarray) -> np.ndarray:
    """Distance to the negative orthant of an excess per axis (n, d): the heart of every box-like solid."""
    return np.linalg.norm(np.maximum(excess, 0), axis=1) + np.minimum(excess.max(axis=1), 0)


def _revolve(radius: float, shoulder: float, rounding: float) -> trimesh.Trimesh:
    """Revolve a profile of two quarter circles about the z axis."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 194)
    height = np.sign(angle) * shoulder + rounding * np.sin(angle)
    profile = np.stack([radius - rounding + rounding * np.cos(angle), height], axis=1)
    axis = np.array([[0, profile[0, 1]], [0, profile[-1, 1]]])
    return trimesh.creation.revolve(np.vstack([axis[:1], profile, axis[1:]]), sections=256)
