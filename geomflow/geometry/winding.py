"""Generalised winding numbers of triangle soups, as Warp kernels (CPU and CUDA).

The number of a point is the solid angle of the surface around it, over 4 pi (Jacobson et al., SIGGRAPH 2013). As in the
fast evaluation of Barill et al. (SIGGRAPH 2018), a tree holds the area vectors of ever larger groups of faces; from
afar a group counts as the first two terms of its expansion about its centre,

    4 pi w(p) = sum_t a_t n_t . f(c_t - p) ~ N . f(x) + M : grad f(x),   f(x) = x / |x|^3,   x = q - p,

with N = sum a_t n_t and M = sum (c_t - q) (a_t n_t)^T; close by, faces count with their exact solid angles.
"""

from typing import Any, NamedTuple, cast, no_type_check

import numpy as np
from jaxtyping import Float, Integer, Shaped

from geomflow.geometry.curve import along_curve
from geomflow.warp_runtime import wp

LEAF = wp.constant(2)
"""Faces of a leaf."""

AFAR = 2.0
"""Radii from its centre at which a group counts by its expansion: errors stay under 0.04, mostly under 0.01."""

FARTHER = 8.0
"""The same where more is wanted: errors stay under 0.001."""


def winding_number(
    vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"], points: Shaped[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Return how often the surface turns around each point: 1 inside a closed outward body, 0 outside of it."""
    if not (len(faces) and len(points)):
        return np.zeros(len(points), dtype=np.float32)
    used = np.asarray(vertices)[faces]
    centre, size = used.mean(axis=(0, 1)), max(float(np.ptp(used.reshape(-1, 3), axis=0).max()), np.finfo(float).tiny)
    return WindingTree((np.asarray(vertices) - centre) / size, faces)((np.asarray(points) - centre) / size)


class WindingTree:
    """Winding numbers of one surface, its tree built once.

    Args:
        vertices: Positions (v, 3) about unit size, since the kernels work in float32.
        faces: Triangles (f, 3), at least one.
        device: A Warp device name.
    """

    def __init__(
        self, vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"], device: str = "cpu"
    ) -> None:
        triangles = np.asarray(vertices, dtype=np.float64)[faces]
        triangles = triangles[along_curve(triangles.mean(axis=1))]
        levels = _levels(triangles)
        nodes = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        kinds = (wp.vec3, wp.float32, wp.vec3, wp.mat33)
        self._device, self._faces, self._leaves = device, len(triangles), len(levels[-1].radius)
        self._arrays = [self._array(triangles, wp.vec3), *map(self._array, nodes, kinds)]

    def __call__(self, points: Shaped[np.ndarray, "n 3"], afar: float = AFAR) -> Float[np.ndarray, " n"]:
        """Return the winding number (n,) at points (n, 3); groups of faces count by expansion from `afar` radii on."""
        number = wp.empty(len(points), dtype=cast(Any, wp.float32), device=self._device)
        arguments = [self._faces, self._leaves, afar, *self._arrays, self._array(points, wp.vec3), number]
        wp.launch(cast(Any, _winding), len(points), arguments, device=self._device)
        return number.numpy()

    def _array(self, values: np.ndarray, kind: object) -> wp.array:
        numbers = np.ascontiguousarray(values, dtype=np.float32)
        return wp.array(numbers, dtype=cast(Any, kind), device=self._device)


class _Level(NamedTuple):
    """Groups of faces of one level of a complete binary tree; without faces they have no size and count for nothing.

    Attributes:
        centre: Mean of the faces' centroids, by area (g, 3).
        radius: Farthest corner from it (g,).
        vector: Sum of the faces' area vectors (g, 3).
        moment: Sum of (centroid - centre) (area vector)^T (g, 3, 3).
    """

    centre: np.ndarray
    radius: np.ndarray
    vector: np.ndarray
    moment: np.ndarray


def _levels(triangles: np.ndarray) -> list[_Level]:
    """All levels from the root, in front of which one place stays empty: the children of node i are 2 i and 2 i + 1."""
    leaves = 1 << max(0, (-(-len(triangles) // LEAF) - 1).bit_length())
    padding = np.broadcast_to(triangles[-1:, :1], (leaves * LEAF - len(triangles), 3, 3))  # a point: no area, no reach
    padded = np.concatenate([triangles, padding])
    nowhere = _Level(*(np.zeros((1, *shape)) for shape in ((3,), (), (3,), (3, 3))))
    return [nowhere, *(_level(padded.reshape(1 << depth, -1, 3, 3)) for depth in range(leaves.bit_length()))]


def _level(groups: np.ndarray) -> _Level:
    """The expansion of each group of triangles (g, k, 3, 3)."""
    vector = np.cross(groups[:, :, 1] - groups[:, :, 0], groups[:, :, 2] - groups[:, :, 0]) / 2
    area, centroid = np.linalg.norm(vector, axis=2), groups.mean(axis=2)
    weight = area + area.mean(axis=1, keepdims=True) * 1e-9 + np.finfo(float).tiny
    centre = np.einsum("gk,gkd->gd", weight, centroid) / weight.sum(axis=1)[:, None]
    reach = np.linalg.norm(groups - centre[:, None, None], axis=3).max(axis=(1, 2))
    moment = np.einsum("gki,gkj->gij", centroid - centre[:, None], vector)
    return _Level(centre, reach, vector.sum(axis=1), moment)


@wp.func
@no_type_check
def _half_angle(a: wp.vec3, b: wp.vec3, c: wp.vec3) -> wp.float32:
    """Half the solid angle of a triangle at the origin (Van Oosterom and Strackee, 1983)."""
    x, y, z = wp.length(a), wp.length(b), wp.length(c)
    around = x * y * z + wp.dot(a, b) * z + wp.dot(b, c) * x + wp.dot(c, a) * y
    return wp.atan2(wp.dot(a, wp.cross(b, c)), around)


@wp.kernel(enable_backward=False)
@no_type_check
def _winding(
    faces: wp.int32,
    leaves: wp.int32,
    afar: wp.float32,
    corners: wp.array2d(dtype=wp.vec3),  # pyright: ignore
    centre: wp.array(dtype=wp.vec3),  # pyright: ignore
    radius: wp.array(dtype=wp.float32),  # pyright: ignore
    vector: wp.array(dtype=wp.vec3),  # pyright: ignore
    moment: wp.array(dtype=wp.mat33),  # pyright: ignore
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    number: wp.array(dtype=wp.float32),  # pyright: ignore
):
    """Depth first without a stack: after a node that is done comes the sibling of the nearest left ancestor."""
    p = points[wp.tid()]
    angle = wp.float32(0.0)
    node = wp.int32(1)
    while node != 0:
        x = centre[node] - p
        r = wp.length(x)
        if r > afar * radius[node]:
            spread = wp.trace(moment[node]) - 3.0 * wp.dot(x, moment[node] * x) / (r * r)
            angle += (wp.dot(vector[node], x) + spread) / (r * r * r)
        elif node < leaves:
            node = 2 * node
            continue
        else:
            for t in range((node - leaves) * LEAF, wp.min((node - leaves + 1) * LEAF, faces)):
                angle += 2.0 * _half_angle(corners[t, 0] - p, corners[t, 1] - p, corners[t, 2] - p)
        node += 1
        while (node & 1) == 0:
            node = node >> 1
        if node == 1:
            node = 0
    number[wp.tid()] = angle / (4.0 * wp.PI)
