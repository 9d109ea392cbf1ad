"""The size of a shape's box, as asked."""

from collections.abc import Sequence

import torch

from geomflow.errors import ConfigError
from geomflow.rewards._grid import Grid, Score, occupancy, spacing
from geomflow.steer.reward import Reward


def make(size: Sequence[float]) -> Reward:
    """Return minus the mean difference of the edges of a shape's box from those wanted, in the unit of [-1, 1]^3.

    An edge is the length of the shape's projection on the axis, which for a connected shape is that of its box.

    Args:
        size: Wanted edges (x, y, z).

    Raises:
        ConfigError: They are not three positive, finite numbers.
    """
    wanted = torch.as_tensor(size, dtype=torch.float32)
    if wanted.shape != (3,) or not bool(((wanted > 0) & wanted.isfinite()).all()):
        raise ConfigError(f"size must be three positive, finite numbers, given {size}")

    def bounding_box(sdf: Grid) -> Score:
        """(batch,) differences with a minus."""
        inside = occupancy(sdf)
        edges = [inside.amax(others).sum(1) for others in ((2, 3), (1, 3), (1, 2))]
        return -(torch.stack(edges, 1) * spacing(sdf) - wanted.to(sdf)).abs().mean(1)

    return bounding_box
