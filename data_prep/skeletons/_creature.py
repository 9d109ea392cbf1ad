"""Creatures: joints, and the pieces of body that hang on them, grown bone by bone as a turtle walks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

Bend = Sequence[float] | np.ndarray
"""Degrees about the x, y and z axes that a frame has just then, one after the other."""

SIDES = (1.0, -1.0)
"""Left (+x) and right."""


@dataclass(frozen=True)
class Pose:
    """Where a bone begins, and its frame: it runs along its y axis, and is as wide as x and as deep as z say.

    Attributes:
        place: Position (3,).
        frame: Axes in columns (3, 3).
    """

    place: np.ndarray
    frame: np.ndarray

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Pose":
        """Return the pose shifted along its own axes."""
        return Pose(self.place + self.frame @ [x, y, z], self.frame)

    def turned(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Pose":
        """Return the pose turned by degrees about its own axes, x first."""
        return Pose(self.place, self.frame @ Rotation.from_euler("XYZ", [x, y, z], degrees=True).as_matrix())


@dataclass(frozen=True)
class Part:
    """A piece of body that a joint moves.

    Attributes:
        joint: Number of the joint.
        pose: Where it begins, and its axes.
        length: How far it goes along its y axis.
        radii: Radius where it begins and where it ends.
        wide: Its width along x, in radii.
        deep: Its depth along z, in radii.
        square: Whether it is a box with rounded edges, of the first radius; else a cone with round ends.
    """

    joint: int
    pose: Pose
    length: float
    radii: tuple[float, float]
    wide: float = 1.0
    deep: float = 1.0
    square: bool = False


@dataclass(frozen=True)
class Creature:
    """A skeleton and its body, which families let grow.

    Attributes:
        blend: How far pieces of body melt into each other.
        names: Name of each joint.
        parents: Parent of each joint, -1 for a root.
        joints: Position (3,) of each joint.
        parts: Pieces of body; every joint has one that begins at it.
    """

    blend: float
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def bone(
        self, name: str, parent: int, pose: Pose, length: float, radii: tuple[float, float], **form: float
    ) -> tuple[int, Pose]:
        """Add a joint with the part that begins at it; return its number and the pose at the part's end."""
        self.names.append(name)
        self.parents.append(parent)
        self.joints.append(pose.place)
        return len(self.joints) - 1, self.flesh(len(self.joints) - 1, pose, length, radii, **form)

    def flesh(self, joint: int, pose: Pose, length: float, radii: tuple[float, float], **form: float) -> Pose:
        """Add one more part that a joint moves, such as an ear or a fin; return the pose at its end."""
        wide, deep = form.get("wide", 1.0), form.get("deep", 1.0)
        self.parts.append(Part(joint, pose, length, radii, wide, deep, bool(form.get("square", False))))
        return pose.moved(y=length)

    def chain(
        self,
        names: str | Sequence[str],
        parent: int,
        pose: Pose,
        lengths: Sequence[float] | np.ndarray,
        radii: Bend,
        bends: Sequence[Bend] | np.ndarray,
        **form: float,
    ) -> tuple[int, Pose]:
        """Add bones one after the other, each bent from the one before; return the last one's number and end.

        Args:
            names: Name of each; or of all, which are then numbered.
            parent: Joint of the first one's parent.
            pose: Where the first one begins, before its bend.
            lengths: Length of each.
            radii: Radii at the ends of all, one more than there are bones.
            bends: Degrees of each.
            form: `wide`, `deep`, `square`.
        """
        names = [f"{names}{k + 1}" for k in range(len(lengths))] if isinstance(names, str) else names
        for k, (each, length, bend) in enumerate(zip(names, lengths, bends, strict=True)):
            ends = (float(radii[k]), float(radii[k + 1]))
            parent, pose = self.bone(each, parent, pose.turned(*bend), float(length), ends, **form)
        return parent, pose


def standing(height: float, forward: float = 0.0) -> Pose:
    """Return a pose over the origin whose bone goes up."""
    return Pose(np.array([0.0, height, forward]), np.eye(3))


def lying(height: float, forward: float = 0.0) -> Pose:
    """Return a pose over the origin whose bone goes to the front; its x is still the creature's left, its z is down."""
    return standing(height, forward).turned(x=90.0)


def both(rng: np.random.Generator, low: Bend, high: Bend, alike: float = 0.6) -> list[np.ndarray]:
    """Return what is drawn for the left and for the right side, the same in a share of all cases."""
    left, right = rng.uniform(low, high), rng.uniform(low, high)
    return [left, left if rng.random() < alike else right]


def mirrored(bend: Bend, side: float) -> np.ndarray:
    """Return a bend as the other side has it: in a frame mirrored in x, turns about y and z go the other way."""
    return np.asarray(bend) * [1.0, side, side]


def wave(rng: np.random.Generator, count: int, most: float, axis: int) -> np.ndarray:
    """Return bends (count, 3) about one axis that swing along a chain as a swimming tail does."""
    phase, turns = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.3)
    bends = np.zeros((count, 3))
    bends[:, axis] = rng.uniform(0, most) * np.sin(phase + 2 * np.pi * turns * np.arange(count) / count)
    return bends
