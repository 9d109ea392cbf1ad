"""What the kernels share: lengths of differences and least lengths to boxes, and how all of them are compiled."""

from typing import no_type_check

from geomflow.warp_runtime import wp

OPTIONS = {"enable_backward": False, "fuse_fp": False}
"""Options of every kernel's module. Fused multiplications and additions would round squared lengths on CUDA otherwise
than on the CPU and in torch, and part equal distances."""

wp.set_module_options(OPTIONS)


@wp.func
@no_type_check
def length(v: wp.vec3, norm: wp.int32) -> wp.float32:
    """Squared Euclidean length for norm 2, sum of absolute values for norm 1."""
    result = wp.dot(v, v)
    if norm == 1:
        result = wp.abs(v[0]) + wp.abs(v[1]) + wp.abs(v[2])
    return result


@wp.func
@no_type_check
def box_length(lower: wp.vec3, upper: wp.vec3, q: wp.vec3, norm: wp.int32) -> wp.float32:
    """Least length from q to anything in a box, never more than `length` gives for a point of it; 0 if q is NaN."""
    return length(wp.max(wp.max(lower - q, q - upper), wp.vec3(0.0, 0.0, 0.0)), norm)
