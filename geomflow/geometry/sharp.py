"""Points on sharp edges: where two faces meet at an angle, uniform by length."""

import numpy as np
import trimesh

from geomflow.geometry.surface import SurfaceSamples
from geomflow.geometry.weld import weld

SHARP_ANGLE = np.radians(20)
"""Least angle between the normals of two faces whose common edge is sharp."""


def sample_sharp_edges(mesh: trimesh.Trimesh, count: int, seed: int = 0) -> SurfaceSamples:
    """Return `count` points on the mesh's sharp edges, with the mean normals of their two faces; none if none is sharp.

    Args:
        mesh: Mesh whose faces agree across edges; vertices at the same place are one.
        count: Number of points.
        seed: Same seed and mesh, same points.

    Raises:
        TypeError: It is no mesh.
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, not {count}")
    welded = weld(mesh)
    sharp = welded.face_adjacency_angles > SHARP_ANGLE
    ends = np.asarray(welded.vertices)[welded.face_adjacency_edges[sharp]]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    pairs = np.asarray(welded.face_normals)[welded.face_adjacency[sharp]]
    normals = pairs.sum(axis=1)
    usable = (length > 0) & np.all(pairs.any(axis=2), axis=1)  # a face without area has no normal, and makes no angle
    usable &= np.linalg.norm(normals, axis=1) > 1e-6  # nor has a fold of 180 degrees a mean normal
    if not usable.any():
        return SurfaceSamples(np.zeros((0, 3)), np.zeros((0, 3)))
    return _along(ends[usable], normals[usable], length[usable], count, seed)


def _along(ends: np.ndarray, normals: np.ndarray, length: np.ndarray, count: int, seed: int) -> SurfaceSamples:
    """Points on segments (e, 2, 3), drawn in proportion to their length."""
    rng = np.random.default_rng(seed)
    edge = rng.choice(len(ends), count, p=length / length.sum())
    along = rng.random((count, 1))
    points = (1 - along) * ends[edge, 0] + along * ends[edge, 1]
    return SurfaceSamples(points, normals[edge] / np.linalg.norm(normals[edge], axis=1, keepdims=True))
