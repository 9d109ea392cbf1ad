"""Generalised winding numbers of triangle soups, by the fast multipole-like tree of Barill et al. (SIGGRAPH 2018)."""

import numpy as np
import point_cloud_utils as pcu
from jaxtyping import Float, Integer, Shaped


def winding_number(
    vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"], points: Shaped[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Return how often the surface turns around each point: 1 inside a closed outward body, 0 outside of it."""
    if not (len(faces) and len(points)):
        return np.zeros(len(points))
    as_float = [np.ascontiguousarray(a, dtype=np.float64) for a in (vertices, points)]
    indices = np.ascontiguousarray(faces, dtype=np.int32)
    return np.reshape(pcu.triangle_soup_fast_winding_number(as_float[0], indices, as_float[1]), len(points))
