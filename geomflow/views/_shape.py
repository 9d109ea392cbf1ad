"""A record in another project's frame: its arrays moved there, and more points drawn from its own mesh."""

import functools
import hashlib

import numpy as np
import trimesh
from jaxtyping import Float, Shaped

from geomflow.errors import ConfigError
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.sharp import sample_sharp_edges
from geomflow.geometry.surface import SurfaceSamples, sample_surface
from geomflow.records import ShapeRecord

TURNS = {
    "z": np.eye(3),
    "-z": np.diag([-1.0, 1.0, -1.0]),
    "x": np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
}
"""Where the front, +z in records, can be taken, and the rotation about +y that does it: `points @ rotation`."""


def known_front(front: str) -> str:
    """Return a name of a front, if there is such a one.

    Raises:
        ConfigError: There is not; the message lists those there are.
    """
    if front not in TURNS:
        raise ConfigError(f"front must be one of {', '.join(TURNS)}, not {front!r}")
    return front


class Shape:
    """One record, scaled about the origin and, if wanted, turned: all that it returns is in the new frame.

    Args:
        record: Record with vertices and faces.
        half_extent: Longest half extent of the shape's box in the new frame; None keeps the record's scale.
        front: Where the front, +z in the record, comes to; one of `TURNS`.
    """

    def __init__(self, record: ShapeRecord, half_extent: float | None = None, front: str = "z") -> None:
        self.record = record
        extent = float(np.abs(record.vertices[np.unique(record.faces)]).max())
        self.scale = 1.0 if half_extent is None else half_extent / extent
        self.turn = TURNS[front]

    def place(self, points: Shaped[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return points of the record in the new frame."""
        return points @ self.turn * self.scale

    @functools.cached_property
    def mesh(self) -> trimesh.Trimesh:
        """The record's mesh."""
        return trimesh.Trimesh(self.place(self.record.vertices.astype(np.float64)), self.record.faces, process=False)

    @functools.cached_property
    def field(self) -> SignedDistanceField:
        """The signed distance of the mesh, with or without internal walls as in the record."""
        return SignedDistanceField(self.mesh, internal_walls=self._internal_walls)

    @functools.cached_property
    def boundary(self) -> trimesh.Trimesh:
        """The faces to which the record's distances are."""
        return self.mesh if self._internal_walls else self.field.boundary()

    def sdf(self, points: Shaped[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the signed distance (n,) at points of the new frame, negative inside."""
        return self.field(points).distance

    def surface(self, count: int) -> SurfaceSamples:
        """Return `count` points on the boundary: the record's first ones where it has enough, or else new ones."""
        if count > len(self.record.surface_points):
            return sample_surface(self.boundary, count, self.seed("surface"))
        return SurfaceSamples(
            self.place(self.record.surface_points[:count]), self.record.surface_normals[:count] @ self.turn
        )

    def sharp(self, count: int) -> SurfaceSamples:
        """Return `count` points on sharp edges, the record's if it has enough; surface points if nothing is sharp."""
        arrays = self.record.arrays()
        stored = arrays.get("sharp_points", np.zeros((0, 3)))
        if count <= len(stored):
            return SurfaceSamples(self.place(stored[:count]), arrays["sharp_normals"][:count] @ self.turn)
        sampled = sample_sharp_edges(self.boundary, count, self.seed("sharp"))
        return sampled if len(sampled.points) else sample_surface(self.boundary, count, self.seed("smooth"))

    def seed(self, purpose: str) -> int:
        """Return a seed that depends on the mesh file's hash and on what it is for."""
        return int.from_bytes(hashlib.sha256(f"{self.record.header.sha256}/{purpose}".encode()).digest()[:8], "big")

    @property
    def _internal_walls(self) -> bool:
        return bool(self.record.header.recipe.get("internal_walls", False))
