"""Points and boxes that rewards are made with, from arrays, lists or files."""

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.errors import ConfigError
from geomflow.geometry.read import read_mesh

ROUNDING = 1e-3
"""How far out of the cube points may be, lest those on its border are refused."""


def points_of(points: Any) -> Float[Tensor, "m 3"]:
    """Return points (m, 3) in [-1, 1]^3 of an array, a list, or a file of points or of a mesh, whose vertices count.

    Raises:
        ConfigError: They are none, not finite, or outside of the cube, where a grid says nothing.
        MeshError: The file cannot be read.
    """
    found = numbers(read_mesh(points).vertices if isinstance(points, str | Path) else points, "points")
    if found.ndim != 2 or found.shape[1] != 3 or not len(found) or not bool(found.isfinite().all()):
        raise ConfigError(f"points must be finite and of shape (m, 3), given shape {tuple(found.shape)}")
    if bool((found.abs() > 1 + ROUNDING).any()):
        low, high = ([round(float(value), 3) for value in corner] for corner in (found.amin(0), found.amax(0)))
        raise ConfigError(f"points must lie in [-1, 1]^3, the frame of the shapes, given some from {low} to {high}")
    return found


def numbers(given: Any, name: str) -> Float[Tensor, "*shape"]:
    """Return numbers of an array or of nested lists.

    Raises:
        ConfigError: They are none, or lists of unequal lengths.
    """
    try:
        return torch.from_numpy(np.array(given, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be numbers in lists of equal lengths, given {reprlib.repr(given)}") from error


def box(low: Sequence[float], high: Sequence[float]) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Return the corners of a box.

    Raises:
        ConfigError: They are not three numbers each, or the box is empty.
    """
    corners = torch.as_tensor(low, dtype=torch.float32), torch.as_tensor(high, dtype=torch.float32)
    if any(corner.shape != (3,) for corner in corners) or not bool((corners[0] < corners[1]).all()):
        raise ConfigError(f"low and high must be three numbers each, low under high, given {low} and {high}")
    return corners
