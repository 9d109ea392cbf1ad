"""Vases: thin walls turned along smooth curves, with feet, lips and handles."""

import numpy as np

from data_prep.families._parts import SIDES, lathe, one_of, smooth, tube
from geomflow.geometry.primitives import Assembly, Solid

POINTS = 48
"""Corners of the outer wall."""


def make(rng: np.random.Generator) -> Assembly:
    """Return a vase, 0.3 m tall; its body is one turned profile with an outer and an inner side.

    Args:
        rng: Source of everything random in it.
    """
    wall = rng.uniform(0.006, 0.011)
    outer = _curve(rng)
    body = lathe(np.vstack([[0, 0], outer, _inner(outer, wall)]))
    handles = _handles(rng, outer, wall) if rng.random() < 0.4 else []
    return Assembly((body, *handles))


def _curve(rng: np.random.Generator) -> np.ndarray:
    """A silhouette (radius, height): foot, belly, neck and lip, at random heights."""
    foot, belly, neck, lip = rng.uniform([0.03, 0.06, 0.022, 0.0], [0.06, 0.13, 0.07, 0.03])
    low, high = rng.uniform([0.2, 0.62], [0.55, 0.85])
    stem = one_of(rng, [1.0, rng.uniform(0.5, 0.95)])
    shapes = [
        ([0, 0.06, low, high, 1], [foot, foot * stem, belly, neck, neck + lip]),  # bellied
        ([0, 0.5, 1], [foot, rng.uniform(0.6, 1.3) * foot, foot + rng.uniform(0.0, 0.06)]),  # beaker
        ([0, 0.04, 0.3, low + 0.3, 1], [foot, foot * stem, 0.8 * belly, belly, 0.7 * belly]),  # urn
        (
            [0, 0.15, high - 0.15, high, 1],
            [belly, 0.98 * belly, 0.35 * belly, 0.3 * belly, 0.3 * belly + lip],
        ),  # bottle
        ([0, 0.05, 0.25, 1], [1.3 * foot, 0.35 * foot, 0.4 * foot, belly]),  # goblet
    ]
    heights, radii = one_of(rng, shapes)
    return smooth(0.3 * np.array(heights), radii, POINTS)


def _inner(outer: np.ndarray, wall: float) -> np.ndarray:
    """The inner side from lip to floor, `wall` within the outer one; the vase is solid below a stem too thin for it."""
    heights = np.linspace(outer[-1, 1], wall, POINTS)
    fine = np.linspace(0, outer[-1, 1], 2000)
    gap = np.abs(heights[:, None] - fine)
    away = np.interp(fine, outer[:, 1], outer[:, 0]) - np.sqrt(np.maximum(wall**2 - gap**2, 0))
    inner = np.where(gap <= wall, away, np.inf).min(axis=1)
    closed = np.flatnonzero(inner < 0.3 * wall)
    side = np.stack([inner, heights], axis=1)[: closed[0] if len(closed) else None]
    return np.vstack([side, [0, side[-1, 1]]])


def _handles(rng: np.random.Generator, outer: np.ndarray, wall: float) -> list[Solid]:
    """Two ears at the sides, or one handle at the back."""
    low, high = np.sort(rng.uniform([0.3, 0.65], [0.5, 0.92])) * outer[-1, 1]
    radius, reach = rng.uniform(0.9, 1.3) * wall, rng.uniform(0.03, 0.07)
    ends = np.array([_rest(outer, y, radius - 0.6 * wall) for y in (low, high)])
    s = np.linspace(0, 1, 11)[:, None]
    arc = (1 - s) * ends[0] + s * ends[1] + np.sqrt(4 * s * (1 - s)) * [reach, 0]
    zero = 0 * arc[:, 0]
    if rng.random() < 0.3:
        return tube(np.stack([zero, arc[:, 1], -arc[:, 0]], axis=1), radius)
    return [part for a in SIDES for part in tube(np.stack([a * arc[:, 0], arc[:, 1], zero], axis=1), radius)]


def _rest(outer: np.ndarray, height: float, lift: float) -> np.ndarray:
    """The place (radius, height) `lift` outside the outer side, along its normal."""
    k = int(np.searchsorted(outer[:, 1], height))
    along = outer[k + 1] - outer[k - 1] if k + 1 < len(outer) else outer[k] - outer[k - 1]
    normal = np.array([along[1], -along[0]]) / np.linalg.norm(along)
    return outer[k] + lift * normal
