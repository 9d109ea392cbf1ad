"""Points on a surface: area-weighted sampling with normals."""

from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float, Int

from geomflow.errors import MeshDegenerate
from geomflow.geometry.mesh_type import check_mesh


class SurfaceSamples(NamedTuple):
    """Points on a mesh and the unit normals of the faces they lie on."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]


class Places(NamedTuple):
    """Places on a mesh: faces, and the weights of their corners, which sum to 1."""

    faces: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, "n 3"]


def sample_surface(mesh: trimesh.Trimesh, count: int, seed: int = 0) -> SurfaceSamples:
    """Return exactly `count` points drawn uniformly by area, with face normals.

    Args:
        mesh: Mesh with faces, any unit.
        count: Number of points, at least 0.
        seed: Same seed and mesh, same points.

    Raises:
        TypeError: It is no mesh.
        ValueError: `count` is negative.
        MeshDegenerate: The mesh has no area.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, not {count}")
    sampler = SurfaceSampler(mesh)
    places = sampler.places(count, np.random.default_rng(seed))
    return SurfaceSamples(sampler.points(places), sampler.normals(places))


class SurfaceSampler:
    """Draws points of one mesh uniformly by area; the areas are summed once.

    Faces are chosen by inverting the cumulative area in float64; inside a face the square-root map of two uniform
    numbers is uniform (Turk, Graphics Gems, 1990).

    Args:
        mesh: Mesh with faces, any unit.

    Raises:
        TypeError: It is no mesh.
        MeshDegenerate: The mesh has no area.
    """

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        check_mesh(mesh)
        self._vertices, self._faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        corners = self._vertices[self._faces]
        self._cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._double_area = np.linalg.norm(self._cross, axis=1)
        self._cumulative = np.cumsum(self._double_area, dtype=np.float64)
        if not (len(self._faces) and self._cumulative[-1] > 0):
            raise MeshDegenerate("cannot sample a surface without area: wanted at least one face of positive area")
        self._last = np.flatnonzero(self._double_area)[-1]

    def places(self, count: int, rng: np.random.Generator) -> Places:
        """Return random places, never on a face without area.

        Args:
            count: How many places.
            rng: Source of everything random in it.
        """
        level, uniform = rng.random(count) * self._cumulative[-1], rng.random((count, 2))
        face = np.searchsorted(self._cumulative, level, side="right").clip(0, self._last)
        root = np.sqrt(uniform[:, :1])
        return Places(face, np.hstack([1 - root, root * (1 - uniform[:, 1:]), root * uniform[:, 1:]]))

    def points(self, places: Places) -> Float[np.ndarray, "n 3"]:
        """Return where places are.

        Args:
            places: What `places` returned.
        """
        return np.einsum("nk,nkd->nd", places.weights, self._vertices[self._faces[places.faces]])

    def normals(self, places: Places) -> Float[np.ndarray, "n 3"]:
        """Return the unit normals of the faces that places are on.

        Args:
            places: What `places` returned.
        """
        return self._cross[places.faces] / self._double_area[places.faces, None]
