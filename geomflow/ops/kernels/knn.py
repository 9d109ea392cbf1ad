"""Nearest neighbours: by descent of a tree of boxes, and by brute force on tiles in shared memory.

Both keep the k best so far as sorted lists of distances and indices and compare by (distance, index), so equal
distances go to the lowest index whatever the order of the search. NaN and infinite distances never pass a comparison.
"""

import functools
from typing import Any, no_type_check

from geomflow.ops.kernels.boxes import OPTIONS, box_length, length
from geomflow.warp_runtime import wp

STACK = 32
"""Depth of the descent: more than the levels of any tree that fits in memory."""

TILE = 128
"""Queries per block and points per tile of the brute force."""


@wp.func
@no_type_check
def worth(distance: wp.float32, index: wp.int32, worst: wp.float32, worst_index: wp.int32) -> wp.bool:
    """Whether (distance, index) comes before the last of the best so far."""
    return distance < worst or (distance == worst and index < worst_index)


@functools.cache
@no_type_check
def tree_kernel(k: int) -> Any:
    """Return the kernel that searches a tree for k neighbours, compiled on first use."""
    distances, indices = wp.types.vector(length=k, dtype=wp.float32), wp.types.vector(length=k, dtype=wp.int32)
    floats, nodes = wp.types.vector(length=STACK, dtype=wp.float32), wp.types.vector(length=STACK, dtype=wp.int32)
    last = k - 1

    @wp.kernel(enable_backward=False, module="unique", module_options=OPTIONS)
    def knn_tree(
        first: wp.int32,
        queries: wp.array2d(dtype=wp.vec3),
        turn: wp.array2d(dtype=wp.int32),
        points: wp.array2d(dtype=wp.vec3),
        order: wp.array2d(dtype=wp.int32),
        lower: wp.array2d(dtype=wp.vec3),
        upper: wp.array2d(dtype=wp.vec3),
        lowest: wp.array2d(dtype=wp.int32),
        norm: wp.int32,
        found: wp.array2d(dtype=wp.float32),
        chosen: wp.array2d(dtype=wp.int32),
    ):
        """Fill in the neighbours of each query, asked in the order `turn`."""
        row = first + wp.tid()
        b = row // queries.shape[1]
        i = turn[b, row % queries.shape[1]]
        q = queries[b, i]
        inner = lower.shape[1] // 2
        bucket = points.shape[1] // (inner + 1)
        best = distances()
        who = indices()
        for j in range(k):
            best[j] = wp.inf
            who[j] = -1
        floor = floats()
        stack = nodes()
        top = wp.where(wp.isnan(wp.length_sq(q)), 0, 1)
        while top > 0:
            top -= 1
            node = stack[top]
            bound = floor[top]
            while node < inner and worth(bound, lowest[b, node], best[last], who[last]):
                left = 2 * node + 1
                bound = box_length(lower[b, left], upper[b, left], q, norm)
                other = box_length(lower[b, left + 1], upper[b, left + 1], q, norm)
                right = wp.where(other < bound, 1, 0)
                stack[top] = left + 1 - right
                floor[top] = wp.max(bound, other)
                top += 1
                node = left + right
                bound = wp.min(bound, other)
            if node >= inner and worth(bound, lowest[b, node], best[last], who[last]):
                start = (node - inner) * bucket
                for p in range(start, start + bucket):
                    d = length(points[b, p] - q, norm)
                    if worth(d, order[b, p], best[last], who[last]):
                        n = order[b, p]
                        j = wp.int32(last)
                        while j > 0 and worth(d, n, best[wp.max(j - 1, 0)], who[wp.max(j - 1, 0)]):
                            best[j] = best[j - 1]
                            who[j] = who[j - 1]
                            j -= 1
                        best[j] = d
                        who[j] = n
        place = b * queries.shape[1] + i
        for j in range(k):
            found[place, j] = best[j]
            chosen[place, j] = who[j]

    return knn_tree


@functools.cache
@no_type_check
def tile_kernel(k: int) -> Any:
    """Return the kernel that compares every query with every point, a block of queries sharing each tile of points."""
    distances, indices = wp.types.vector(length=k, dtype=wp.float32), wp.types.vector(length=k, dtype=wp.int32)
    last = k - 1

    @wp.kernel(enable_backward=False, module="unique", module_options=OPTIONS)
    def knn_tile(
        first: wp.int32,
        queries: wp.array2d(dtype=wp.vec3),
        points: wp.array2d(dtype=wp.vec3),
        lengths: wp.array(dtype=wp.int64),
        norm: wp.int32,
        found: wp.array2d(dtype=wp.float32),
        chosen: wp.array2d(dtype=wp.int32),
    ):
        """Fill in the neighbours of a block of queries, one per thread."""
        block, lane = wp.tid()
        blocks = (queries.shape[1] + TILE - 1) // TILE
        b = (first + block) // blocks
        i = (first + block) % blocks * TILE + lane
        q = queries[b, wp.min(i, queries.shape[1] - 1)]
        best = distances()
        who = indices()
        for j in range(k):
            best[j] = wp.inf
            who[j] = -1
        count = wp.int32(lengths[b])
        for start in range(0, count, TILE):
            tile = wp.tile_load(points[b], shape=TILE, offset=start, storage="shared")
            for p in range(wp.min(TILE, count - start)):
                d = length(tile[p] - q, norm)
                if worth(d, start + p, best[last], who[last]):
                    j = wp.int32(last)
                    while j > 0 and worth(d, start + p, best[wp.max(j - 1, 0)], who[wp.max(j - 1, 0)]):
                        best[j] = best[j - 1]
                        who[j] = who[j - 1]
                        j -= 1
                    best[j] = d
                    who[j] = start + p
        if i < queries.shape[1]:
            place = b * queries.shape[1] + i
            for j in range(k):
                found[place, j] = best[j]
                chosen[place, j] = who[j]

    return knn_tile
