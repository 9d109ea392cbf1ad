"""Frames that clouds are compared in, and the refusal to compare clouds that are in different ones.

A distance between sets in different units, or of which one has +z up and the other +y, is a number like any other. So
sets are looked at before: their points, all shapes together, must have about the same centre and spread, and none of
the other ways to turn one of them by right angles may fit much better than the way it is.
"""

import itertools
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from geomflow.errors import EvaluationError
from geomflow.metrics.distances import chamfer

Frame = Literal["global", "box"]
Clouds = Float[np.ndarray, "shapes points 3"]

SPREAD = 2.0
"""Ratio of two sets' spreads from which on they are in different units."""

SHIFT = 1.0
"""Distance of two sets' centres, in spreads, from which on they are in different places."""

TURNED = 0.5
"""Share of its distance to which turning a set by right angles may bring it before it counts as turned."""

LOOKED_AT = 3000
"""Points of each set that are looked at."""


class GlobalFrame(NamedTuple):
    """One shift and one scale for all shapes: the mean point of a set, and the deviation of all of its coordinates.

    As in PointFlow, the deviation is that of the numbers x, y and z together about their common mean.
    """

    mean: Float[np.ndarray, "3"]
    std: float

    def apply(self, clouds: Clouds) -> Clouds:
        """Return clouds in this frame."""
        return (clouds - self.mean) / self.std

    def about(self) -> dict[str, Any]:
        """Return what a result says of the frame."""
        return {"name": "global", "mean": self.mean.tolist(), "std": self.std}


class BoxFrame(NamedTuple):
    """A shift and a scale for every shape: its own bounding box, the longest edge from -1 to 1."""

    def apply(self, clouds: Clouds) -> Clouds:
        """Return clouds in this frame."""
        low, high = clouds.min(axis=1, keepdims=True), clouds.max(axis=1, keepdims=True)
        half = (high - low).max(axis=2, keepdims=True) / 2
        return (clouds - (low + high) / 2) / np.where(half > 0, half, 1)

    def about(self) -> dict[str, Any]:
        """Return what a result says of the frame."""
        return {"name": "box"}


def frame_of(kind: Frame, clouds: Clouds) -> GlobalFrame | BoxFrame:
    """Return the frame of a kind, taken from the clouds that define it."""
    return BoxFrame() if kind == "box" else _global(clouds)


def check_units(generated: Clouds, reference: Clouds) -> None:
    """Refuse sets whose points lie in different places or at different scales.

    Raises:
        EvaluationError: They do; the message gives both.
    """
    one, other = _global(generated), _global(reference)
    ratio, shift = one.std / other.std, float(np.linalg.norm(one.mean - other.mean)) / other.std
    if not (1 / SPREAD < ratio < SPREAD and shift < SHIFT):
        raise EvaluationError(
            f"generated and reference shapes are in different frames: spread {one.std:.3g} about {_text(one.mean)} "
            f"against {other.std:.3g} about {_text(other.mean)}; bring both into one unit (--any-frame compares anyway)"
        )


def check_axes(generated: Clouds, reference: Clouds) -> None:
    """Refuse sets of which one fits the other much better once it is turned by right angles.

    Raises:
        EvaluationError: They do; the message says how.
    """
    one, other = (_some(clouds) for clouds in (generated, reference))
    distances = [chamfer(one @ turn.T, other) for turn in TURNS]
    best = int(np.argmin(distances))
    if distances[best] < TURNED * distances[0]:
        axes = " ".join(_axis(row) for row in TURNS[best])
        raise EvaluationError(
            f"generated shapes seem turned: with ({axes}) for (x y z) they are {distances[0] / distances[best]:.1f} "
            f"times as close to the reference shapes; turn them first (--any-frame compares anyway)"
        )


def _global(clouds: Clouds) -> GlobalFrame:
    return GlobalFrame(clouds.mean(axis=(0, 1)), float(clouds.std()) or 1.0)


def _some(clouds: Clouds) -> np.ndarray:
    """A fixed choice of points of all shapes."""
    points = clouds.reshape(-1, 3)
    return points[np.random.default_rng(0).integers(len(points), size=LOOKED_AT)]


def _turns() -> list[np.ndarray]:
    """The 24 rotations that take axes to axes, the identity first."""
    signed = (
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    )
    return [turn for turn in signed if np.linalg.det(turn) > 0]


TURNS = _turns()


def _axis(row: np.ndarray) -> str:
    column = int(np.abs(row).argmax())
    return f"{'-' if row[column] < 0 else ''}{'xyz'[column]}"


def _text(vector: np.ndarray) -> str:
    return f"({', '.join(f'{value:.3g}' for value in vector)})"
