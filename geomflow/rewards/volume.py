"""Volume of the material, large or as asked."""

from collections.abc import Callable

from geomflow.rewards._grid import Grid, integral, occupancy


def make(target: float | None = None) -> Callable:
    """Return the volume, in the unit of [-1, 1]^3, which has 8; or minus how far it is from a target.

    Args:
        target: The volume that is wanted; the more the better if None.
    """

    def volume(sdf: Grid):
        """(batch,) volumes, or minus their distances from the target."""
        found = integral(occupancy(sdf))
        return found if target is None else -(found - target).abs()

    return volume
