"""Points of a surface of which only a part was seen."""

from typing import Any

from geomflow.rewards._grid import Grid, Score, at
from geomflow.rewards._points import points_of
from geomflow.steer.reward import Reward


def make(points: Any) -> Reward:
    """Return minus the one-sided chamfer distance from a scan to the surface, in the unit of [-1, 1]^3.

    It is the mean of |distance| at the points of the scan, as far as the field is a distance: a decoder cuts it off
    near its band (0.1 for `chairs`). What was not seen may be anywhere.

    Args:
        points: Points (m, 3) in [-1, 1]^3, the frame of the shapes, or a file of such.

    Raises:
        ConfigError: They are none, not finite, or outside of that frame.
        MeshError: The file cannot be read.
    """
    scan = points_of(points)

    def partial_scan(sdf: Grid) -> Score:
        """(batch,) distances with a minus."""
        return -at(sdf, scan.to(sdf).expand(len(sdf), -1, -1)).abs().mean(1)

    return partial_scan
