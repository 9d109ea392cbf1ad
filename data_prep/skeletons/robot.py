"""Robots: boxes and tubes with visible elbows - walkers on two legs, walkers without a torso, arms on a base."""

import numpy as np

from data_prep.skeletons._creature import SIDES, Creature, Pose, both, mirrored, standing


def make(rng: np.random.Generator) -> Creature:
    """Return a robot, about 1 high; its pieces keep their edges.

    Args:
        rng: Source of everything random in it.
    """
    creature = Creature(blend=float(rng.uniform(0.001, 0.004)))
    return _arm(rng, creature) if rng.random() < 0.35 else _walker(rng, creature)


def _arm(rng: np.random.Generator, creature: Creature) -> Creature:
    """A turning base, a chain of links, and a gripper of two or three fingers."""
    count, base = int(rng.integers(2, 6)), rng.uniform(0.1, 0.2)
    foot, top = creature.bone("Base", -1, standing(0), 0.12, (base, base), square=rng.random() < 0.5)
    creature.flesh(foot, standing(-0.02), 0.0, (1.3 * base, 1.3 * base), deep=1.0)
    radii = np.linspace(0.55 * base, 0.3 * base, count + 1)
    bends = np.stack([rng.uniform(-70, 70, count), rng.uniform(-40, 40, count), np.zeros(count)], axis=1)
    bends[0] *= [0.5, 1, 1]
    lengths = rng.uniform(0.6, 1.2, count) / count
    last, wrist = _links(creature, "Link", foot, top, lengths, radii, bends, rng.random() < 0.5)
    fingers, spread = int(rng.integers(2, 4)), rng.uniform(10, 45)
    for k in range(fingers):
        root = wrist.turned(y=360 * k / fingers).moved(z=0.2 * base).turned(x=spread)
        bends = [(0, 0, 0), (-2 * spread, 0, 0)]
        lengths, radii = [0.7 * base] * 2, (0.16 * base, 0.15 * base, 0.12 * base)
        creature.chain(f"Finger{k + 1}_", last, root, lengths, radii, bends)
    return creature


def _walker(rng: np.random.Generator, creature: Creature) -> Creature:
    """A body with legs, mostly with arms, and a head or an eye."""
    leg, wide, square = rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.2), rng.random() < 0.6
    form = {"wide": float(rng.uniform(1.0, 1.5)), "square": square}
    body, top = creature.bone("Body", -1, standing(leg), rng.uniform(0.12, 0.3), (wide, wide), **form)
    if rng.random() < 0.5:
        body, top = creature.bone("Torso", body, top.moved(y=0.15 * wide), 0.2, (1.15 * wide, 1.15 * wide), **form)
    head, size = rng.random(), rng.uniform(0.5, 0.9) * wide
    if head < 0.75:
        creature.bone("Head", body, top.moved(y=0.4 * wide), 1.1 * size, (size, size), square=rng.random() < 0.5)
    else:
        creature.bone(
            "Eye", body, top.moved(y=-0.3 * wide, z=0.9 * wide).turned(x=90), 0.3 * size, (0.6 * size, 0.5 * size)
        )
    side_ = wide * form["wide"]
    _legs(rng, creature, 0, leg, side_, square)
    if rng.random() < 0.7:
        _arms(rng, creature, body, top.moved(y=-0.1 * wide), side_, square)
    return creature


def _legs(rng: np.random.Generator, creature: Creature, body: int, leg: float, wide: float, square: bool) -> None:
    """Legs of two or three links, straight or bent back like a bird's, each with a foot."""
    count, thick, foot = int(rng.integers(2, 4)), rng.uniform(0.025, 0.05), rng.uniform(0.08, 0.15)
    fold = rng.uniform(0, 40)
    signs = np.array([1, -2, 2])[:count]
    for side, name, step in zip(SIDES, ("L", "R"), both(rng, [-20], [20]), strict=True):
        hip = standing(leg).moved(x=side * 0.75 * wide).turned(z=180)
        bends = [(sign * fold + (step[0] if k == 0 else 0), 0, 0) for k, sign in enumerate(signs)]
        lengths = np.full(count, (leg - thick) / count)
        radii = np.linspace(1.2 * thick, thick, count + 1)
        shin, ankle = _links(creature, f"Leg{name}", body, hip, lengths, radii, np.array(bends), square)
        sole = ankle.turned(x=90 - sum(bend[0] for bend in bends))
        creature.bone(f"Foot.{name}", shin, sole, foot, (1.1 * thick, 1.1 * thick), square=square, wide=1.3, deep=0.8)


def _arms(rng: np.random.Generator, creature: Creature, body: int, top: Pose, wide: float, square: bool) -> None:
    """Arms that hang, stand out or reach forward, with a claw or a fist."""
    thick, length, fist = rng.uniform(0.02, 0.045), rng.uniform(0.3, 0.55), rng.random() < 0.5
    for side, name, pose in zip(SIDES, ("L", "R"), both(rng, [-10, -60, 0], [80, 40, 80]), strict=True):
        shoulder = top.moved(x=0.95 * side * wide).turned(z=-90 * side)
        bends = np.array([mirrored((pose[1], 0, -pose[0]), side), (0, 0, 0), mirrored((-pose[2], 0, 0), side)])
        lengths = np.array([0.15, 0.45, 0.4]) * length
        radii = thick * np.array([1.3, 1.1, 1.0, 0.9])
        parent, wrist = _links(creature, f"Arm{name}", body, shoulder, lengths, radii, bends, square)
        hand, tip = creature.bone(f"Hand.{name}", parent, wrist, 1.2 * thick, (1.2 * thick, 1.5 * thick))
        for k in range(0 if fist else 2):
            claw = tip.turned(y=180 * k).moved(x=0.7 * thick).turned(z=-25)
            creature.bone(f"Claw{k + 1}.{name}", hand, claw, 2.5 * thick, (0.55 * thick, 0.35 * thick))


def _links(
    creature: Creature,
    name: str,
    parent: int,
    pose: Pose,
    lengths: np.ndarray,
    radii: np.ndarray,
    bends: np.ndarray,
    square: bool,
) -> tuple[int, Pose]:
    """A chain of links, boxes or tubes, thinner than the balls they turn about."""
    for k, (length, bend) in enumerate(zip(lengths, bends, strict=True)):
        pose = pose.turned(*bend)
        thin = float(0.7 * radii[k])
        parent, end = creature.bone(f"{name}{k + 1}", parent, pose, float(length), (thin, thin), square=square)
        creature.flesh(parent, pose, 0.0, (float(radii[k]), float(radii[k])))
        pose = end
    return parent, pose
