"""Airplanes: airliners, propeller airliners, light aircraft, biplanes, gliders and jet fighters."""

import numpy as np

from data_prep.families._airframe import (
    ACROSS,
    INTAKE,
    LENGTH,
    NOZZLE,
    POD,
    STERN,
    along,
    canopy,
    cowled,
    foil,
    fuselage,
    propeller,
    tail,
    tail_jets,
    wheels,
    wing_jets,
    wings,
)
from data_prep.families._parts import SIDES, one_of, rod, shifted
from geomflow.geometry.primitives import Assembly, Solid

NOSE = (0.0, 0.0, LENGTH / 2)
BLADES = (2, 3, 4)


def make(rng: np.random.Generator) -> Assembly:
    """Return an airplane.

    Args:
        rng: Source of everything random in it.
    """
    kinds = [_airliner, _airliner, _airliner, _turboprop, _light, _light, _biplane, _glider, _fighter, _fighter]
    return Assembly(tuple(one_of(rng, kinds)(rng)))


def _airliner(rng: np.random.Generator) -> list[Solid]:
    """A tube with swept wings, and engines under them or at the tail."""
    radius, half_span, chord = rng.uniform(0.42, 0.62), rng.uniform(4.0, 5.6), rng.uniform(1.5, 2.1)
    size, at_tail = rng.uniform(0.22, 0.34), rng.random() < 0.25
    root = np.array([0.0, -0.5 * radius, rng.uniform(0.8, 1.4)])
    tip = shifted(root, half_span, 0.09 * half_span, -rng.uniform(0.35, 0.6) * half_span)
    parts = [fuselage(radius, 0.14, 0.38), *wings(root, tip, chord, 0.25 * chord, 0.11)]
    if at_tail:
        return [*parts, *tail_jets(radius, 0.9 * size), *tail(rng, radius, 0.6, is_high=True)]
    shares = one_of(rng, [(0.34,), (0.34,), (0.28, 0.55)])
    jets = [part for share in shares for part in wing_jets(root, tip, chord, share, size)]
    return [*parts, *jets, *tail(rng, radius, 0.6, is_high=False)]


def _turboprop(rng: np.random.Generator) -> list[Solid]:
    """A tube with straight wings on top or below, and propellers on them."""
    radius, half_span = rng.uniform(0.42, 0.55), rng.uniform(4.2, 5.6)
    root = np.array([0.0, one_of(rng, [0.75, -0.6]) * radius, rng.uniform(0.9, 1.4)])
    tip = shifted(root, half_span, 0.05 * half_span, -rng.uniform(0.05, 0.3))
    parts = [fuselage(radius, 0.13, 0.42), *wings(root, tip, 1.3, 0.65, 0.13)]
    for share in one_of(rng, [(0.3,), (0.25, 0.5)]):
        spot, blades = (1 - share) * root + share * tip, one_of(rng, BLADES)
        for a in SIDES:
            place = spot * [a, 1, 1]
            parts.append(along(POD * [0.2, 1.9], shifted(place, z=-1.2)))
            parts += propeller(blades, shifted(place, z=0.68), 0.8)
    return parts + tail(rng, radius, 0.35, is_high=bool(rng.random() < 0.5))


def _light(rng: np.random.Generator) -> list[Solid]:
    """One propeller, straight wings above or below the cabin, wheels on struts."""
    radius, half_span, chord = rng.uniform(0.55, 0.7), rng.uniform(5.0, 6.4), rng.uniform(1.4, 1.8)
    is_high = rng.random() < 0.5
    root = np.array([0.0, (0.95 if is_high else -0.6) * radius, rng.uniform(1.3, 1.8)])
    tip = shifted(root, half_span, rng.uniform(0.02, 0.09) * half_span, rng.uniform(-0.4, 0.0))
    parts = [cowled(radius, rng.uniform(0.6, 0.72)), *wings(root, tip, chord, rng.uniform(0.55, 1.0) * chord, 0.12)]
    parts.append(canopy((0, 0.6 * radius, root[2] - 0.4), rng.uniform(2.2, 2.8), 0.6 * radius))
    if is_high:
        middle = shifted(0.45 * tip + 0.55 * root, z=-0.4 * chord)
        parts += [rod((a * 0.4, -0.7 * radius, middle[2]), middle * [a, 1, 1], 0.05) for a in SIDES]
    parts += propeller(one_of(rng, BLADES), NOSE, rng.uniform(0.95, 1.25))
    return [*parts, *wheels(radius, root[2] - 0.2), *tail(rng, 0.6 * radius, 0.3, is_high=False)]


def _biplane(rng: np.random.Generator) -> list[Solid]:
    """Two pairs of wings with struts, one propeller, wheels."""
    radius, half_span, chord = rng.uniform(0.5, 0.62), rng.uniform(4.6, 5.6), rng.uniform(1.2, 1.5)
    low = np.array([0.0, -0.7 * radius, rng.uniform(1.6, 2.0)])
    high = shifted(low, y=rng.uniform(1.5, 1.8), z=rng.uniform(0.1, 0.5))
    parts = [cowled(radius, rng.uniform(0.6, 0.72)), canopy((0, 0.8 * radius, low[2] - 1.6), 0.9, 0.35 * radius)]
    for root, share in ((low, rng.uniform(0.8, 1.0)), (high, 1.0)):
        parts += wings(root, shifted(root, share * half_span), chord, chord, 0.09)
    for x in (0.35, 0.68 * half_span):
        for back in (0.2 * chord, 0.65 * chord):
            parts += [rod(shifted(low, a * x, z=-back), shifted(high, a * x, z=-back), 0.04) for a in SIDES]
    parts += propeller(one_of(rng, BLADES), NOSE, rng.uniform(1.0, 1.25))
    return [*parts, *wheels(radius, low[2]), *tail(rng, 0.6 * radius, 0.25, is_high=False)]


def _glider(rng: np.random.Generator) -> list[Solid]:
    """A slim body, long thin wings and a high tail."""
    radius, half_span, chord = rng.uniform(0.35, 0.45), rng.uniform(7.5, 9.5), rng.uniform(0.8, 1.0)
    root = np.array([0.0, 0.5 * radius, rng.uniform(1.3, 1.8)])
    tip = shifted(root, half_span, rng.uniform(0.03, 0.07) * half_span, rng.uniform(-0.3, 0.0))
    glass = canopy((0, 0.55 * radius, root[2] + 1.0), 2.4, 0.55 * radius)
    parts = [fuselage(radius, 0.35, 0.55), glass, *wings(root, tip, chord, 0.4 * chord, 0.12)]
    return parts + tail(rng, 0.8 * radius, 0.3, is_high=True)


def _fighter(rng: np.random.Generator) -> list[Solid]:
    """A pointed body with delta or swept wings, one fin or two, and a nozzle."""
    radius, half_span, chord = rng.uniform(0.45, 0.6), rng.uniform(2.8, 3.6), rng.uniform(3.4, 4.6)
    root = np.array([0.0, rng.uniform(-0.3, 0.2) * radius, rng.uniform(0.6, 1.2)])
    tip = shifted(root, half_span, rng.uniform(-0.1, 0.15), -rng.uniform(0.65, 0.85) * chord)
    parts = [fuselage(radius, 0.45, 0.1, end=0.75, bluntness=0.7), *wings(root, tip, chord, 0.2 * chord, 0.04)]
    parts += [canopy((0, 0.75 * radius, 2.2), 2.4, 0.5 * radius), along(NOZZLE * [0.75 * radius, 1], (0, 0, STERN))]
    if rng.random() < 0.6:
        ducts = [(a * radius, -0.25 * radius, 0.3) for a in SIDES]
        parts += [along(INTAKE * [0.45 * radius, 1], place) for place in ducts]
    rear = np.array([0.0, 0.0, STERN + 2.1])
    if chord < 4.0:
        parts += wings(rear, shifted(rear, 0.55 * half_span, 0.0, -1.2), 1.6, 0.6, 0.05)
    return parts + _fins(rng, radius, rear)


def _fins(rng: np.random.Generator, radius: float, root: np.ndarray) -> list[Solid]:
    """One upright fin, or two that lean out."""
    height = rng.uniform(1.3, 1.9)
    if rng.random() < 0.5:
        return [foil(root, shifted(root, y=radius + height, z=-1.4), 2.2, 0.8, 0.06, ACROSS)]
    feet = [shifted(root, a * 0.6 * radius, 0.3 * radius) for a in SIDES]
    tops = [shifted(root, a * (0.6 * radius + 0.5), 0.3 * radius + height, -1.2) for a in SIDES]
    return [foil(foot, top, 1.9, 0.7, 0.06, ACROSS) for foot, top in zip(feet, tops, strict=True)]
