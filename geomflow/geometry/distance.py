"""Signed distance to real meshes: an exact distance, a voted sign, and how far to trust the sign.

The distance is exact (closest point on a bounding-volume hierarchy). The sign is a hard threshold of the generalised
winding number (Jacobson et al., SIGGRAPH 2013; fast evaluation by Barill et al., 2018) of the re-oriented soup; where
that number is far from an integer, rays vote on parity and the bolder of the two wins. Values are never scaled by the
winding number: that would bend the distance near holes.
"""

import functools
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float, Shaped

from geomflow.errors import MeshHasNoFaces
from geomflow.geometry.bvh import Bvh
from geomflow.geometry.frame import Similarity, normalize
from geomflow.geometry.orient import orient
from geomflow.geometry.winding import winding_number

CLEAR_MARGIN = 0.9
"""Winding numbers whose margin |2|w| - 1| exceeds this need no second vote."""


WALL_STEP = 1e-3
"""How far to either side of a face, in half extents of the mesh, the inside is looked for."""

WALL_SPOTS = np.vstack([np.full((1, 3), 1 / 3), 0.9 * np.eye(3) + 1 / 30, 0.45 * (1 - np.eye(3)) + 1 / 30])
"""Barycentric places - centre, near the corners, near the edges - where a face must be buried to count as a wall."""


class SignedDistance(NamedTuple):
    """Signed distances (negative inside, in the mesh's unit) and the confidence of each sign in [0, 1]."""

    distance: Float[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]


class SignedDistanceField:
    """The signed distance of one mesh, with its search trees built once.

    Args:
        mesh: Mesh with faces: open, unoriented, self-overlapping and multi-body meshes are what this is for.
        internal_walls: Whether faces buried inside the solid count as surface. With False, distances are to the
            boundary of the union of overlapping bodies; the sign is the same either way.
        device: Where distances and rays are computed, a Warp device name.

    Raises:
        MeshHasNoFaces: There is no face.
        MeshDegenerate: The mesh has no extent.
    """

    def __init__(self, mesh: trimesh.Trimesh, internal_walls: bool = True, device: str = "cpu") -> None:
        if not len(getattr(mesh, "faces", ())):
            raise MeshHasNoFaces("signed distance wants a mesh with faces, given one without any")
        unit, self._frame = normalize(mesh, margin=1.0)
        self._surface = orient(unit)
        vertices, faces = np.asarray(self._surface.vertices), np.asarray(self._surface.faces)
        self._rays = Bvh(vertices, faces, device)
        self._boundary = self._rays if internal_walls else Bvh(vertices, faces[~self._buried], device)

    def __call__(self, points: Shaped[np.ndarray, "n 3"]) -> SignedDistance:
        """Return the signed distance at points (n, 3) given in the mesh's own frame."""
        inside, confidence = self._inside(self._local(points))
        return SignedDistance(np.where(inside, -1, 1).astype(np.float32) * self.unsigned(points), confidence)

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Lower and upper corner of the mesh in its own frame."""
        return self._frame.undo(np.asarray(self._surface.bounds))

    def unsigned(self, points: Shaped[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the exact distance (n,) to the surface in the mesh's unit."""
        return (self._boundary.distance(self._local(points)) / self._frame.scale).astype(np.float32)

    def boundary(self) -> trimesh.Trimesh:
        """Return the oriented surface without the faces that are buried inside the solid, in the mesh's own frame."""
        vertices = self._frame.undo(np.asarray(self._surface.vertices))
        return trimesh.Trimesh(vertices, np.asarray(self._surface.faces)[~self._buried], process=False)

    @functools.cached_property
    def _buried(self) -> np.ndarray:
        """Faces with the inside on both of their sides, at their centre and everywhere else that is looked at."""
        buried = np.arange(len(self._surface.faces))
        for weights in WALL_SPOTS:
            buried = buried[self._inside_on_both_sides(buried, weights)]
        return np.isin(np.arange(len(self._surface.faces)), buried)

    def _inside_on_both_sides(self, chosen: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Whether each chosen face, at one barycentric spot, has the inside in front and behind."""
        vertices, faces = np.asarray(self._surface.vertices), np.asarray(self._surface.faces)
        spots = np.einsum("k,nkd->nd", weights, vertices[faces[chosen]])
        step = WALL_STEP * np.asarray(self._surface.face_normals)[chosen]
        both = winding_number(vertices, faces, np.concatenate([spots + step, spots - step]))
        return np.all(np.abs(both).reshape(2, -1) > 0.5, axis=0)

    def _local(self, points: np.ndarray) -> np.ndarray:
        return _checked(self._frame, points)

    def _inside(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        winding = np.abs(winding_number(np.asarray(self._surface.vertices), np.asarray(self._surface.faces), points))
        inside, margin = winding > 0.5, np.clip(np.abs(2 * winding - 1), 0, 1).astype(np.float32)
        unclear = np.flatnonzero(margin < CLEAR_MARGIN)
        inside[unclear], margin[unclear] = _vote(inside[unclear], margin[unclear], self._rays.parity(points[unclear]))
        return inside, margin


def signed_distance(mesh: trimesh.Trimesh, points: Shaped[np.ndarray, "n 3"]) -> SignedDistance:
    """Return signed distance and confidence at points (n, 3); see `SignedDistanceField` to ask the same mesh again."""
    return SignedDistanceField(mesh)(points)


def _checked(frame: Similarity, points: np.ndarray) -> np.ndarray:
    points = np.asarray(points)
    if not np.isfinite(points).all():
        raise ValueError("points must be finite, given NaN or infinite coordinates")
    return frame.apply(points)


def _vote(inside: np.ndarray, margin: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Settle winding number against parity: the one further from a tie wins, and disagreement halves confidence."""
    rays_inside, rays_margin = odd > 0.5, np.abs(2 * odd - 1)
    agree = rays_inside == inside
    winner = np.where(rays_margin > margin, rays_inside, inside)
    confidence = np.where(agree, np.maximum(margin, rays_margin), np.abs(margin - rays_margin) / 2)
    return winner, confidence.astype(np.float32)
