"""Parts of airplanes, nose towards +z: bodies, wings, tails, engines, propellers and wheels."""

import numpy as np

from data_prep.families._parts import SIDES, Place, lathe, rod, shifted
from geomflow.geometry.primitives import Solid
from geomflow.geometry.profiles import Hull

LENGTH = 10.0
"""Length of every body, in metres."""

STERN = -LENGTH / 2
CHORD = np.array([0.0, 0.04, 0.15, 0.35, 0.65, 1.0])
"""Places along a wing section, from its leading edge, in chords."""

UP, ACROSS = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
JET = np.array([(0, 0.5), (0.45, 0.5), (0.5, 0), (0.6, 0), (0.95, 1.4), (1, 2.8), (0.92, 4.1), (0.85, 4.2), (0.8, 4.1)])
INTAKE = np.array([(0, -3.5), (0.5, -3.5), (1, -1.5), (1, 1.2), (0.85, 1.2), (0.8, 0.6), (0, 0.6)])
NOZZLE = np.array([(0, 0), (0.8, 0), (0.75, -0.35), (0.85, -0.35), (1, 0.35), (0, 0.35)])
POD = np.array([(0, 0), (0.3, 0), (0.8, 0.35), (1, 0.7), (0.95, 0.9), (0.6, 1), (0, 1)])
SPINNER = np.array([(0, -0.15), (0.16, -0.15), (0.15, 0.05), (0.08, 0.2), (0, 0.25)])
BLADE = np.array([(0.05, 0.05), (0.5, 0.09), (0.9, 0.07), (1.0, 0.03)])
"""Places along a propeller's blade, and its half width there."""


def along(profile: np.ndarray, place: Place) -> Solid:
    """Return a turned piece whose axis runs forward from a place."""
    return lathe(profile, place, shifted(place, z=1))


def body(radii: np.ndarray) -> Solid:
    """Return a body of these radii at even distances from the tail to the nose."""
    curve = np.stack([radii, np.linspace(0, LENGTH, len(radii))], axis=1)
    return along(np.vstack([[0, 0], curve[: -1 if radii[-1] == 0 else None], [0, LENGTH]]), (0, 0, STERN))


def fuselage(radius: float, nose: float, tail: float, end: float = 0.18, bluntness: float = 0.55) -> Solid:
    """Return a body that tapers over shares of its length: an ogive at the nose, a cone to `end` radii at the tail."""
    s = np.linspace(0, 1, 61)
    ogive = (1 - np.clip((s - 1 + nose) / nose, 0, 1) ** 2) ** bluntness
    return body(radius * np.minimum(ogive, 1 - (1 - end) * np.clip(1 - s / tail, 0, 1) ** 1.6))


def cowled(radius: float, tail: float) -> Solid:
    """Return a body with a blunt cowling in front."""
    s = np.linspace(0, 1, 41)
    cowl = 1 - 0.35 * np.clip((s - 0.8) / 0.2, 0, 1) ** 2
    return body(radius * np.minimum(cowl, 1 - 0.85 * np.clip(1 - s / tail, 0, 1) ** 1.3))


def foil(root: Place, tip: Place, root_chord: float, tip_chord: float, thickness: float, normal: np.ndarray) -> Solid:
    """Return a surface between two leading edges, with symmetric sections of the NACA 4-digit family (Report 460)."""
    x = CHORD
    half = 5 * thickness * (0.2969 * x**0.5 - 0.126 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1015 * x**4)
    sections = [
        np.add(place, chord * (side * half[:, None] * normal - x[:, None] * [0.0, 0.0, 1.0]))
        for place, chord in ((root, root_chord), (tip, tip_chord))
        for side in SIDES
    ]
    return Hull(np.unique(np.vstack(sections), axis=0))


def wings(root: np.ndarray, tip: np.ndarray, root_chord: float, tip_chord: float, thickness: float) -> list[Solid]:
    """Return both wings; they begin a little beyond the middle, so that they overlap there."""
    inner = root - 0.01 * (tip - root)
    return [foil(inner * [a, 1, 1], tip * [a, 1, 1], root_chord, tip_chord, thickness, UP) for a in SIDES]


def tail(rng: np.random.Generator, radius: float, sweep: float, is_high: bool) -> list[Solid]:
    """Return a fin, and a tailplane on the body or on top of the fin."""
    height, span, chord = rng.uniform(1.3, 1.8), rng.uniform(1.5, 2.1), rng.uniform(0.9, 1.2)
    foot = np.array([0.0, 0.1 * radius, STERN + 0.1 + 1.45 * chord])
    top = shifted(foot, y=height + 0.4 * radius, z=-1.1 * height * sweep - 0.35 * chord)
    root = shifted(top, y=-0.06) if is_high else shifted(foot, y=0.1 * radius, z=-0.4 * chord)
    tip = shifted(root, span, 0.0 if is_high else 0.1, -sweep * span)
    fin = foil(foot, top, 1.45 * chord, 0.75 * chord, 0.1, ACROSS)
    return [fin, *wings(root, tip, 0.8 * chord, 0.45 * chord, 0.1)]


def wing_jets(root: np.ndarray, tip: np.ndarray, chord: float, share: float, size: float) -> list[Solid]:
    """Return an engine under each wing, at a share of its span, on a pylon."""
    edge = (1 - share) * root + share * tip
    front = shifted(edge, y=-1.25 * size, z=0.6)
    parts: list[Solid] = []
    for a in SIDES:
        heel, crest = shifted(front, y=0.7 * size, z=-0.8 * size), shifted(edge, z=-0.1 * chord)
        pylon = foil(heel * [a, 1, 1], crest * [a, 1, 1], 3 * size, 0.6 * (1 - 0.75 * share) * chord, 0.06, ACROSS)
        parts += [*jet(shifted(front, z=-4.2 * size) * [a, 1, 1], size), pylon]
    return parts


def tail_jets(radius: float, size: float) -> list[Solid]:
    """Return an engine on each side of the body, ahead of the fin."""
    parts: list[Solid] = []
    for a in SIDES:
        back = np.array([a * (radius + 0.8 * size), 0.35 * radius, 1.4 + STERN])
        edge = shifted(back, z=2.6 * size)
        parts += [*jet(back, size), foil(edge * [0.3, 1, 1], edge, 2 * size, 2 * size, 0.15, UP)]
    return parts


def jet(back: np.ndarray, radius: float) -> list[Solid]:
    """Return a nacelle with an open intake and a spinner in it, `back` being the end of its nozzle."""
    shell = radius * np.vstack([JET, [(0.78, 3.5), (0, 3.5)]])
    return [along(shell, back), along(2 * radius * SPINNER, shifted(back, z=3.6 * radius))]


def propeller(count: int, hub: Place, radius: float) -> list[Solid]:
    """Return a spinner with so many blades, one of them upright."""
    return [
        along(radius * SPINNER, hub),
        *(_blade(hub, radius, angle) for angle in 2 * np.pi / count * np.arange(count)),
    ]


def canopy(middle: Place, length: float, radius: float) -> Solid:
    """Return a drop of glass along the body."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)[1:-1]
    curve = np.stack([radius * np.cos(angle), length / 2 * np.sin(angle)], axis=1)
    return along(np.vstack([[0, -length / 2], curve, [0, length / 2]]), middle)


def wheels(radius: float, z: float) -> list[Solid]:
    """Return two main wheels on struts, and a small one at the tail."""
    small = np.array([0, -0.55, STERN + 0.9])
    parts = [rod((0, 0, STERN + 1.1), small, 0.05), rod(shifted(small, -0.05), shifted(small, 0.05), 0.14)]
    for a in SIDES:
        axle = np.array([a * 1.1, -radius - 0.75, z])
        parts.append(rod((a * 0.3 * radius, -0.6 * radius, z), axle, 0.07))
        parts.append(rod(shifted(axle, -0.11), shifted(axle, 0.11), 0.32))
    return parts


def _blade(hub: Place, radius: float, angle: float) -> Solid:
    """One flat blade, `angle` from upright."""
    sin, cos = np.sin(angle), np.cos(angle)
    flat = np.array([(s, a * w) for s, w in BLADE for a in SIDES])
    turned = radius * np.stack([flat @ [sin, cos], flat @ [cos, -sin]], axis=1)
    front = 0.025 * radius
    return Hull(np.add(hub, [(x, y, b * front) for x, y in turned for b in SIDES]))
