"""Serpents: snakes, worms and eels, creeping flat or with the front of the body raised."""

import numpy as np

from data_prep.skeletons._creature import SIDES, Creature, lying, wave


def make(rng: np.random.Generator) -> Creature:
    """Return a serpent about 1.5 long, its tail first.

    Args:
        rng: Source of everything random in it.
    """
    creature = Creature(blend=float(rng.uniform(0.005, 0.012)))
    count, thick = int(rng.integers(5, 13)), rng.uniform(0.045, 0.11)
    places = np.linspace(0, 1, count + 1)
    radii = thick * np.interp(places, [0, 0.35, 0.8, 1], [rng.uniform(0.2, 0.5), 1, 0.9, rng.uniform(0.6, 0.9)])
    bends = _bends(rng, count)
    form = {"wide": float(rng.uniform(0.9, 1.3))}
    neck, pose = creature.chain("Body", -1, lying(0), [1.5 / count] * count, radii, bends, **form)
    ahead = pose.turned(x=-float(bends[:, 0].sum()) * rng.uniform(0.8, 1.0))
    size = thick * rng.uniform(0.9, 1.5)
    head, snout = creature.bone("Head", neck, ahead, size, (0.9 * size, size), wide=1.15)
    creature.flesh(head, snout, 0.9 * size, (0.75 * size, 0.5 * size), wide=1.2, deep=0.7)
    if rng.random() < 0.5:
        jaw = ahead.moved(y=0.5 * size, z=0.5 * size).turned(x=rng.uniform(10, 35))
        creature.bone("Jaw", head, jaw, 1.4 * size, (0.5 * size, 0.4 * size), wide=1.3, deep=0.7)
    if rng.random() < 0.5:
        for side in SIDES:
            creature.flesh(head, snout.moved(x=0.7 * side * size, z=-0.6 * size), 0.0, (0.3 * size, 0.3 * size))
    return creature


def _bends(rng: np.random.Generator, count: int) -> np.ndarray:
    """Waves to the sides, or a front that rises from the ground and then looks ahead again."""
    bends = wave(rng, count, 50, 2)
    if rng.random() < 0.5:
        raised = int(rng.integers(2, max(3, count // 2 + 1)))
        bends[-raised:] = 0
        bends[-raised:, 0] = -rng.uniform(60, 100) * np.array([0.6, 0.4, *[0.0] * count])[:raised]
    return bends
