"""Parts that families are made of: boxes, bars, boards and turned pieces placed by their ends, and curves for them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from scipy.interpolate import PchipInterpolator

from geomflow.geometry.primitives import Box, Moved, Solid, Turned
from geomflow.geometry.profiles import Extruded, Hull, Revolved

Place = Sequence[float] | np.ndarray
"""x, y, z in metres."""

SIDES = (-1.0, 1.0)
BITE = 0.006
"""How far parts reach into each other, in metres."""

THIN = 32
"""Corners of the circles of thin pieces."""

T = TypeVar("T")


def one_of(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options; naming one twice doubles its share."""
    return options[int(rng.integers(len(options)))]


def shifted(place: Place, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """Return a place moved by so much along each axis."""
    return np.add(place, [x, y, z])


def block(center: Place, size: Place) -> Solid:
    """Return a box of the given edge lengths."""
    x, y, z = np.asarray(size, dtype=float) / 2
    return moved(Box((x, y, z)), center)


def moved(solid: Solid, place: Place) -> Solid:
    """Return the solid shifted by `place`."""
    x, y, z = map(float, place)
    return Moved(solid, (x, y, z))


def tilted(solid: Solid, degrees: float, pivot: Place) -> Solid:
    """Return the solid, drawn about the origin, with its top leant back towards -z and the origin moved to `pivot`."""
    return moved(Turned(solid, (-float(np.radians(degrees)), 0.0, 0.0)), pivot)


def bar(start: Place, end: Place, start_size: Place, end_size: Place) -> Solid:
    """Return a tapered bar between two horizontal rectangles of sizes (x, z) about its ends."""
    ends = ((start, start_size), (end, end_size))
    corners = [shifted(at, a * x / 2, 0, b * z / 2) for at, (x, z) in ends for a in SIDES for b in SIDES]
    return Hull(np.array(corners))


def lathe(
    profile: Sequence[Place] | np.ndarray, start: Place = (0, 0, 0), end: Place | None = None, sections: int = 64
) -> Solid:
    """Return a turned piece.

    Args:
        profile: Corners (radius, height) of its half section (m, 2).
        start: Where height 0 is.
        end: Point that the axis runs to, straight above if none.
        sections: Corners of the mesh's circles.
    """
    turned = Revolved(np.asarray(profile, dtype=float), sections)
    return moved(turned if end is None else Turned(turned, _toward(np.subtract(end, start))), start)


def rod(start: Place, end: Place, radius: float, end_radius: float | None = None) -> Solid:
    """Return a round bar, tapered if the radii differ, with flat ends."""
    length, top = float(np.linalg.norm(np.subtract(end, start))), radius if end_radius is None else end_radius
    return lathe([(0, 0), (radius, 0), (top, length), (0, length)], start, end, THIN)


def tube(path: Sequence[Place] | np.ndarray, radius: float) -> list[Solid]:
    """Return a bent round bar: one piece with round ends for each step of its path."""
    bend = np.linspace(-np.pi / 2, 0, 5)
    cap = radius * np.stack([np.cos(bend), np.sin(bend)], axis=1)
    cap[0, 0] = 0.0
    pieces = []
    for start, end in pairwise(path):
        length = float(np.linalg.norm(np.subtract(end, start)))
        pieces.append(lathe(np.vstack([cap, [0, length] + cap[::-1] * [1, -1]]), start, end, THIN))
    return pieces


def ball(center: Place, radius: float, stretch: float = 1.0) -> Solid:
    """Return a ball, or an egg `stretch` times as tall."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    profile = radius * np.stack([np.cos(angle), stretch * np.sin(angle)], axis=1)
    profile[[0, -1], 0] = 0.0
    return lathe(profile, center)


def plate(outline: np.ndarray, bottom: float, top: float) -> Solid:
    """Return a horizontal board: an outline (x, z) between two heights."""
    board = Extruded(outline * [1.0, -1.0], (top - bottom) / 2)
    return moved(Turned(board, (-np.pi / 2, 0.0, 0.0)), (0, (bottom + top) / 2, 0))


def rounded(width: float, depth: float, corner: float, back: float = 1.0) -> np.ndarray:
    """Return the outline (x, z) of a board with rounded corners, its back `back` times as wide as its front."""
    angle = np.linspace(0, np.pi / 2, 7) if corner > 0 else np.zeros(1)
    arc = corner * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    quarter = np.add(arc, [width / 2 - corner, depth / 2 - corner])
    right = np.vstack([quarter[::-1], quarter * [1, -1]])
    right[:, 0] *= 1 + (back - 1) * (0.5 - right[:, 1] / depth)
    return np.vstack([right, right[::-1] * [-1, 1]])


def ellipse(width: float, depth: float, count: int = 48) -> np.ndarray:
    """Return the outline (x, z) of a round or oval board."""
    angle = 2 * np.pi / count * np.arange(count)
    return np.stack([width / 2 * np.sin(angle), depth / 2 * np.cos(angle)], axis=1)


def arc_band(width: float, thickness: float, bulge: float, count: int = 16) -> np.ndarray:
    """Return the outline (x, z) of a bent board: its middle is `bulge` behind its ends, which are at z = 0."""
    x = np.linspace(-width / 2, width / 2, count + 1 if bulge else 2)
    middle = np.stack([x, bulge * ((2 * x / width) ** 2 - 1)], axis=1)
    half = [0, thickness / 2]
    return np.vstack([middle - half, middle[::-1] + half])


def smooth(heights: Place, radii: Place, count: int) -> np.ndarray:
    """Return (radius, height) along a smooth curve through control points that overshoots none of them."""
    y = np.linspace(heights[0], heights[-1], count)
    return np.stack([PchipInterpolator(heights, radii)(y), y], axis=1)


def solid_of(curve: np.ndarray) -> np.ndarray:
    """Return a closed half section from a curve (radius, height) and the axis."""
    return np.vstack([[0, curve[0, 1]], curve, [0, curve[-1, 1]]])


def _toward(direction: np.ndarray) -> tuple[float, float, float]:
    """Rotation vector that takes +y to a direction."""
    x, y, z = direction / np.linalg.norm(direction)
    flat = np.hypot(x, z)
    angle = np.arctan2(flat, y)
    return (angle * z / flat, 0.0, -angle * x / flat) if flat > 0 else (float(angle), 0.0, 0.0)
