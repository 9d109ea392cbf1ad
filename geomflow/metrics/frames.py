"""Frames that clouds are compared in, and the refusal to compare clouds that are in different ones.

A distance between sets in different units, or of which one has +z up and the other +y, is a number like any other. So
sets are looked at before: their points, all shapes together, must have about the same centre and spread, and none of
the other ways to turn one of them by right angles may fit clearly better than the way it is. Halves of 5 to 30 chairs
differ in spread by a factor of 1.15 at most and in centre by 0.39, and no turn ever fits better; a turn by a quarter
about the vertical of real seats fits 1.25 times worse, one of the vertical itself 2.2 times.
"""

import itertools
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from geomflow.errors import EvaluationError
from geomflow.metrics.distances import chamfer

Frame = Literal["global", "box"]
Clouds = Float[np.ndarray, "_ _ 3"]

SPREAD = 1.3
"""Ratio of two sets' spreads from which on they are in different units."""

SHIFT = 0.5
"""Distance of two sets' centres, in spreads, from which on they are in different places."""

TURNED = 1.2
"""How many times as close a turn by right angles may bring a set before the set counts as turned."""

LOOKED_AT = 5000
"""Points of each set that are looked at."""


class GlobalFrame(NamedTuple):
    """One shift and one scale for all shapes: the mean point of a set, and the deviation of all of its coordinates.

    As in PointFlow, the deviation is that of the numbers x, y and z together about their common mean.
    """

    mean: Float[np.ndarray, "3"]
    std: float

    def apply(self, clouds: Clouds) -> Clouds:
        """Return clouds in this frame.

        Args:
            clouds: Clouds of points (shapes, n, 3).
        """
        return (clouds - self.mean) / self.std

    def about(self) -> dict[str, Any]:
        """Return what a result says of the frame."""
        return {"name": "global", "mean": self.mean.tolist(), "std": self.std}


class BoxFrame(NamedTuple):
    """A shift and a scale for every shape: its own bounding box, the longest edge from -1 to 1."""

    def apply(self, clouds: Clouds) -> Clouds:
        """Return clouds in this frame.

        Args:
            clouds: Clouds of points (shapes, n, 3).
        """
        low, high = clouds.min(axis=1, keepdims=True), clouds.max(axis=1, keepdims=True)
        half = (high - low).max(axis=2, keepdims=True) / 2
        return (clouds - (low + high) / 2) / np.where(half > 0, half, 1)

    def about(self) -> dict[str, Any]:
        """Return what a result says of the frame."""
        return {"name": "box"}


def frame_of(kind: Frame, clouds: Clouds) -> GlobalFrame | BoxFrame:
    """Return the frame of a kind, taken from the clouds that define it.

    Args:
        kind: Name of the frame.
        clouds: Clouds of points (shapes, n, 3).
    """
    return BoxFrame() if kind == "box" else _global(clouds)


def check_frames(clouds: Clouds, reference: Clouds, who: str, each_its_own: bool = False) -> None:
    """Refuse clouds that are in another frame than the reference.

    Args:
        clouds: What is checked.
        reference: Reference clouds.
        who: What the message calls the clouds, such as `generated`.
        each_its_own: Whether every shape will have a frame of its own, so that only axes matter.

    Raises:
        EvaluationError: They lie elsewhere, are larger or smaller, or turned; the message says by how much.
    """
    if not each_its_own:
        _check_units(clouds, reference, who)
    frame = frame_of("box" if each_its_own else "global", reference)
    _check_axes(frame.apply(clouds), frame.apply(reference), who)


def _check_units(clouds: Clouds, reference: Clouds, who: str) -> None:
    one, other = _global(clouds), _global(reference)
    ratio, shift = one.std / other.std, float(np.linalg.norm(one.mean - other.mean)) / other.std
    if not (1 / SPREAD < ratio < SPREAD and shift < SHIFT):
        raise EvaluationError(
            f"{who} and reference shapes are in different frames: spread {one.std:.3g} about {_text(one.mean)} "
            f"against {other.std:.3g} about {_text(other.mean)}; bring both into one unit (--any-frame compares anyway)"
        )


def _check_axes(clouds: Clouds, reference: Clouds, who: str) -> None:
    one, other = (_some(points) for points in (clouds, reference))
    distances = [chamfer(one @ turn.T, other) for turn in TURNS]
    best = int(np.argmin(distances))
    if TURNED * distances[best] < distances[0]:
        axes = " ".join(_axis(row) for row in TURNS[best])
        raise EvaluationError(
            f"{who} shapes seem turned: with ({axes}) for (x y z) they are {distances[0] / distances[best]:.1f} times "
            f"as close to the reference shapes; turn them first (--any-frame compares anyway)"
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
