"""Numbers of points along a Hilbert curve: points with near numbers are near each other."""

from typing import no_type_check

from geomflow.ops.kernels.boxes import OPTIONS
from geomflow.warp_runtime import wp

wp.set_module_options(OPTIONS)

BITS = 20
"""Bits per axis: 2^20 cells along each edge of the frame."""

LAST = 2**62
"""Number of what is no point: after all points."""


@wp.func
@no_type_check
def cell(u: wp.float32) -> wp.int32:
    """The cell of a coordinate that is measured in cells; what is outside of the frame goes to its border."""
    return wp.int32(wp.clamp(u, 0.0, wp.static(float(2**BITS - 1))))


@wp.func
@no_type_check
def spread(bits: wp.int32) -> wp.int64:
    """Up to 21 bits with two zeros put before each."""
    x = wp.int64(bits)
    x = (x | (x << wp.int64(32))) & wp.int64(0x1F00000000FFFF)
    x = (x | (x << wp.int64(16))) & wp.int64(0x1F0000FF0000FF)
    x = (x | (x << wp.int64(8))) & wp.int64(0x100F00F00F00F00F)
    x = (x | (x << wp.int64(4))) & wp.int64(0x10C30C30C30C30C3)
    return (x | (x << wp.int64(2))) & wp.int64(0x1249249249249249)


@wp.kernel(enable_backward=False)
@no_type_check
def hilbert_keys(
    first: wp.int32,
    points: wp.array2d(dtype=wp.vec3),
    valid: wp.array2d(dtype=wp.bool),
    lower: wp.array(dtype=wp.vec3),
    scale: wp.array(dtype=wp.vec3),
    keys: wp.array2d(dtype=wp.int64),
):
    """Number the cells of a frame (Skilling, Programming the Hilbert curve, AIP 2004), without branches."""
    row = first + wp.tid()
    b = row // points.shape[1]
    i = row % points.shape[1]
    u = wp.cw_mul(points[b, i] - lower[b], scale[b])
    x = cell(u[0])
    y = cell(u[1])
    z = cell(u[2])
    for step in range(1, wp.static(BITS)):
        bit = wp.static(BITS) - step
        below = (1 << bit) - 1
        x = x ^ (below & -((x >> bit) & 1))
        turned = -((y >> bit) & 1)
        swap = (x ^ y) & below & ~turned
        x = x ^ swap ^ (below & turned)
        y = y ^ swap
        turned = -((z >> bit) & 1)
        swap = (x ^ z) & below & ~turned
        x = x ^ swap ^ (below & turned)
        z = z ^ swap
    y = y ^ x
    z = z ^ y
    flip = z >> 1
    flip = flip ^ (flip >> 1)
    flip = flip ^ (flip >> 2)
    flip = flip ^ (flip >> 4)
    flip = flip ^ (flip >> 8)
    flip = flip ^ (flip >> 16)
    key = (spread(x ^ flip) << wp.int64(2)) | (spread(y ^ flip) << wp.int64(1)) | spread(z ^ flip)
    keys[b, i] = wp.where(valid[b, i], key, wp.int64(wp.static(LAST)))
