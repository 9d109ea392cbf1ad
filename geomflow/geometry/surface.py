"""Points on a surface: area-weighted sampling with normals."""

from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.errors import MeshDegenerate


class SurfaceSamples(NamedTuple):
    """Points on a mesh and the unit normals of the faces they lie on."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]


def sample_surface(mesh: trimesh.Trimesh, count: int, seed: int = 0) -> SurfaceSamples:
    """Return exactly `count` points drawn uniformly by area, with face normals.

    Faces are chosen by inverting the cumulative area in float64; inside a face the square-root map of two uniform
    numbers is uniform (Turk, Graphics Gems, 1990).

    Args:
        mesh: Mesh with faces, any unit.
        count: Number of points, at least 0.
        seed: Same seed and mesh, same points.

    Raises:
        ValueError: `count` is negative.
        MeshDegenerate: The mesh has no area.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, not {count}")
    rng = np.random.default_rng(seed)
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = np.linalg.norm(cross, axis=1)
    face = _choose(double_area, rng.random(count))
    points = _inside(corners[face], rng.random((count, 2)))
    return SurfaceSamples(points, cross[face] / double_area[face, None])


def _choose(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Indices drawn in proportion to `weights`, never one of weight zero."""
    cumulative = np.cumsum(weights, dtype=np.float64)
    if not (len(weights) and cumulative[-1] > 0):
        raise MeshDegenerate("cannot sample a surface without area: wanted at least one face of positive area")
    return np.searchsorted(cumulative, uniform * cumulative[-1], side="right").clip(0, np.flatnonzero(weights)[-1])


def _inside(corners: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Uniform points in triangles (n, 3, 3) from uniform numbers (n, 2)."""
    root = np.sqrt(uniform[:, :1])
    weights = np.hstack([1 - root, root * (1 - uniform[:, 1:]), root * uniform[:, 1:]])
    return np.einsum("nk,nkd->nd", weights, corners)
