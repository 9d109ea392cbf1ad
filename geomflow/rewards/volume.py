"""Volume of the material, large or as asked."""

from geomflow.rewards._grid import Grid, Reward, Score, integral, occupancy


def make(target: float | None = None) -> Reward:
    """Return the volume, in the unit of [-1, 1]^3, which has 8; or minus how far it is from a target.

    Args:
        target: The volume that is wanted; the more the better if None.
    """

    def volume(sdf: Grid) -> Score:
        """(batch,) volumes, or minus their distances from the target."""
        found = integral(occupancy(sdf))
        return found if target is None else -(found - target).abs()

    return volume
