"""Bipeds: people, lean and cartoon ones, arms out or in a pose, some with fingers, ears that bend, or a tail."""

from dataclasses import dataclass

import numpy as np

from data_prep.skeletons._creature import SIDES, Creature, Pose, both, mirrored, standing, wave


@dataclass(frozen=True)
class _Build:
    """Measures of a body 1 high up to the neck.

    Attributes:
        leg: Length of a leg to the ankle.
        girth: Factor of all radii.
        shoulder: Half the distance between the shoulders.
        hip: Half the distance between the legs.
        arm: Length of an arm to the wrist.
        head: Radius of the head.
    """

    leg: float
    girth: float
    shoulder: float
    hip: float
    arm: float
    head: float


def make(rng: np.random.Generator) -> Creature:
    """Return a biped.

    Args:
        rng: Source of everything random in it.
    """
    build = _build(rng)
    creature = Creature(blend=float(rng.uniform(0.004, 0.014)))
    hips, chest, top = _trunk(rng, creature, build)
    _head(rng, creature, chest, top, build)
    _legs(rng, creature, hips, build)
    _arms(rng, creature, chest, top, build)
    if rng.random() < 0.15:
        _tail(rng, creature, hips, build)
    return creature


def _build(rng: np.random.Generator) -> _Build:
    """Slender people, or stout ones with large heads and short legs."""
    stout = rng.random() < 0.4
    leg = rng.uniform(0.26, 0.42) if stout else rng.uniform(0.5, 0.6)
    girth = rng.uniform(1.0, 1.7) if stout else rng.uniform(0.75, 1.15)
    head = rng.uniform(0.16, 0.3) if stout else rng.uniform(0.085, 0.13)
    arm = rng.uniform(0.32, 0.45) if stout else rng.uniform(0.38, 0.5)
    return _Build(leg, girth, girth**0.7 * rng.uniform(0.11, 0.15), girth * rng.uniform(0.06, 0.075), arm, head)


def _trunk(rng: np.random.Generator, creature: Creature, build: _Build) -> tuple[int, int, Pose]:
    """Hips and spine; returns the hips, the chest and where the neck begins."""
    count, length = int(rng.integers(2, 5)), 1 - build.leg
    waist, chest, belly = build.girth * rng.uniform([0.06, 0.085, 0.08], [0.09, 0.11, 0.105])
    radii = np.interp(np.linspace(0, 1, count + 1), [0, 0.45, 0.85, 1], [belly, waist, chest, 0.75 * chest])
    lengths = length * np.diff(np.linspace(0, 1, count + 1) ** rng.uniform(0.8, 1.2))
    bends = rng.uniform(-1, 1, (count, 3)) * [6, 4, 4] * (rng.random() < 0.4)
    form = {"wide": float(rng.uniform(1.05, 1.35)), "deep": float(rng.uniform(0.8, 1.0))}
    hips, pose = creature.bone("Hips", -1, standing(build.leg), lengths[0], (radii[0], radii[1]), **form)
    names = ["Abdomen", "Torso", "Chest"][-count + 1 :]
    chest, top = creature.chain(names, hips, pose, lengths[1:], radii[1:], bends[1:], **form)
    return hips, chest, top


def _head(rng: np.random.Generator, creature: Creature, chest: int, top: Pose, build: _Build) -> None:
    """A neck and a head of two balls, with ears, a nose or a hat."""
    neck, bend = rng.uniform(0.03, 0.07), rng.uniform(-1, 1, 3) * [12, 20, 6] * (rng.random() < 0.4)
    parent, pose = creature.bone("Neck", chest, top, neck, (0.05 * build.girth**0.5, 0.045 * build.girth**0.5))
    size, form = build.head, {"wide": float(rng.uniform(0.8, 1.15)), "deep": float(rng.uniform(0.85, 1.15))}
    pose = pose.turned(*bend)
    head, skull = creature.bone("Head", parent, pose, 0.85 * size, (0.055 * build.girth**0.5, 0.6 * size), **form)
    crown = creature.flesh(head, skull, rng.uniform(0.2, 0.6) * size, (0.85 * size, size), **form)
    front, extra = skull.moved(z=0.7 * size * form["deep"]), rng.random()
    if rng.random() < 0.5:
        creature.flesh(head, front.turned(x=90), rng.uniform(0.1, 0.5) * size, (0.25 * size, 0.15 * size))
    if extra < 0.25:
        creature.flesh(head, crown.moved(y=0.5 * size), 0.5 * size, (0.75 * size, 0.6 * size))
    elif extra < 0.6:
        _ears(rng, creature, head, crown.moved(y=0.4 * size), size)


def _ears(rng: np.random.Generator, creature: Creature, head: int, crown: Pose, size: float) -> None:
    """Ears or horns, long ones with joints of their own."""
    length, thick, lean = size * rng.uniform(0.5, 1.6), size * rng.uniform(0.15, 0.28), rng.uniform(10, 50)
    for side, name in zip(SIDES, ("L", "R"), strict=True):
        foot = crown.moved(x=0.5 * side * size).turned(z=-side * lean)
        if length < size:
            creature.flesh(head, foot, length, (thick, 0.5 * thick), deep=0.6)
            continue
        bends = [(0, 0, -side * rng.uniform(0, 15)) for _ in range(2)]
        creature.chain(
            (f"Ear1.{name}", f"Ear2.{name}"), head, foot, [length / 2] * 2, [thick, thick, 0.5 * thick], bends, deep=0.6
        )


def _legs(rng: np.random.Generator, creature: Creature, hips: int, build: _Build) -> None:
    """Thigh, shin and foot on each side, some with toes."""
    thigh, knee, ankle = build.girth * rng.uniform([0.055, 0.04, 0.03], [0.075, 0.05, 0.042])
    upper, foot, toes = rng.uniform(0.45, 0.55), rng.uniform(0.09, 0.16), rng.random() < 0.4
    still = rng.random() < 0.6
    spread, walk = both(rng, [0, 0, 0], [2, 8, 10]), both(rng, [-40, 0, 0], [30, 50, 0], alike=0.1)
    for side, name, out, step in zip(SIDES, ("L", "R"), spread, walk, strict=True):
        step = 0 * step if still else step
        hip = standing(build.leg).moved(x=side * build.hip, y=-0.01).turned(z=180)
        bends = [(step[0], 0, side * out[2]), (-step[1] - 3, 0, 0), (step[1] - step[0] + 93, 0, 0)]
        lengths = np.array([upper, 1 - upper]) * (build.leg - 0.03)
        shin, heel = creature.chain(
            (f"UpperLeg.{name}", f"LowerLeg.{name}"), hips, hip, lengths, (thigh, knee, ankle), bends[:2]
        )
        sole = Pose(heel.place, heel.turned(x=-bends[2][0]).turned(y=side * out[1]).frame)
        ball = (1.15 * ankle, ankle)
        ends, share = (ball, 0.6) if toes else ((1.15 * ankle, 0.85 * ankle), 1.0)
        last, tip = creature.bone(f"Foot.{name}", shin, sole, share * foot, ends, wide=1.1)
        if toes:
            creature.bone(f"Toe.{name}", last, tip, 0.4 * foot, (ankle, 0.8 * ankle), wide=1.2)


def _arms(rng: np.random.Generator, creature: Creature, chest: int, top: Pose, build: _Build) -> None:
    """Collar bone, upper arm, forearm and hand on each side: straight out, hanging, or in a pose."""
    arm, wrist = build.girth**0.7 * rng.uniform([0.035, 0.022], [0.055, 0.036])
    upper, collar = rng.uniform(0.45, 0.55), rng.random() < 0.7
    fingers = int(rng.choice([0, 0, 1, 3, 4]))
    hand, thumb = rng.uniform(0.05, 0.08), rng.random() < 0.7
    posed = rng.random() < 0.5
    lifts = (
        both(rng, [-25, -60, -30, 0], [70, 30, 30, 100]) if posed else [rng.choice([0, 0, 30, 45]) * np.eye(4)[0]] * 2
    )
    for side, name, (drop, swing, twist, elbow) in zip(SIDES, ("L", "R"), lifts, strict=True):
        base = Pose(top.place, top.frame).moved(y=-0.05, x=side * 0.03).turned(z=-90 * side)
        parent = chest
        reach = build.shoulder - 0.03
        if collar:
            parent, _ = creature.bone(f"Shoulder.{name}", chest, base, reach, (1.2 * arm, 1.2 * arm))
        else:
            creature.flesh(chest, base, reach, (1.2 * arm, 1.2 * arm))
        start = base.moved(y=reach)
        bends = [mirrored((swing, twist, -drop), side), mirrored((0, 0, 0.7 * elbow), side)]
        lengths = build.arm * np.array([upper, 1 - upper])
        parent, end = creature.chain(
            (f"UpperArm.{name}", f"LowerArm.{name}"), parent, start, lengths, (1.15 * arm, 0.9 * arm, wrist), bends
        )
        parent, palm = creature.bone(f"Hand.{name}", parent, end, hand, (wrist, 1.3 * wrist), wide=0.75, deep=1.25)
        _fingers(creature, parent, palm, side, name, fingers, thumb, 0.9 * hand, wrist)


def _fingers(
    creature: Creature,
    hand: int,
    palm: Pose,
    side: float,
    name: str,
    count: int,
    thumb: bool,
    size: float,
    wrist: float,
) -> None:
    """A mitten, or so many fingers in a row, and a thumb; the palm's z axis points forward."""
    thick = max(0.012, (1.0 if count == 1 else 0.42) * wrist)
    for k in range(count):
        across = (k - (count - 1) / 2) * 2.3 * thick
        knuckle = palm.moved(z=across).turned(x=np.degrees(0.15 * across / thick))
        names = (f"Finger{k + 1}A.{name}", f"Finger{k + 1}B.{name}")
        lengths, radii = [0.55 * size, 0.45 * size], (thick, 0.95 * thick, 0.8 * thick)
        creature.chain(names, hand, knuckle, lengths, radii, [(0, 0, 0), (0, 0, -side * 8)])
    if thumb and count:
        root = palm.moved(y=-0.6 * size, z=1.2 * wrist).turned(x=55)
        names = (f"Thumb1.{name}", f"Thumb2.{name}")
        creature.chain(
            names, hand, root, [0.4 * size] * 2, (thick, 0.95 * thick, 0.8 * thick), [(0, 0, 0), (-20, 0, 0)]
        )


def _tail(rng: np.random.Generator, creature: Creature, hips: int, build: _Build) -> None:
    count = int(rng.integers(2, 5))
    root = standing(build.leg, -0.05 * build.girth).moved(y=0.03).turned(x=-rng.uniform(80, 130))
    radii = np.linspace(0.04, 0.015, count + 1) * build.girth
    creature.chain("Tail", hips, root, [rng.uniform(0.25, 0.5) / count] * count, radii, wave(rng, count, 35, 2))
