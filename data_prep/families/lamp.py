"""Lamps: table and floor lamps with a stem and a shade, and desk lamps with a jointed arm."""

import numpy as np

from data_prep.families._parts import SIDES, ball, lathe, one_of, plate, rod, rounded, shifted, smooth, solid_of
from geomflow.geometry.primitives import Assembly, Solid


def make(rng: np.random.Generator) -> Assembly:
    """Return a lamp.

    Args:
        rng: Source of everything random in it.
    """
    return Assembly(tuple(_jointed(rng) if rng.random() < 0.25 else _standing(rng)))


def _standing(rng: np.random.Generator) -> list[Solid]:
    """A base, a stem, and a shade that spokes hold around a bulb."""
    is_tall = rng.random() < 0.4
    height, radius = rng.uniform(1.3, 1.7) if is_tall else rng.uniform(0.3, 0.5), rng.uniform(0.12, 0.22)
    stem = one_of(rng, [_plain, _plain, _tripod] if is_tall else [_plain, _baluster, _beads, _gourd])
    foot = [] if stem is _tripod else _foot(rng, rng.uniform(0.6, 0.85) * radius)
    return [*foot, *stem(rng, height), *_shade(rng, radius * (1.3 if is_tall else 1.0), height)]


def _foot(rng: np.random.Generator, radius: float) -> list[Solid]:
    """A disc, a dome or a square slab."""
    kind, thick = rng.integers(3), rng.uniform(0.012, 0.03)
    if kind == 0:
        return [plate(rounded(1.8 * radius, 1.8 * radius, rng.uniform(0.0, 0.03)), 0.0, thick)]
    rise = thick if kind == 1 else rng.uniform(2, 4) * thick
    angle = np.linspace(0, np.pi / 2, 10)
    dome = np.stack([radius * np.cos(angle), thick / 2 + (rise - thick / 2) * np.sin(angle)], axis=1)[:-1]
    dome = dome if kind == 2 else np.array([[radius, thick]])
    return [lathe(np.vstack([[0, 0], [radius, 0], dome, [0, rise]]))]


def _plain(rng: np.random.Generator, height: float) -> list[Solid]:
    """One straight rod."""
    return [rod((0, 0.005, 0), (0, height, 0), rng.uniform(0.007, 0.014))]


def _tripod(rng: np.random.Generator, height: float) -> list[Solid]:
    """Three rods that meet under the shade, one of them to the front."""
    radius, reach, angles = rng.uniform(0.01, 0.018), rng.uniform(0.15, 0.22) * height, 2 * np.pi / 3 * np.arange(3)
    return [rod((reach * np.sin(a), 0, reach * np.cos(a)), (0, height, 0), radius, 0.8 * radius) for a in angles]


def _baluster(rng: np.random.Generator, height: float) -> list[Solid]:
    """A turned column."""
    heights = np.array([0.0, 0.1, 0.3, 0.55, 0.8, 0.9, 1.0]) * (height - 0.005) + 0.005
    radii = rng.uniform([0.03, 0.015, 0.04, 0.025, 0.012, 0.01, 0.008], [0.05, 0.03, 0.075, 0.06, 0.025, 0.016, 0.01])
    return [lathe(solid_of(smooth(heights, radii, 48)))]


def _beads(rng: np.random.Generator, height: float) -> list[Solid]:
    """A pile of balls on a rod."""
    count = int(rng.integers(2, 6))
    radius = 0.8 * height / (2 * count)
    radius, stretch = (radius, 1.0) if radius < 0.07 else (0.07, radius / 0.07)
    levels = 0.012 + radius * stretch * (1 + 1.9 * np.arange(count))
    return [rod((0, 0.005, 0), (0, height, 0), 0.008), *(ball((0, y, 0), radius, stretch) for y in levels)]


def _gourd(rng: np.random.Generator, height: float) -> list[Solid]:
    """A ceramic body with a thin neck."""
    heights = np.array([0.0, 0.35 * rng.uniform(0.7, 1.2), 0.75, 0.85, 1.0]) * (height - 0.005) + 0.005
    radii = [rng.uniform(0.04, 0.06), rng.uniform(0.08, 0.13), rng.uniform(0.02, 0.03), 0.012, 0.008]
    return [lathe(solid_of(smooth(heights, radii, 48)))]


def _shade(rng: np.random.Generator, radius: float, height: float) -> list[Solid]:
    """A thin wall around the stem's end, open above and below, with spokes and a bulb."""
    tall, top, wall = rng.uniform(0.9, 1.5) * radius, rng.uniform(0.35, 1.0) * radius, rng.uniform(0.004, 0.007)
    bottom = height - rng.uniform(0.1, 0.4) * tall
    waist = (radius + top) / 2 * one_of(rng, [1.0, rng.uniform(0.75, 1.15)])
    outer = smooth([bottom, bottom + tall / 2, bottom + tall], [radius, waist, top], 16)
    skin = lathe(np.vstack([outer, outer[::-1] - [wall, 0]]))
    level = bottom + 0.85 * tall
    reach = float(np.interp(level, outer[:, 1], outer[:, 0])) - 0.4 * wall
    spokes = [rod((0, level, 0), (a * reach, level, 0), 0.003) for a in SIDES]
    spokes += [rod((0, level, 0), (0, level, a * reach), 0.003) for a in SIDES]
    bulb = ball((0, height + 0.03, 0), 0.026, 1.3)
    return [skin, bulb, *spokes, rod((0, height - 0.01, 0), (0, level + 0.01, 0), 0.006)]


def _jointed(rng: np.random.Generator) -> list[Solid]:
    """Two arms in the middle plane that carry a reflector over the front."""
    lower, upper = rng.uniform(0.25, 0.38), rng.uniform(0.22, 0.34)
    lean, reach = np.radians(rng.uniform(5, 35)), np.radians(rng.uniform(30, 70))
    elbow = np.array([0, 0.03 + lower * np.cos(lean), -0.05 - lower * np.sin(lean)])
    wrist = elbow + upper * np.array([0, np.cos(reach), np.sin(reach)])
    gap = rng.uniform(0.008, 0.016)
    arms = [rod((a * gap, 0.01, -0.05), shifted(elbow, a * gap), 0.006) for a in SIDES]
    arms += [rod(shifted(elbow, a * gap), shifted(wrist, a * gap), 0.005) for a in SIDES]
    pins = [rod(shifted(spot, -2 * gap), shifted(spot, 2 * gap), 0.013) for spot in (elbow, wrist)]
    return [*_foot(rng, rng.uniform(0.08, 0.12)), *arms, *pins, *_reflector(rng, wrist)]


def _reflector(rng: np.random.Generator, wrist: np.ndarray) -> list[Solid]:
    """A thin bell that hangs from a place and looks down to the front."""
    length, mouth, wall = rng.uniform(0.12, 0.18), rng.uniform(0.06, 0.1), 0.004
    tilt = np.radians(rng.uniform(20, 50))
    aim = np.array([0, -np.cos(tilt), np.sin(tilt)])
    curve = smooth([0.0, 0.3 * length, length], [0.03, rng.uniform(0.04, 0.06), mouth], 16)
    inner = curve[curve[:, 1] > 0.02][::-1] - [wall, 0]
    start = wrist - 0.01 * aim
    bulb = ball(start + 0.055 * aim, 0.024)
    neck = rod(start + 0.01 * aim, start + 0.05 * aim, 0.012)
    return [lathe(np.vstack([[0, 0], curve, inner, [0, 0.02]]), start, start + aim), bulb, neck]
