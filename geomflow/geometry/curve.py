"""An order of points in which neighbours in the list are mostly neighbours in space."""

import numpy as np
from jaxtyping import Integer, Shaped


def along_curve(points: Shaped[np.ndarray, "n 3"]) -> Integer[np.ndarray, " n"]:
    """Return the indices (n,) of at least one point in the order of a Morton curve through their bounding cube.

    Args:
        points: Points in any order.
    """
    low, size = points.min(axis=0), max(float(np.ptp(points, axis=0).max()), np.finfo(float).tiny)
    place = ((points - low) / size * 1023).astype(np.int64)
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        place = (place | (place << shift)) & mask  # ten bits, spread to every third place
    return np.argsort(place @ np.array([1, 2, 4]), kind="stable")
