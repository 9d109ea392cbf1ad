"""Crawlers: bodies on many legs or tentacles - spiders, crabs, insects with wings, octopuses, walking balls."""

import numpy as np

from data_prep.skeletons._creature import SIDES, Creature, Pose, both, lying, mirrored, standing, wave


def make(rng: np.random.Generator) -> Creature:
    """Return a crawler whose body is about 0.6 long.

    Args:
        rng: Source of everything random in it.
    """
    creature = Creature(blend=float(rng.uniform(0.005, 0.015)))
    return _octopus(rng, creature) if rng.random() < 0.35 else _insect(rng, creature)


def _octopus(rng: np.random.Generator, creature: Creature) -> Creature:
    """A head over a ring of tentacles that all look alike but for their pose."""
    arms, bones, size = int(rng.integers(3, 9)), int(rng.integers(2, 6)), rng.uniform(0.18, 0.3)
    body, crown = creature.bone("Body", -1, standing(0), 0.5 * size, (0.9 * size, size))
    if rng.random() < 0.6:
        creature.bone("Head", body, crown, rng.uniform(0.4, 1.2) * size, (size, size * rng.uniform(0.8, 1.2)))
    length, thick = rng.uniform(0.35, 0.8), rng.uniform(0.2, 0.34) * min(1.0, 5 / arms) * size
    radii, drop = np.linspace(thick, rng.uniform(0.3, 0.8) * thick, bones + 1), rng.uniform(100, 150)
    curl = rng.uniform(-45, 30) / bones
    for k in range(arms):
        root = standing(-0.3 * size).turned(y=360 * (k + 0.5) / arms).turned(x=drop).moved(y=0.6 * size)
        bends = wave(rng, bones, 25, 2) + rng.normal((curl, 0, 0), 6, (bones, 3))
        creature.chain(f"Arm{k + 1}_", body, root, [length / bones] * bones, radii, bends)
    return creature


def _insect(rng: np.random.Generator, creature: Creature) -> Creature:
    """A thorax with pairs of legs, mostly with a head, an abdomen and feelers, some with wings."""
    size = rng.uniform(0.1, 0.22)
    thorax, front = creature.bone(
        "Thorax", -1, lying(0, -0.5 * size), size, (size, 0.95 * size), wide=rng.uniform(0.8, 1.3)
    )
    if rng.random() < 0.8:
        _insect_head(rng, creature, thorax, front, size)
    if rng.random() < 0.7:
        count, swell = int(rng.integers(1, 4)), rng.uniform(0.7, 1.5) * size
        radii = swell * np.interp(np.linspace(0, 1, count + 1), [0, 0.5, 1], [0.6, 1, rng.uniform(0.3, 0.7)])
        bends = [(rng.uniform(-20, 10), 0, 0)] * count
        back = lying(0, -0.9 * size).turned(z=180)
        creature.chain("Abdomen", thorax, back, [rng.uniform(1.2, 3) * size / count] * count, radii, bends)
    _legs(rng, creature, thorax, size)
    if rng.random() < 0.35:
        _wings(rng, creature, thorax, size)
    return creature


def _insect_head(rng: np.random.Generator, creature: Creature, thorax: int, front: Pose, size: float) -> None:
    neck, radius = front.moved(y=0.5 * size, z=-0.1 * size), rng.uniform(0.5, 1.0) * size
    head, _ = creature.bone("Head", thorax, neck, 0.7 * radius, (radius, 0.8 * radius))
    count = int(rng.integers(0, 3))
    for side, name in zip(SIDES, ("L", "R"), strict=True):
        foot = neck.moved(x=0.5 * side * radius, y=0.8 * radius, z=-0.6 * radius).turned(x=-50, z=-20 * side)
        radii = np.linspace(0.16, 0.1, count + 1) * radius
        creature.chain(f"Feeler{name}", head, foot, [0.8 * radius] * count, radii, [(10, 0, 0)] * count)


def _legs(rng: np.random.Generator, creature: Creature, thorax: int, size: float) -> None:
    """Pairs of legs of two to four bones that rise and then come down."""
    pairs, bones = int(rng.integers(1, 5)), int(rng.integers(2, 5))
    reach, thick = rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.26) * size
    rise, fall = rng.uniform(0, 50), rng.uniform(70, 120)
    fan = np.linspace(45, -45, pairs) if pairs > 1 else np.zeros(1)
    radii = np.linspace(1.2 * thick, rng.uniform(0.5, 1.0) * thick, bones + 1)
    for k, angle in enumerate(fan):
        poses = both(rng, [-12, -10, -10], [12, 10, 10])
        for side, name, bend in zip(SIDES, ("L", "R"), poses, strict=True):
            hip = Pose(np.array([0.7 * side * size, -0.2 * size, 0.9 * size * angle / 60]), np.eye(3))
            outward = hip.turned(y=-side * (angle + bend[1])).turned(z=-side * (90 - rise + bend[0]))
            bends = [(0, 0, 0), *[mirrored((0, 0, -(fall + bend[2]) / (bones - 1)), side)] * (bones - 1)]
            shares = np.array([0.5, 1.0, 1.0, 0.8])[:bones]
            creature.chain(f"Leg{k + 1}{name}", thorax, outward, reach * shares / shares.sum(), radii, bends)


def _wings(rng: np.random.Generator, creature: Creature, thorax: int, size: float) -> None:
    """A pair of wings of one or two bones over the back."""
    count, length, lift, sweep = (
        int(rng.integers(1, 3)),
        rng.uniform(0.4, 0.8),
        rng.uniform(5, 50),
        rng.uniform(-10, 50),
    )
    for side, name in zip(SIDES, ("L", "R"), strict=True):
        root = standing(0.75 * size).moved(x=0.4 * side * size).turned(y=side * sweep).turned(z=-side * (90 - lift))
        radii = np.array([0.1, 0.17, 0.13])[: count + 1] * length
        bends = [(0, 0, 0), (0, 0, -10 * side)][:count]
        creature.chain(f"Wing{name}", thorax, root, [length / count] * count, radii, bends, wide=0.25)
