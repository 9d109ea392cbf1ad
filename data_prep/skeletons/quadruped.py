"""Quadrupeds: four legs under a spine, with a neck, a head and mostly a tail, from weasels to giraffes."""

import numpy as np

from data_prep.skeletons._creature import SIDES, Creature, Pose, both, lying, mirrored, wave


def make(rng: np.random.Generator) -> Creature:
    """Return a quadruped; its body is 1 long, without neck and tail.

    Args:
        rng: Source of everything random in it.
    """
    creature = Creature(blend=float(rng.uniform(0.006, 0.02)))
    leg, rear, front, waist = rng.uniform([0.25, 0.12, 0.13, 0.1], [0.75, 0.2, 0.23, 0.16])
    hips, chest, nape = _spine(rng, creature, leg, (rear, waist, front))
    _head(rng, creature, chest, nape, front, leg)
    _legs(rng, creature, "Back", hips, Pose(np.array([0.0, leg, -0.42]), np.eye(3)), rear)
    low = nape.place - [0, 0.5 * rear, 0.08]
    _legs(rng, creature, "Front", chest, Pose(np.maximum(low, [-1, 0.5 * leg, -1]), np.eye(3)), front)
    if rng.random() < 0.85:
        _tail(rng, creature, hips, leg, rear)
    return creature


def _spine(
    rng: np.random.Generator, creature: Creature, leg: float, radii: tuple[float, float, float]
) -> tuple[int, int, Pose]:
    """Hips and a back of one to four bones; returns the hips, the chest and where the neck begins."""
    count = int(rng.integers(2, 5))
    girths = np.interp(np.linspace(0, 1, count + 1), [0, 0.15, 0.5, 0.9, 1], [0.8 * radii[0], *radii, 0.8 * radii[2]])
    form = {"wide": float(rng.uniform(0.75, 1.1))}
    start = lying(leg + 0.5 * radii[0], -0.5)
    bends = rng.uniform(-1, 1, (count, 3)) * [6, 3, 8] * (rng.random() < 0.5)
    names = [*["Hips", "Back", "Torso"][: count - 1], "Chest"]
    chest, nape = creature.chain(names, -1, start, [1 / count] * count, girths, bends, **form)
    return 0, chest, nape


def _head(rng: np.random.Generator, creature: Creature, chest: int, nape: Pose, radius: float, leg: float) -> None:
    """A neck of one or two bones that rises, and a head with a snout and ears, some with a jaw."""
    count, length, rise = (
        int(rng.integers(1, 3)),
        rng.uniform(0.12, 0.3) + 0.5 * leg * rng.random() ** 2,
        rng.uniform(20, 75),
    )
    size = rng.uniform(0.09, 0.17)
    radii = np.linspace(0.65 * radius, 0.75 * size, count + 1)
    turn = rng.uniform(-20, 20) * (rng.random() < 0.4)
    bends = [(-rise, 0, 0), (rng.uniform(-15, 10), 0, turn)][:count]
    parent, pose = creature.chain("Neck", chest, nape.moved(z=-0.2 * radius), [length / count] * count, radii, bends)
    pose = pose.turned(x=rise * rng.uniform(0.8, 1.3), z=turn)
    head, snout = creature.bone("Head", parent, pose, 0.7 * size, (size, 0.8 * size))
    muzzle = size * rng.uniform(0.4, 1.6), (0.6 * size, rng.uniform(0.3, 0.5) * size)
    if rng.random() < 0.4:
        creature.bone("Jaw", head, snout.moved(y=-0.2 * size, z=0.4 * size).turned(x=rng.uniform(0, 20)), *muzzle)
    creature.flesh(head, snout, *muzzle)
    ear, lean = size * rng.uniform(0.5, 1.7), rng.uniform(10, 60)
    for side, name in zip(SIDES, ("L", "R"), strict=True):
        foot = pose.moved(x=0.55 * side * size, z=-0.5 * size).turned(x=-90).turned(z=-side * lean)
        form = {"deep": 0.5}
        if ear > 1.2 * size:
            creature.bone(f"Ear.{name}", head, foot, ear, (0.35 * size, 0.15 * size), **form)
        else:
            creature.flesh(head, foot, ear, (0.35 * size, 0.15 * size), **form)


def _legs(rng: np.random.Generator, creature: Creature, name: str, parent: int, pose: Pose, radius: float) -> None:
    """A pair of legs of two or three bones, and paws, that reach from beside a pose to the ground."""
    thick = rng.uniform(0.3, 0.5) * radius
    three, paw = rng.random() < 0.5, rng.random() < 0.7
    fold = rng.uniform(5, 35) * (1 if name == "Back" else -1)
    walk = both(rng, [-25, 0, 0], [25, 0, 6], alike=0.5)
    for side, end, step in zip(SIDES, ("L", "R"), walk, strict=True):
        hip = pose.moved(x=side * 0.65 * radius, y=0.3 * radius).turned(z=180)
        shares = np.array([0.4, 0.33, 0.27]) if three else np.array([0.5, 0.5])
        lengths = shares * (pose.place[1] + 0.3 * radius - 0.5 * thick) / np.cos(np.radians(0.7 * fold))
        radii = np.interp(np.linspace(0, 1, len(shares) + 1), [0, 0.4, 1], [1.3 * thick, 0.8 * thick, 0.6 * thick])
        bends = [np.subtract(mirrored(step, side), (fold, 0, 0)), (2 * fold, 0, 0), (-1.6 * fold, 0, 0)][: len(shares)]
        names = [f"{name}{part}.{end}" for part in ("UpperLeg", "LowerLeg", "Shank")[: len(shares)]]
        last, ankle = creature.chain(names, parent, hip, lengths, radii, bends)
        tilt = step[0] + (-fold + 2 * fold - 1.6 * fold * three)
        sole = ankle.turned(x=90 - tilt)
        if paw:
            creature.bone(f"{name}Foot.{end}", last, sole, 1.3 * thick, (0.75 * thick, 0.65 * thick), wide=1.15)
        else:
            creature.flesh(last, sole, 0.3 * thick, (0.75 * thick, 0.7 * thick))


def _tail(rng: np.random.Generator, creature: Creature, hips: int, leg: float, radius: float) -> None:
    count, length = int(rng.integers(2, 8)), rng.uniform(0.2, 0.9)
    root = lying(leg + 0.8 * radius, -0.48).turned(x=180 - rng.uniform(-50, 50))
    radii = np.linspace(0.3, rng.uniform(0.1, 0.3), count + 1) * radius
    bends = wave(rng, count, 25, 2) + wave(rng, count, 20, 0)
    creature.chain("Tail", hips, root, [length / count] * count, radii, bends)
