"""A region that is to stay free: minus the material in it."""

from collections.abc import Sequence

from geomflow.rewards._grid import Grid, Score, inside_box, integral, occupancy
from geomflow.rewards._points import box
from geomflow.steer.reward import Reward


def make(low: Sequence[float], high: Sequence[float]) -> Reward:
    """Return minus the volume of material inside of a box, in the unit of [-1, 1]^3, which has 8.

    Args:
        low: Corner (x, y, z) of the box.
        high: The opposite corner.

    Raises:
        ConfigError: The corners make no box.
    """
    corners = box(low, high)

    def keep_out(sdf: Grid) -> Score:
        """(batch,) volumes with a minus."""
        return -integral(occupancy(sdf) * inside_box(sdf, *corners))

    return keep_out
