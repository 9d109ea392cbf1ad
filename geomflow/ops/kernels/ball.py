"""The points of a ball with the lowest indices: descent of a tree of boxes into a heap that lies in the output."""

from typing import no_type_check

from geomflow.ops.kernels.boxes import OPTIONS, box_length, length
from geomflow.ops.kernels.knn import STACK
from geomflow.warp_runtime import wp

wp.set_module_options(OPTIONS)

nodes = wp.types.vector(length=STACK, dtype=wp.int32)


@wp.func
@no_type_check
def sift_down(heap: wp.array2d(dtype=wp.int32), row: wp.int32, size: wp.int32, value: wp.int32):
    """Put `value` into the place of the largest of a max-heap of `size` in a row."""
    at = wp.int32(0)
    child = wp.int32(1)
    while child < size:
        if child + 1 < size and heap[row, wp.min(child + 1, size - 1)] > heap[row, child]:
            child += 1
        if heap[row, child] > value:
            heap[row, at] = heap[row, child]
            at = child
            child = 2 * at + 1
        else:
            child = size
    heap[row, at] = value


@wp.func
@no_type_check
def sift_up(heap: wp.array2d(dtype=wp.int32), row: wp.int32, at: wp.int32, value: wp.int32):
    """Add `value` to a max-heap of `at` entries in a row."""
    while at > 0 and heap[row, wp.max((at - 1) // 2, 0)] < value:
        heap[row, at] = heap[row, (at - 1) // 2]
        at = (at - 1) // 2
    heap[row, at] = value


@wp.kernel(enable_backward=False)
@no_type_check
def ball_tree(
    first: wp.int32,
    queries: wp.array2d(dtype=wp.vec3),
    turn: wp.array2d(dtype=wp.int32),
    points: wp.array2d(dtype=wp.vec3),
    order: wp.array2d(dtype=wp.int32),
    lower: wp.array2d(dtype=wp.vec3),
    upper: wp.array2d(dtype=wp.vec3),
    lowest: wp.array2d(dtype=wp.int32),
    limit: wp.float32,
    chosen: wp.array2d(dtype=wp.int32),
):
    """Fill `chosen` with the lowest indices within the squared radius `limit`, ascending, then -1."""
    row = first + wp.tid()
    b = row // queries.shape[1]
    i = turn[b, row % queries.shape[1]]
    q = queries[b, i]
    place = b * queries.shape[1] + i
    inner = lower.shape[1] // 2
    bucket = points.shape[1] // (inner + 1)
    k = chosen.shape[1]
    size = wp.int32(0)
    last = wp.int32(2147483647)
    stack = nodes()
    top = wp.where(wp.isnan(wp.length_sq(q)), 0, 1)
    while top > 0:
        top -= 1
        node = stack[top]
        if box_length(lower[b, node], upper[b, node], q, 2) < limit and lowest[b, node] < last:
            if node < inner:
                stack[top] = 2 * node + 2
                stack[top + 1] = 2 * node + 1
                top += 2
            else:
                for p in range((node - inner) * bucket, (node - inner + 1) * bucket):
                    if length(points[b, p] - q, 2) < limit and order[b, p] < last:
                        if size < k:
                            sift_up(chosen, place, size, order[b, p])
                            size += 1
                        else:
                            sift_down(chosen, place, size, order[b, p])
                        if size == k:
                            last = chosen[place, 0]
    for j in range(size, k):
        chosen[place, j] = -1
    while size > 1:
        size -= 1
        value = chosen[place, size]
        chosen[place, size] = chosen[place, 0]
        sift_down(chosen, place, size, value)
