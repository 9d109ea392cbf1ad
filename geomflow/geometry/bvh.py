"""Bounding-volume queries on a mesh - closest distance, sight, ray parity - as Warp kernels (CPU and CUDA)."""

from typing import Any, NamedTuple, cast, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from geomflow.geometry.curve import along_curve
from geomflow.warp_runtime import wp
from geomflow.warp_triangles import SLENDER, to_triangle

ON_EDGE = wp.constant(1e-5)
"""Barycentric coordinate up to which a closest point lies on an edge."""


class Closest(NamedTuple):
    """What lies closest to each point.

    Attributes:
        distance: Distance to the surface (n,).
        side: 1 or -1 for the side of the closest face (n,), 0 where that says nothing of the point: the closest point
            is on an open border, or on a triangle too slender to have sides.
    """

    distance: Float[np.ndarray, " n"]
    side: Integer[np.ndarray, " n"]


class Bvh:
    """A Warp bounding-volume hierarchy over triangles, in float32.

    Args:
        vertices: Positions (v, 3); keep them near unit scale, since the tree works in float32.
        faces: Triangles (f, 3).
        device: A Warp device name, such as `cpu` or `cuda`.
        groups: Numbers of the groups of triangles (f,) to which rays can be restricted.
    """

    def __init__(
        self,
        vertices: Shaped[np.ndarray, "v 3"],
        faces: Integer[np.ndarray, "f 3"],
        device: str = "cpu",
        groups: Integer[np.ndarray, " f"] | None = None,
    ) -> None:
        borders, corners = border_edges(np.asarray(faces)), np.asarray(vertices, dtype=np.float32)[faces]
        slender = corners[_width(corners) <= SLENDER]
        self.device = device
        self._mesh = wp.Mesh(
            points=self._vectors(vertices),
            indices=self._array(np.ravel(faces), wp.int32),
            groups=None if groups is None else self._array(groups, wp.int32),
        )
        self._borders = self._array(borders, wp.int32)
        order = along_curve(slender.mean(axis=1)) if len(slender) else slice(0)
        boxes = _boxes(slender[order])
        self._slender = [self._array(slender[order], wp.vec3), *(self._array(part, wp.vec3) for part in boxes)]

    def closest(self, points: Shaped[np.ndarray, "n 3"]) -> Closest:
        """Return the distance from each point to the surface, and the side of it that the point is on.

        Args:
            points: Where to ask.
        """
        distance, side = self._empty(len(points), wp.float32), self._empty(len(points), wp.int32)
        surface = [self._mesh.id, self._borders, *self._slender]
        self._launch(_closest, len(points), [*surface, self._vectors(points), distance, side])
        return Closest(distance.numpy(), side.numpy())

    def sees(self, points: Shaped[np.ndarray, "n 3"], targets: Shaped[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return whether the segment from each point to its target misses the surface (n,).

        Args:
            points: Where to ask.
            targets: Where the segments end.
        """
        free = self._empty(len(points), wp.int32)
        self._launch(_sees, len(points), [self._mesh.id, self._vectors(points), self._vectors(targets), free])
        return free.numpy() == 1

    def free_way(
        self, points: Shaped[np.ndarray, "n 3"], directions: Shaped[np.ndarray, "n 3"], most: float
    ) -> Float[np.ndarray, " n"]:
        """Return how far one can go from each point along its unit direction without meeting the surface (n,).

        Args:
            points: Where to ask.
            directions: Unit directions.
            most: Length beyond which nobody looks.
        """
        way = self._empty(len(points), wp.float32)
        self._launch(
            _free_way, len(points), [self._mesh.id, self._vectors(points), self._vectors(directions), most, way]
        )
        return way.numpy()

    def parity(
        self, points: Shaped[np.ndarray, "n 3"], groups: Integer[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, " n"]:
        """Return the share of `RAYS` fixed rays from each point that cross the surface an odd number of times (n,).

        Args:
            points: Where the rays begin.
            groups: The group of triangles that counts for each point; all triangles if None.
        """
        share = self._empty(len(points), wp.float32)
        counted = self._array(np.full(len(points), -1) if groups is None else groups, wp.int32)
        arguments = [self._mesh.id, self._vectors(points), counted, self._vectors(RAYS), share]
        self._launch(_odd_crossings, len(points), arguments)
        return share.numpy()

    def _launch(self, kernel: object, count: int, arguments: list[object]) -> None:
        wp.launch(cast(Any, kernel), count, arguments, device=self.device)

    def _array(self, values: np.ndarray, kind: object) -> wp.array:
        return wp.array(values, dtype=cast(Any, kind), device=self.device)

    def _vectors(self, positions: np.ndarray) -> wp.array:
        return self._array(np.ascontiguousarray(positions, dtype=np.float32), wp.vec3)

    def _empty(self, count: int, kind: object) -> wp.array:
        return wp.empty(count, dtype=cast(Any, kind), device=self.device)


def spread_directions(count: int) -> np.ndarray:
    """Return directions (count, 3) spread by the golden angle, turned so that they miss modelled edges.

    Args:
        count: How many.
    """
    k = np.arange(count) + 0.5
    height, angle = 1 - 2 * k / count, np.pi * (1 + np.sqrt(5)) * k + 0.377
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1).astype(np.float32)


RAYS = spread_directions(7)


def border_edges(faces: Integer[np.ndarray, "f 3"]) -> Integer[np.ndarray, " f"]:
    """Return three bits per face (f,): which of its edges 01, 12, 20 are not run through equally often both ways.

    Args:
        faces: Three vertices of each face.
    """
    if not len(faces):
        return np.zeros(0, dtype=np.int64)
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    key = edges.min(axis=1) * (faces.max(initial=0) + 1) + edges.max(axis=1)
    _, edge = np.unique(key, return_inverse=True)
    balance = np.bincount(edge, np.sign(edges[:, 1] - edges[:, 0]))
    return (balance[edge] != 0).reshape(-1, 3) @ np.array([1, 2, 4])


def _boxes(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corners of the boxes of a complete binary tree over triangles, node i above 2 i and 2 i + 1.

    The first place is empty; leaves without a triangle are beyond all reach.
    """
    leaves = 1 << max(0, (len(triangles) - 1).bit_length())
    lower, upper = np.full((2 * leaves, 3), np.inf), np.full((2 * leaves, 3), -np.inf)
    lower[leaves : leaves + len(triangles)] = triangles.min(axis=1)
    upper[leaves : leaves + len(triangles)] = triangles.max(axis=1)
    level = leaves // 2
    while level:
        lower[level : 2 * level] = lower[2 * level : 4 * level].reshape(level, 2, 3).min(axis=1)
        upper[level : 2 * level] = upper[2 * level : 4 * level].reshape(level, 2, 3).max(axis=1)
        level //= 2
    return lower, upper


def _width(corners: np.ndarray) -> np.ndarray:
    """Twice the area of each triangle over the sum of its squared edges: 0.29 if equilateral, 0 without area."""
    edges = corners - np.roll(corners, 1, axis=1)
    area = np.linalg.norm(np.cross(edges[:, 1], edges[:, 2]), axis=1)
    return area / np.maximum((edges**2).sum(axis=(1, 2)), np.finfo(np.float32).tiny)


@wp.func
@no_type_check
def _from_face(mesh: wp.uint64, face: wp.int32, point: wp.vec3) -> wp.float32:
    """Distance to a face: Warp's own barycentric coordinates lose digits on long triangles."""
    corner = wp.mesh_get_point(mesh, 3 * face)
    first, second = wp.mesh_get_point(mesh, 3 * face + 1), wp.mesh_get_point(mesh, 3 * face + 2)
    return to_triangle(point - corner, first - corner, second - corner)


@wp.kernel(enable_backward=False)
@no_type_check
def _closest(
    mesh: wp.uint64,
    borders: wp.array(dtype=wp.int32),  # pyright: ignore
    slender: wp.array2d(dtype=wp.vec3),  # pyright: ignore
    lower: wp.array(dtype=wp.vec3),  # pyright: ignore
    upper: wp.array(dtype=wp.vec3),  # pyright: ignore
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    distance: wp.array(dtype=wp.float32),  # pyright: ignore
    side: wp.array(dtype=wp.int32),  # pyright: ignore
):
    """Warp's own search, an upper bound where triangles are slender; those are then searched within it."""
    i = wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e9)
    offset = points[i] - wp.mesh_eval_position(mesh, query.face, query.u, query.v)
    best = _from_face(mesh, query.face, points[i])
    found = wp.where(wp.dot(wp.mesh_eval_face_normal(mesh, query.face), offset) < 0.0, -1, 1)
    open = borders[query.face]
    on_first = (open & 1) != 0 and 1.0 - query.u - query.v < ON_EDGE
    if on_first or ((open & 2) != 0 and query.u < ON_EDGE) or ((open & 4) != 0 and query.v < ON_EDGE):
        found = 0
    leaves = lower.shape[0] // 2
    node = wp.int32(1)
    while node != 0:  # depth first without a stack
        gap = wp.max(wp.max(lower[node] - points[i], points[i] - upper[node]), wp.vec3(0.0))
        if wp.length(gap) < best:
            if node < leaves:
                node = 2 * node
                continue
            corner = slender[node - leaves, 0]
            d = to_triangle(points[i] - corner, slender[node - leaves, 1] - corner, slender[node - leaves, 2] - corner)
            if d < best:
                best = d
                found = 0
        node += 1
        while (node & 1) == 0:
            node = node >> 1
        if node == 1:
            node = 0
    distance[i] = best
    side[i] = found


@wp.kernel(enable_backward=False)
@no_type_check
def _sees(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    targets: wp.array(dtype=wp.vec3),  # pyright: ignore
    free: wp.array(dtype=wp.int32),  # pyright: ignore
):
    i = wp.tid()
    path = targets[i] - points[i]
    length = wp.length(path)
    free[i] = 1
    if length > 0.0:
        free[i] = wp.where(wp.mesh_query_ray_anyhit(mesh, points[i], path / length, length, -1), 0, 1)


@wp.kernel(enable_backward=False)
@no_type_check
def _free_way(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    directions: wp.array(dtype=wp.vec3),  # pyright: ignore
    most: wp.float32,
    way: wp.array(dtype=wp.float32),  # pyright: ignore
):
    i = wp.tid()
    query = wp.mesh_query_ray(mesh, points[i], directions[i], most)
    way[i] = wp.where(query.result, query.t, most)


@wp.kernel(enable_backward=False)
@no_type_check
def _odd_crossings(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    groups: wp.array(dtype=wp.int32),  # pyright: ignore
    directions: wp.array(dtype=wp.vec3),  # pyright: ignore
    share: wp.array(dtype=wp.float32),  # pyright: ignore
):
    i = wp.tid()
    root = wp.int32(-1)
    if groups[i] >= 0:
        root = wp.mesh_get_group_root(mesh, groups[i])
    odd = wp.int32(0)
    for k in range(directions.shape[0]):
        odd += wp.mesh_query_ray_count_intersections(mesh, points[i], directions[k], root) % 2
    share[i] = wp.float32(odd) / wp.float32(directions.shape[0])
