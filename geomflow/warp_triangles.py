"""Distances to single triangles, for Warp kernels: right for slender ones, which Warp's own query misjudges."""

from typing import no_type_check

from geomflow.warp_runtime import wp

WIDTH = 16 * 2.0**-23
"""Twice the area of a triangle over the sum of its squared edges up to which it has no plane."""

SLENDER = 3e-3
"""The same ratio up to which Warp's float32 barycentric coordinates are not trusted."""


@wp.func
@no_type_check
def to_segment(query: wp.vec3, end: wp.vec3) -> wp.float32:
    """Distance to the segment from 0 to `end`.

    Args:
        query: The point, as a vector.
        end: Where the segment ends.
    """
    along = wp.dot(query, end) / wp.max(wp.dot(end, end), 1.0e-37)
    return wp.length(query - wp.clamp(along, 0.0, 1.0) * end)


@wp.func
@no_type_check
def to_triangle(query: wp.vec3, first: wp.vec3, second: wp.vec3) -> wp.float32:
    """Distance to the triangle with corners 0, `first`, `second`: to its plane if the foot is inside, or its edges.

    Args:
        query: The point, as a vector.
        first: A corner.
        second: Another corner.
    """
    third = second - first
    d = wp.min(wp.min(to_segment(query, first), to_segment(query, second)), to_segment(query - first, third))
    normal = wp.cross(first, second)
    if wp.length(normal) > wp.static(WIDTH) * (wp.dot(first, first) + wp.dot(second, second) + wp.dot(third, third)):
        v = wp.dot(wp.cross(query, second), normal) / wp.dot(normal, normal)
        w = wp.dot(wp.cross(first, query), normal) / wp.dot(normal, normal)
        if wp.min(wp.min(v, w), 1.0 - v - w) >= 0.0:
            d = wp.min(d, wp.length(query - v * first - w * second))
    return d
