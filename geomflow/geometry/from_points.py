"""Points with normals to a closed mesh: approximate, to look at samples and to measure them.

Far from the points the sign of the distance to them is that of a winding number: every point stands for a small
triangle across its normal (after Barill et al., "Fast winding numbers for soups and clouds", SIGGRAPH 2018), as large
as the share of the surface that its neighbours leave it. Near them the distance is that to the tangent planes of the
nearest few, blended (after Hoppe et al., SIGGRAPH 1992), which also smooths their noise.
"""

from typing import Literal

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial import KDTree

from geomflow.errors import EmptySurface
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.frame import similarity_of
from geomflow.geometry.winding import WindingTree
from geomflow.libraries import library

NEIGHBOURS = 16
"""Points whose tangent planes are blended."""

Method = Literal["winding", "poisson"]


def mesh_from_points(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    resolution: int = 128,
    method: Method = "winding",
) -> trimesh.Trimesh:
    """Return a closed mesh near points, facing along their normals.

    Where the points leave a hole it is closed by a smooth surface; details finer than the points' spacing are rounded.

    Args:
        points: Points of a surface (n, 3), any unit, at least 17.
        normals: Unit normals (n, 3), facing outward.
        resolution: Samples per axis of the extraction; for `poisson` the octree is as fine as the next power of two.
        method: `winding`, or `poisson` for Open3D's screened Poisson reconstruction, if that library is installed.

    Raises:
        ValueError: An unknown method, shapes that differ, or too few points.
        ImportError: `poisson` without Open3D; the message says how to install it.
        MeshDegenerate: The points have no extent.
        EmptySurface: The points enclose nothing.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, given {method!r}")
    if points.shape != normals.shape or points.ndim != 2 or points.shape[1] != 3 or len(points) <= NEIGHBOURS:
        raise ValueError(
            f"points and normals must both have shape (n, 3) with n above {NEIGHBOURS}, given {points.shape} and "
            f"{normals.shape}"
        )
    frame = similarity_of(points)
    mesh = _METHODS[method](frame.apply(points), np.asarray(normals, dtype=np.float64), resolution)
    return trimesh.Trimesh(frame.undo(np.asarray(mesh.vertices)), mesh.faces, process=False)


def _winding(points: np.ndarray, normals: np.ndarray, resolution: int) -> trimesh.Trimesh:
    tree = KDTree(points)
    reach = np.asarray(tree.query(points, NEIGHBOURS + 1)[0])[:, -1]
    triangles = _triangles(points, normals, np.pi * np.square(reach) / NEIGHBOURS)
    winding = WindingTree(triangles.reshape(-1, 3), np.arange(3 * len(points)).reshape(-1, 3))
    near = 2 * float(np.median(reach))

    def distance(places: np.ndarray) -> np.ndarray:
        gaps, rows = tree.query(places, NEIGHBOURS, workers=-1)
        across = np.einsum("nkd,nkd->nk", places[:, None] - points[rows], normals[rows])
        weights = np.exp(-2 * np.square(gaps / gaps[:, -1:]))
        blended = (weights * across).sum(axis=1) / weights.sum(axis=1)
        far = np.where(winding(places) > 0.5, -gaps[:, 0], gaps[:, 0])
        return np.where(gaps[:, 0] < near, blended, far)

    return extract_mesh(distance, resolution)


def _triangles(points: np.ndarray, normals: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Equilateral triangles (n, 3, 3) of given areas around points, across normals."""
    first = np.cross(normals, np.eye(3)[np.abs(normals).argmin(axis=1)])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(normals, first)
    radius = np.sqrt(areas * 4 / 27**0.5)[:, None]
    turns = 2 * np.pi * np.arange(3) / 3
    return np.stack([points + radius * (np.cos(a) * first + np.sin(a) * second) for a in turns], axis=1)


def _poisson(points: np.ndarray, normals: np.ndarray, resolution: int) -> trimesh.Trimesh:
    open3d = library("open3d", "method 'poisson' (unlike 'winding')", "geomflow[open3d]")
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(normals)
    depth = max(1, int(np.ceil(np.log2(resolution))))
    mesh, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=depth, n_threads=1)
    if not len(mesh.triangles):
        raise EmptySurface("Poisson reconstruction found no surface")
    return trimesh.Trimesh(np.asarray(mesh.vertices), np.asarray(mesh.triangles), process=False)


_METHODS = {"winding": _winding, "poisson": _poisson}
