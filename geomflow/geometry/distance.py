"""Signed distance to real meshes: an exact distance, a sign, and how far to trust the sign.

The distance is exact (closest point on a bounding-volume hierarchy). The sign is a hard threshold of the generalised
winding number (Jacobson et al., SIGGRAPH 2013) of the re-oriented soup; the confidence is how far that number is from
the threshold. Values are never scaled by the winding number: that would bend the distance near holes.
"""

import functools
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float, Shaped

from geomflow.errors import MeshHasNoFaces
from geomflow.geometry.bvh import Bvh, Closest
from geomflow.geometry.curve import along_curve
from geomflow.geometry.frame import normalize
from geomflow.geometry.mesh_type import check_mesh
from geomflow.geometry.orient import orient
from geomflow.geometry.sight import SharedWinding

REACH = 1e15
"""Half extents of a mesh within which points can be asked about: their squares fit float32."""

WALL_STEP = 1e-3
"""How far to either side of a face, in half extents of the mesh, the inside is looked for."""

WALL_SIGHT = 0.05
"""Length of the way that is looked along: from its middle more is in sight, and nothing lies between."""

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
        TypeError: It is no mesh.
        MeshHasNoFaces: There is no face.
        MeshDegenerate: The mesh has no extent.
        ValueError: In calls, points of another shape than (n, 3), not finite, or absurdly far away.
    """

    def __init__(self, mesh: trimesh.Trimesh, internal_walls: bool = True, device: str = "cpu") -> None:
        check_mesh(mesh)
        if not len(mesh.faces):
            raise MeshHasNoFaces("signed distance wants a mesh with faces, given one without any")
        unit, self._frame = normalize(mesh, margin=1.0)
        self._surface, encloses = orient(unit)
        vertices, faces = np.asarray(self._surface.vertices), np.asarray(self._surface.faces)
        self._tree = Bvh(vertices, faces, device)
        self._winding = SharedWinding(vertices, faces[encloses], self._tree)
        walls = internal_walls or not self._buried.any()
        self._boundary = self._tree if walls else Bvh(vertices, faces[~self._buried], device)

    def __call__(self, points: Shaped[np.ndarray, "n 3"]) -> SignedDistance:
        """Return the signed distance at points (n, 3) given in the mesh's own frame."""
        local = self._local(points)
        order = along_curve(local) if len(points) else np.zeros(0, dtype=int)  # neighbours find the tree in the cache
        closest = self._boundary.closest(local[order])
        inside, confidence = self._inside(local[order], closest)
        answer = SignedDistance(np.empty(len(points), dtype=np.float32), np.empty(len(points), dtype=np.float32))
        answer.distance[order] = np.where(inside, -1, 1) * self._in_unit(closest.distance)
        answer.confidence[order] = confidence
        return answer

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Lower and upper corner of the mesh in its own frame."""
        return self._frame.undo(np.asarray(self._surface.bounds))

    def unsigned(self, points: Shaped[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the exact distance (n,) to the surface in the mesh's unit.

        Args:
            points: Where to ask, in the mesh's unit.
        """
        return self._in_unit(self._boundary.closest(self._local(points)).distance)

    def boundary(self) -> trimesh.Trimesh:
        """Return the oriented surface without the faces that are buried inside the solid, in the mesh's own frame."""
        vertices = self._frame.undo(np.asarray(self._surface.vertices))
        return trimesh.Trimesh(vertices, np.asarray(self._surface.faces)[~self._buried], process=False)

    def _in_unit(self, distance: np.ndarray) -> np.ndarray:
        return (distance / self._frame.scale).astype(np.float32)

    @functools.cached_property
    def _buried(self) -> np.ndarray:
        """Faces with the inside on both of their sides, at their centre and everywhere else that is looked at."""
        buried = np.arange(len(self._surface.faces))
        for spots in (WALL_SPOTS[:1], WALL_SPOTS[1:]):
            buried = buried[self._inside_on_both_sides(buried, spots)]
        return np.isin(np.arange(len(self._surface.faces)), buried)

    def _inside_on_both_sides(self, chosen: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Whether each chosen face has the inside in front and behind at all barycentric spots (k, 3).

        Only the winding number in front is looked for; behind a face it is larger by one.
        """
        corners = np.asarray(self._surface.vertices)[np.asarray(self._surface.faces)[chosen]]
        normals = np.tile(np.asarray(self._surface.face_normals)[chosen], (len(weights), 1))
        spots = np.einsum("kc,ncd->knd", weights, corners).reshape(-1, 3) + WALL_STEP * normals
        half_way = self._tree.free_way(spots, normals, WALL_SIGHT) / 2
        in_front = Closest(half_way, np.ones(len(spots), dtype=np.int32))
        front = self._winding(spots + normals * half_way[:, None], in_front).reshape(len(weights), -1)
        return np.all(front > 0.5, axis=0)

    def _local(self, points: np.ndarray) -> np.ndarray:
        """Points in the frame of the surface, once they are known to be points that float32 can measure from."""
        points = np.asarray(points)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"points must have shape (n, 3), given {points.shape}")
        local = self._frame.apply(points)
        if not np.abs(local).max(initial=0) < REACH:
            raise ValueError(f"points must be finite and within {REACH:g} half extents, given NaN or farther ones")
        return local

    def _inside(self, points: np.ndarray, closest: Closest) -> tuple[np.ndarray, np.ndarray]:
        winding = self._winding(points, closest)
        return winding > 0.5, np.clip(np.abs(2 * winding - 1), 0, 1)


def signed_distance(mesh: trimesh.Trimesh, points: Shaped[np.ndarray, "n 3"]) -> SignedDistance:
    """Return signed distance and confidence at points (n, 3); see `SignedDistanceField` to ask the same mesh again.

    Args:
        mesh: The mesh, whatever its state.
        points: Where to ask, in the mesh's unit.

    Raises:
        TypeError: It is no mesh.
        MeshHasNoFaces: There is no face.
        MeshDegenerate: The mesh has no extent.
        ValueError: Points of another shape than (n, 3), not finite, or absurdly far away.
    """
    return SignedDistanceField(mesh)(points)
