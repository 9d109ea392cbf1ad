"""What a user asks a model of shapes for, as what its network is told."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geomflow.config import RunConfig
from geomflow.errors import ConditionError
from geomflow.geometry.frame import Similarity, sparse_similarity

logger = logging.getLogger("geomflow")

Condition = str | np.ndarray | None
"""The name of a class, points of a surface (n, 3), or nothing in particular."""

POINTS = 64
"""Points that models of completion are trained with, unless their run says otherwise."""

FEWEST_POINTS = 3

KINDS = {"": "None", "class": "the name of a class", "points": "points of a surface"}
"""What each kind of condition is."""


@dataclass(frozen=True)
class Told:
    """A condition as a network gets it.

    Attributes:
        row: One row of it by the kind's name, None for nothing in particular.
        frame: Takes condition points into the frame that the network works in, None without points.
        name: What it was, for the record.
    """

    row: dict[str, Tensor] | None = None
    frame: Similarity | None = None
    name: str | None = None

    def rows(self, count: int, device: torch.device) -> dict[str, Tensor] | None:
        """Return the row for each of several samples."""
        return self.row and {name: row.expand(count, *row.shape[1:]).to(device) for name, row in self.row.items()}


def told(condition: Condition, config: RunConfig) -> Told:
    """Return what the network of a run is told of a condition.

    Raises:
        ValueError: A condition that the model was not trained with, or a class that it does not know.
        ConditionError: Points that are none of a surface.
    """
    if condition is None and (not config.condition or config.guidance):
        return Told()
    kind = "" if condition is None else "class" if isinstance(condition, str) else "points"
    if config.condition != kind:
        why = "" if config.condition else ", as this model has no conditions"
        known = f" ({', '.join(config.classes)})" if config.classes else ""
        raise ValueError(f"condition must be {KINDS[config.condition]}{known}{why}, given {KINDS[kind]}")
    if isinstance(condition, str):
        return Told({"class": torch.tensor([_number(condition, config.classes)])}, name=condition)
    points = _distinct(condition, config.dataset.options.get("points", POINTS))
    frame = sparse_similarity(points)
    return Told({"points": torch.from_numpy(frame.apply(points)[None]).float()}, frame, f"{len(points)} points")


def _number(name: str, classes: list[str]) -> int:
    if name not in classes:
        raise ValueError(f"no class {name!r}: the model knows {', '.join(classes)}")
    return classes.index(name)


def _distinct(condition: Any, most: int) -> np.ndarray:
    """Distinct points to complete a shape from, always the same ones of a set; at most as many as in training."""
    points = np.asarray(condition, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ConditionError(f"condition points must be an array of shape (n, 3), given {points.shape}")
    if not np.isfinite(points).all():
        raise ConditionError("condition points must be finite, given some that are NaN or infinite")
    distinct, given = np.unique(points, axis=0), len(points)
    if len(distinct) < FEWEST_POINTS:
        raise ConditionError(
            f"condition points must be at least {FEWEST_POINTS} distinct ones, given {len(distinct)} of {given}"
        )
    if len(distinct) < given:
        logger.warning("%d of %d condition points are duplicates", given - len(distinct), given)
    if len(distinct) < most:
        logger.warning("completing from %d points, with a model that was trained with %d", len(distinct), most)
        return distinct
    return np.random.default_rng(0).choice(distinct, most, replace=False)
