"""Fish, sharks, rays and whales: a spine that swings, fins flat as blades, and a tail upright or level."""

import numpy as np

from data_prep.skeletons._creature import SIDES, Creature, Pose, both, lying, mirrored, wave

NOSE_TO_TAIL = [0, 0.12, 0.35, 0.7, 1.0]
"""Places along a body, from its head to where its tail fin begins."""


def make(rng: np.random.Generator) -> Creature:
    """Return a fish, 1 long without its tail fin; its root is in front of its middle, as most rigs have it.

    Args:
        rng: Source of everything random in it.
    """
    creature = Creature(blend=float(rng.uniform(0.006, 0.015)))
    level, round_ = rng.random() < 0.35, rng.random() < 0.35
    girth = rng.uniform(0.2, 0.36) if round_ else rng.uniform(0.09, 0.18)
    shape = girth * np.array([rng.uniform(0.35, 0.8), 0.85, 1.0, 0.6, rng.uniform(0.15, 0.3)])
    form = {"wide": float(rng.uniform(0.45, 1.0) if not level else rng.uniform(0.9, 1.5)), "deep": 1.0}
    front, rear = int(rng.integers(1, 3)), int(rng.integers(2, 5))
    root = rng.uniform(0.3, 0.42)
    swing = 0 if level else 2
    middle = lying(0)
    ahead = np.interp(np.linspace(root, 0, front + 1), NOSE_TO_TAIL, shape)
    behind = np.interp(np.linspace(root, 1, rear + 1), NOSE_TO_TAIL, shape)
    lengths = np.full(rear, (1 - root) / rear)
    tail, end = creature.chain("Spine", -1, middle.turned(z=180), lengths, behind, wave(rng, rear, 22, swing), **form)
    neck = creature.flesh(0, middle, 0.3 * root, (ahead[0], ahead[0]), **form)
    head, nose = creature.chain("Head", 0, neck, [0.7 * root / front] * front, ahead, [(0, 0, 0)] * front, **form)
    if rng.random() < 0.3:
        chin = nose.moved(y=-0.3 * ahead[-1], z=0.6 * ahead[-1]).turned(x=rng.uniform(0, 15))
        creature.bone("Jaw", head, chin, 1.3 * ahead[-1], (0.5 * ahead[-1], 0.4 * ahead[-1]))
    _tail_fin(rng, creature, tail, end, level)
    _fins(rng, creature, behind, form["wide"])
    return creature


def _tail_fin(rng: np.random.Generator, creature: Creature, tail: int, end: Pose, level: bool) -> None:
    """Two blades at the end of the tail, which a joint of their own may move; the body's x is level there."""
    size, thick, spread = rng.uniform(0.12, 0.3), rng.uniform(0.18, 0.3), rng.uniform(25, 65)
    upright = end if level else end.turned(y=90)
    if rng.random() < 0.7:
        tail, _ = creature.bone("TailFin", tail, end, 0.3 * size, (0.25 * size, 0.2 * size), wide=0.7, deep=0.7)
    for side in SIDES:
        blade = upright.turned(z=-side * spread)
        creature.flesh(tail, blade, size, (0.22 * size, 0.14 * size), deep=thick)


def _fins(rng: np.random.Generator, creature: Creature, radii: np.ndarray, wide: float) -> None:
    """A pair of flippers at the first joint of the spine, perhaps one at the second, and a fin on the back.

    Args:
        rng: Source of chance.
        creature: Fish whose first joints are those of its spine.
        radii: Radius of the body at those joints.
        wide: Its width in radii.
    """
    pairs, count = int(rng.integers(0, 3)), int(rng.integers(1, 4))
    length, thick = rng.uniform(0.12, 0.45), rng.uniform(0.25, 0.4)
    low = rng.uniform(0.1, 0.3)
    for k, size in enumerate((length, 0.6 * length)[:pairs]):
        for side, name, bend in zip(SIDES, ("L", "R"), both(rng, [-15, -10, 20], [15, 10, 70]), strict=True):
            place = creature.joints[k] + radii[k] * np.array([0.75 * side * min(wide, 1.2), -low, 0.0])
            root = Pose(place, lying(0).frame).turned(*mirrored(bend * [1, 1, -1], side)).turned(z=-side * 90)
            girths = np.linspace(1, 0.55, count + 1) * size * rng.uniform(0.2, 0.3)
            bends = [(0, 0, -side * rng.uniform(0, 12)) for _ in range(count)]
            creature.chain(f"Flipper{k + 1}{name}", k, root, [size / count] * count, girths, bends, deep=thick)
    if rng.random() < 0.8:
        k, height = int(rng.integers(2)), rng.uniform(0.1, 0.25)
        back = Pose(creature.joints[k] + [0, 0.7 * radii[k], 0], lying(0).turned(x=-90 - rng.uniform(20, 50)).frame)
        creature.flesh(k, back, height + 0.3 * radii[k], (0.3 * height, 0.12 * height), wide=0.3)
