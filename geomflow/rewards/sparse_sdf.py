"""Distances that are known at some points."""

from typing import Any

from geomflow.errors import ConfigError
from geomflow.rewards._grid import Grid, Score, at
from geomflow.rewards._points import numbers, points_of
from geomflow.steer.reward import Reward


def make(points: Any, values: Any) -> Reward:
    """Return minus the root-mean-square error of the distances at points, in the unit of [-1, 1]^3.

    A decoder cuts distances off near its band (0.1 for `chairs`); so should be those that are given.

    Args:
        points: Points (m, 3) in [-1, 1]^3, or a file of such.
        values: Signed distance at each, negative inside.

    Raises:
        ConfigError: Points or values are none, or not as many, or points outside of that cube.
    """
    places, wanted = points_of(points), numbers(values, "values")
    if wanted.shape != (len(places),) or not bool(wanted.isfinite().all()):
        raise ConfigError(f"values must be {len(places)} finite distances, given shape {tuple(wanted.shape)}")

    def sparse_sdf(sdf: Grid) -> Score:
        """(batch,) errors with a minus."""
        found = at(sdf, places.to(sdf).expand(len(sdf), -1, -1))
        return -((found - wanted.to(sdf)).square().mean(1) + 1e-12).sqrt()

    return sparse_sdf
