"""Volume of the material, large or as asked."""

from geomflow.errors import ConfigError
from geomflow.rewards._grid import Grid, Score, integral, occupancy
from geomflow.steer.reward import Reward


def make(target: float | None = None) -> Reward:
    """Return the volume, in the unit of [-1, 1]^3, which has 8; or minus how far it is from a target.

    Args:
        target: The volume that is wanted; the more the better if None.

    Raises:
        ConfigError: The target is not from 0 to 8.
    """
    if target is not None and not 0 <= target <= 8:
        raise ConfigError(f"target must be from 0 to 8, the volume of the frame, given {target}")

    def volume(sdf: Grid) -> Score:
        """(batch,) volumes, or minus their distances from the target."""
        found = integral(occupancy(sdf))
        return found if target is None else -(found - target).abs()

    return volume
