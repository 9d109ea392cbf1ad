"""Mean distances from many clouds to their nearest points of one: what a matrix of chamfer distances is made of.

The cloud is put in the order of a curve and cut into blocks of 32 points, and eight blocks make a group. A query looks
only into groups and blocks whose boxes are nearer than the best so far, which starts at what the query before found and
the way from it: for points in the order of a curve that is nearly right. Blocks are compared in one go, in float64.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast, no_type_check

import numpy as np
from jaxtyping import Float

from geomflow.geometry.curve import along_curve
from geomflow.warp_runtime import wp

WIDTH, BLOCKS = 32, 8
"""Points of a block, and blocks of a group."""

THREADS = os.cpu_count() or 1

Block = wp.types.vector(length=WIDTH, dtype=wp.float64)


class Blocks(NamedTuple):
    """A cloud in blocks: coordinates of their points, and boxes of blocks and of groups, as Warp arrays."""

    coordinates: Any
    lower: Any
    upper: Any
    group_lower: Any
    group_upper: Any


def in_blocks(points: Float[np.ndarray, "n 3"]) -> Blocks:
    """Return the blocks of a cloud; what fills up the last ones lies infinitely far away."""
    room = -len(points) % (WIDTH * BLOCKS)
    filled = np.pad(points[along_curve(points)], ((0, room), (0, 0)), constant_values=np.nan)
    boxes = []
    for size in (WIDTH, WIDTH * BLOCKS):
        parts = filled.reshape(-1, size, 3)
        boxes += [np.fmin.reduce(parts, axis=1), np.fmax.reduce(parts, axis=1)]
    coordinates = np.nan_to_num(filled, nan=np.inf).T.reshape(3, -1, WIDTH)
    vectors = [wp.array(np.nan_to_num(box, nan=np.inf), dtype=wp.vec3d, device="cpu") for box in boxes]
    return Blocks(wp.array(np.ascontiguousarray(coordinates), dtype=Block, device="cpu"), *vectors)


def mean_nearest(clouds: Float[np.ndarray, "_ _ 3"], blocks: Blocks, squared: bool) -> Float[np.ndarray, " clouds"]:
    """Return for each cloud the mean distance of its points, ordered along a curve at best, to the blocks.

    Args:
        clouds: Points (clouds, points, 3) in float64.
        blocks: What is searched.
        squared: Whether distances are squared.
    """
    queries = wp.array(clouds, dtype=wp.vec3d, device="cpu", copy=False)
    means = wp.zeros(len(clouds), dtype=cast(Any, wp.float64), device="cpu")
    kernel = cast(Any, _mean_nearest)
    kernel.module.load(wp.get_device("cpu"), 1)

    def launch(first: int, last: int) -> None:  # one thread, which lets go of Python's lock
        wp.launch(kernel, last - first, [first, queries, *blocks, squared, means], device="cpu")

    edges = np.linspace(0, len(clouds), THREADS + 1).astype(int).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(launch, edges[:-1], edges[1:]))
    return means.numpy()


@wp.func
@no_type_check
def _outside(q: wp.float64, low: wp.float64, high: wp.float64) -> wp.float64:
    return wp.where(q < low, low - q, wp.where(q > high, q - high, wp.float64(0.0)))


@wp.func
@no_type_check
def _box(q: wp.vec3d, low: wp.vec3d, high: wp.vec3d) -> wp.float64:
    """Squared distance to a box."""
    x, y, z = _outside(q[0], low[0], high[0]), _outside(q[1], low[1], high[1]), _outside(q[2], low[2], high[2])
    return x * x + y * y + z * z


@wp.kernel(enable_backward=False)
@no_type_check
def _mean_nearest(
    first: wp.int32,
    queries: wp.array2d(dtype=wp.vec3d),  # pyright: ignore
    coordinates: wp.array2d(dtype=Block),  # pyright: ignore
    lower: wp.array(dtype=wp.vec3d),  # pyright: ignore
    upper: wp.array(dtype=wp.vec3d),  # pyright: ignore
    group_lower: wp.array(dtype=wp.vec3d),  # pyright: ignore
    group_upper: wp.array(dtype=wp.vec3d),  # pyright: ignore
    squared: wp.bool,
    means: wp.array(dtype=wp.float64),  # pyright: ignore
):
    cloud = first + wp.tid()
    total = wp.float64(0.0)
    best = wp.float64(wp.inf)
    before = queries[cloud, 0]
    for i in range(queries.shape[1]):
        q = queries[cloud, i]
        reach = wp.sqrt(best) + wp.length(q - before)
        best = reach * reach * wp.float64(1.0 + 1e-12)
        before = q
        group = wp.int32(0)
        while group < group_lower.shape[0]:
            if _box(q, group_lower[group], group_upper[group]) < best:
                block = group * BLOCKS
                while block < (group + 1) * BLOCKS:
                    if _box(q, lower[block], upper[block]) < best:
                        dx = coordinates[0, block] - Block(q[0])
                        dy = coordinates[1, block] - Block(q[1])
                        dz = coordinates[2, block] - Block(q[2])
                        best = wp.min(best, wp.min(wp.cw_mul(dx, dx) + wp.cw_mul(dy, dy) + wp.cw_mul(dz, dz)))
                    block += 1
            group += 1
        total += wp.where(squared, best, wp.sqrt(best))
    means[cloud] = total / wp.float64(queries.shape[1])
