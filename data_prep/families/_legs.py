"""Legs of chairs and tables, each drawn from its foot to its top."""

import numpy as np

from data_prep.families._parts import THIN, Place, bar, lathe, rod, smooth, solid_of
from geomflow.geometry.primitives import Solid

BEADS = np.array([(0, 0.7), (0.05, 0.9), (0.1, 0.45), (0.14, 0.55), (0.3, 0.65), (0.55, 1), (0.67, 0.5), (0.71, 0.85)])
"""Places along a turned leg and its radii there, in lengths and half thicknesses."""

HEAD = np.array([(0.76, 0.85), (0.8, 0.6), (1.0, 0.95)])


def square(foot: Place, top: Place, thick: float, taper: float) -> Solid:
    """Return a square leg, `taper` times as thick at its foot as at its top."""
    return bar(foot, top, (taper * thick, taper * thick), (thick, thick))


def conical(foot: Place, top: Place, thick: float, taper: float) -> Solid:
    """Return a round leg, `taper` times as thick at its foot as at its top."""
    return rod(foot, top, taper * thick / 2, thick / 2)


def turned(foot: Place, top: Place, thick: float, taper: float) -> Solid:
    """Return a leg with beads and a belly, as a lathe makes it; a small taper brings the belly down."""
    places, radii = np.vstack([BEADS, HEAD]).T
    length = float(np.linalg.norm(np.subtract(top, foot)))
    return lathe(solid_of(smooth(length * places ** (1.6 - 0.6 * taper), thick / 2 * radii, 48)), foot, top, THIN)


SHAPES = (square, square, conical, turned)
"""What there is, the most usual shape twice."""
