"""A region that is to hold everything: minus the material outside of it."""

from collections.abc import Sequence

from geomflow.rewards._grid import Grid, Score, inside_box, integral, occupancy
from geomflow.rewards._points import box
from geomflow.steer.reward import Reward


def make(low: Sequence[float], high: Sequence[float]) -> Reward:
    """Return minus the volume of material outside of a box, in the unit of [-1, 1]^3, which has 8.

    Args:
        low: Corner (x, y, z) of the box.
        high: The opposite corner.

    Raises:
        ConfigError: The corners make no box.
    """
    corners = box(low, high)

    def keep_in(sdf: Grid) -> Score:
        """(batch,) volumes with a minus."""
        return -integral(occupancy(sdf) * (1 - inside_box(sdf, *corners)))

    return keep_in
