"""Generalised winding numbers of triangle soups, as Warp kernels (CPU and CUDA).

The number of a point is the solid angle of the surface around it, over 4 pi (Jacobson et al., SIGGRAPH 2013). As in the
fast evaluation of Barill et al. (SIGGRAPH 2018), a tree holds the area vectors of ever larger groups of faces; from
afar a group counts as the first two terms of its expansion about its centre,

    4 pi w(p) = sum_t a_t n_t . f(c_t - p) ~ N . f(x) + M : grad f(x),   f(x) = x / |x|^3,   x = q - p,

with N = sum a_t n_t and M = sum (c_t - q) (a_t n_t)^T; close by, faces count with their exact solid angles.
"""

from typing import Any, cast, no_type_check

import numpy as np
from jaxtyping import Float, Integer, Shaped

from geomflow.geometry.curve import along_curve
from geomflow.warp_runtime import wp

LEAF = wp.constant(2)
"""Faces of a leaf."""

AFAR = 1.5
"""Radii from its centre at which a group counts by its expansion: errors are up to 0.1 per layer, mostly under 0.05."""

FARTHER = 8.0
"""The same where more is wanted: errors stay under 0.005."""


def winding_number(
    vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"], points: Shaped[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Return how often the surface turns around each point: 1 inside a closed outward body, 0 outside of it.

    Args:
        vertices: Positions of the vertices.
        faces: Three vertices of each face, outward if counterclockwise.
        points: Where to ask.
    """
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
        triangles = np.asarray(vertices, dtype=np.float32)[faces]
        triangles = triangles[along_curve(triangles.mean(axis=1))]
        nodes = _nodes(triangles)
        self._device, self._faces = device, len(triangles)
        self._arrays = [self._array(triangles, wp.vec3), self._array(nodes, wp.vec4)]

    def __call__(self, points: Shaped[np.ndarray, "n 3"], afar: float = AFAR) -> Float[np.ndarray, " n"]:
        """Return the winding number (n,) at points (n, 3); groups of faces count by expansion from `afar` radii on.

        Args:
            points: Where to ask.
            afar: Radii of a group beyond which it counts by expansion.
        """
        number = wp.empty(len(points), dtype=cast(Any, wp.float32), device=self._device)
        arguments = [self._faces, afar, *self._arrays, self._array(points, wp.vec3), number]
        wp.launch(cast(Any, _winding), len(points), arguments, device=self._device)
        return number.numpy()

    def _array(self, values: np.ndarray, kind: object) -> wp.array:
        numbers = np.ascontiguousarray(values, dtype=np.float32)
        return wp.array(numbers, dtype=cast(Any, kind), device=self._device)


def _nodes(triangles: np.ndarray) -> np.ndarray:
    """Groups of faces in a complete binary tree (nodes, 4, 4); the children of node i are 2 i and 2 i + 1.

    The place before the root is empty. A row fills a line of the cache: the centre q and the radius, the farthest
    corner from it; N and the trace of M; what the products xx, yy, zz, xy, xz and yz count in x^T M x.
    """
    leaves = 1 << max(0, (-(-len(triangles) // LEAF) - 1).bit_length())
    padding = np.broadcast_to(triangles[-1:, :1], (leaves * LEAF - len(triangles), 3, 3))  # a point: no area, no reach
    padded = np.concatenate([triangles, padding])
    area = np.cross(padded[:, 1] - padded[:, 0], padded[:, 2] - padded[:, 0]) / 2
    levels = [_level(padded, area, 1 << depth) for depth in range(leaves.bit_length())]
    return np.concatenate([np.zeros((1, 4, 4), dtype=np.float32), *levels])


def _level(triangles: np.ndarray, area: np.ndarray, count: int) -> np.ndarray:
    """The nodes of `count` groups of consecutive triangles."""
    groups, vectors = triangles.reshape(count, -1, 3, 3), area.reshape(count, -1, 3)
    size, centroid = np.linalg.norm(vectors, axis=2), groups.mean(axis=2)
    weight = size + size.mean(axis=1, keepdims=True) * 1e-6 + np.finfo(np.float32).tiny
    centre = np.einsum("gk,gkd->gd", weight, centroid) / weight.sum(axis=1)[:, None]
    offset = groups - centre[:, None, None]
    reach = np.sqrt(np.einsum("gkcd,gkcd->gkc", offset, offset).max(axis=(1, 2)))
    moment = np.einsum("gki,gkj->gij", centroid - centre[:, None], vectors)
    crossed = moment + moment.swapaxes(1, 2)
    diagonal = moment.diagonal(axis1=1, axis2=2)
    nothing = np.zeros((count, 2), dtype=np.float32)
    row = [centre, reach[:, None], vectors.sum(axis=1), diagonal.sum(axis=1, keepdims=True)]
    row += [diagonal, crossed[:, 0, 1:], crossed[:, 1, 2:], nothing]
    return np.concatenate(row, axis=1).reshape(count, 4, 4)


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
    afar: wp.float32,
    corners: wp.array2d(dtype=wp.vec3),  # pyright: ignore
    nodes: wp.array2d(dtype=wp.vec4),  # pyright: ignore
    points: wp.array(dtype=wp.vec3),  # pyright: ignore
    number: wp.array(dtype=wp.float32),  # pyright: ignore
):
    """Depth first without a stack: after a node that is done comes the sibling of the nearest left ancestor."""
    p = points[wp.tid()]
    leaves = nodes.shape[0] // 2
    angle = wp.float32(0.0)
    node = wp.int32(1)
    while node != 0:
        ball = nodes[node, 0]
        x = wp.vec3(ball[0], ball[1], ball[2]) - p
        r = wp.length(x)
        if r > afar * ball[3]:
            flux, square, cross = nodes[node, 1], nodes[node, 2], nodes[node, 3]
            bent = square[0] * x[0] * x[0] + square[1] * x[1] * x[1] + square[2] * x[2] * x[2]
            bent += square[3] * x[0] * x[1] + cross[0] * x[0] * x[2] + cross[1] * x[1] * x[2]
            straight = flux[0] * x[0] + flux[1] * x[1] + flux[2] * x[2] + flux[3]
            angle += (straight - 3.0 * bent / (r * r)) / (r * r * r)
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
