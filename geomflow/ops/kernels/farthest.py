"""Farthest point sampling on buckets: a new sample touches only buckets that it may come nearer to.

Every bucket keeps its box and its farthest point; so does every group of buckets. One block works on one cloud, each
thread on its own groups, and the farthest point of all is a reduction over the block (Han et al., QuickFPS, 2023, keep
such buckets too). Distance and index are one 64-bit key: the larger distance wins, then the lower index.
"""

import functools
from typing import Any, no_type_check

from geomflow.ops.kernels.boxes import OPTIONS, box_length, length
from geomflow.warp_runtime import wp


@wp.func
@no_type_check
def farthest_key(distance: wp.float32, index: wp.int32) -> wp.int64:
    """Key that orders by distance, then by the lower index; `distance` is not negative."""
    return (wp.int64(wp.cast(distance, wp.int32)) << wp.int64(32)) | wp.int64(2147483647 - index)


@wp.func
@no_type_check
def key_distance(key: wp.int64) -> wp.float32:
    """Distance of a key, NaN for the key -1 of an empty bucket."""
    return wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)


@wp.func
@no_type_check
def key_index(key: wp.int64) -> wp.int32:
    """Index of a key."""
    return 2147483647 - wp.int32(key & wp.int64(2147483647))


@wp.func
@no_type_check
def reaches(
    lower: wp.array2d(dtype=wp.vec3),
    upper: wp.array2d(dtype=wp.vec3),
    b: wp.int32,
    node: wp.int32,
    q: wp.vec3,
    key: wp.int64,
) -> wp.bool:
    """Whether q may be nearer to a point of a box than anything before was to the box's farthest point."""
    return box_length(lower[b, node], upper[b, node], q, 2) <= key_distance(key)


@wp.func
@no_type_check
def bucket_after(
    points: wp.array2d(dtype=wp.vec3),
    order: wp.array2d(dtype=wp.int32),
    nearest: wp.array2d(dtype=wp.float32),
    b: wp.int32,
    start: wp.int32,
    size: wp.int32,
    q: wp.vec3,
    sample: wp.int32,
) -> wp.int64:
    """Key of a bucket's farthest point once q is a sample; the sample itself is taken out, by distance -1."""
    key = wp.int64(-1)
    for p in range(start, start + size):
        d = wp.min(nearest[b, p], length(points[b, p] - q, 2))
        if order[b, p] == sample:
            d = -1.0
        nearest[b, p] = d
        if d >= 0.0:
            key = wp.max(key, farthest_key(d, order[b, p]))
    return key


@wp.func
@no_type_check
def largest_alone(key: wp.int64) -> wp.int64:
    """The largest key of a block of one thread."""
    return key


@wp.func
@no_type_check
def largest_of_block(key: wp.int64) -> wp.int64:
    """The largest key of all threads of a block."""
    return wp.tile_extract(wp.tile_max(wp.tile(key)), 0)


@functools.cache
@no_type_check
def farthest_kernel(blocks: bool) -> Any:
    """Return the kernel for blocks of several threads, or of one, which then needs no memory that blocks share."""
    largest = largest_of_block if blocks else largest_alone

    @wp.kernel(enable_backward=False, module="unique", module_options=OPTIONS)
    def farthest_points(
        first: wp.int32,
        cloud: wp.array2d(dtype=wp.vec3),
        start: wp.array(dtype=wp.int32),
        points: wp.array2d(dtype=wp.vec3),
        order: wp.array2d(dtype=wp.int32),
        lower: wp.array2d(dtype=wp.vec3),
        upper: wp.array2d(dtype=wp.vec3),
        nearest: wp.array2d(dtype=wp.float32),
        bucket_key: wp.array2d(dtype=wp.int64),
        group_key: wp.array2d(dtype=wp.int64),
        chosen: wp.array2d(dtype=wp.int32),
    ):
        """Fill `chosen`; keys and `nearest` hold the state of each cloud and are written over."""
        block, lane = wp.tid()
        b = first + block
        buckets = bucket_key.shape[1]
        groups = group_key.shape[1]
        size = points.shape[1] // buckets
        members = buckets // groups
        sample = start[b]
        for k in range(chosen.shape[1]):
            if lane == 0:
                chosen[b, k] = sample
            best = wp.int64(-1)
            if sample >= 0:
                q = cloud[b, sample]
                for g in range(lane, groups, wp.block_dim()):
                    if reaches(lower, upper, b, groups - 1 + g, q, group_key[b, g]):
                        key = wp.int64(-1)
                        for n in range(g * members, (g + 1) * members):
                            if reaches(lower, upper, b, buckets - 1 + n, q, bucket_key[b, n]):
                                bucket_key[b, n] = bucket_after(points, order, nearest, b, n * size, size, q, sample)
                            key = wp.max(key, bucket_key[b, n])
                        group_key[b, g] = key
                    best = wp.max(best, group_key[b, g])
            best = largest(best)
            sample = -1
            if best >= wp.int64(0):
                sample = key_index(best)

    return farthest_points
