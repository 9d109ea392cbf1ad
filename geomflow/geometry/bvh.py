"""Bounding-volume queries on a mesh: closest distance and ray parity, as Warp kernels (CPU and CUDA)."""

from typing import Any, cast, no_type_check

import numpy as np
from jaxtyping import Float, Integer, Shaped

from geomflow.warp_runtime import wp


class Bvh:
    """A Warp bounding-volume hierarchy over triangles, in float32.

    Args:
        vertices: Positions (v, 3); keep them near unit scale, since the tree works in float32.
        faces: Triangles (f, 3).
        device: A Warp device name, such as `cpu` or `cuda`.
    """

    def __init__(
        self, vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"], device: str = "cpu"
    ) -> None:
        self.device = device
        self.mesh = wp.Mesh(
            points=wp.array(np.asarray(vertices, dtype=np.float32), dtype=wp.vec3, device=device),
            indices=wp.array(np.asarray(faces, dtype=np.int32).ravel(), dtype=wp.int32, device=device),
        )

    def distance(self, points: Shaped[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the distance from each point to the closest point of the surface (n,)."""
        return self._launch(_closest_distance, points)

    def parity(self, points: Shaped[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the share of `RAYS` fixed rays from each point that cross the surface an odd number of times (n,)."""
        return self._launch(_odd_crossings, points, wp.array(RAYS, dtype=wp.vec3, device=self.device))

    def _launch(self, kernel: object, points: np.ndarray, *extra: object) -> np.ndarray:
        out = wp.empty(len(points), dtype=cast(Any, wp.float32), device=self.device)
        queries = wp.array(np.ascontiguousarray(points, dtype=np.float32), dtype=wp.vec3, device=self.device)
        wp.launch(cast(Any, kernel), len(points), [self.mesh.id, queries, *extra, out], device=self.device)
        return out.numpy()


def spread_directions(count: int) -> np.ndarray:
    """Return directions (count, 3) spread by the golden angle, turned so that they miss modelled edges."""
    k = np.arange(count) + 0.5
    height, angle = 1 - 2 * k / count, np.pi * (1 + np.sqrt(5)) * k + 0.377
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1).astype(np.float32)


RAYS = spread_directions(7)


@wp.kernel(enable_backward=False)
@no_type_check
def _closest_distance(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), distance: wp.array(dtype=wp.float32)):  # pyright: ignore
    i = wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e9)
    closest = wp.mesh_eval_position(mesh, query.face, query.u, query.v)
    distance[i] = wp.length(points[i] - closest)


@wp.kernel(enable_backward=False)
@no_type_check
def _odd_crossings(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    directions: wp.array(dtype=wp.vec3),  # pyright: ignore
    share: wp.array(dtype=wp.float32),  # pyright: ignore
):
    i = wp.tid()
    odd = wp.int32(0)
    for k in range(directions.shape[0]):
        odd += wp.mesh_query_ray_count_intersections(mesh, points[i], directions[k], -1) % 2
    share[i] = wp.float32(odd) / wp.float32(directions.shape[0])
