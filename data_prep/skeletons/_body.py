"""Bodies: the surface of all parts of a creature, melted together, and which joints move it.

The distance to a cone with round ends is exact for round cross-sections (I. Quilez, "Distance functions"); wide or deep
ones are measured in stretched axes, the result divided by its slope. Distances of all parts d_i are joined as
-k log sum exp(-d_i / k), which rounds where parts meet within about k and needs no order.
"""

from dataclasses import replace

import numpy as np
import trimesh
from jaxtyping import Float

from data_prep.skeletons._creature import Creature, Part
from geomflow.geometry import extract_mesh
from geomflow.geometry.primitives import outside_corner
from geomflow.geometry.rig import Rig

HALF = 0.92
"""Longest half extent of a body while its surface is made."""

THINNEST = 0.75
"""Least radius of a part in any direction, in spacings of the grid, so that its surface has no holes."""

REACH = 0.07
"""How much farther than the nearest joint's body another's may be and still move a vertex, in the same unit."""


def rigged(creature: Creature, resolution: int) -> tuple[trimesh.Trimesh, Rig]:
    """Return the surface of a creature, brought to half extents of at most `HALF` about the origin, and its rig."""
    middle, scale = _fit(creature.parts)
    parts = [_sturdy(part, THINNEST * 2 / (resolution - 1) / scale) for part in creature.parts]

    def field(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        return scale * _melted(distances(parts, points / scale + middle), creature.blend)

    mesh = extract_mesh(field, resolution)
    away = scale * distances(parts, np.asarray(mesh.vertices) / scale + middle)
    joints = scale * (np.array(creature.joints) - middle)
    owners = np.array([part.joint for part in parts])
    return mesh, Rig(joints, np.array(creature.parents), creature.names, *_skin(away, owners, len(joints)))


def distances(parts: list[Part], points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n p"]:
    """Return the signed distance of each point to each part, negative inside, exact for round parts and boxes."""
    return np.stack([_distance(part, (points - part.pose.place) @ part.pose.frame) for part in parts], axis=1)


def _sturdy(part: Part, least: float) -> Part:
    """The part with no radius under the least."""
    start, end = np.maximum(part.radii, least).tolist()
    flattest = least / min(start, end)
    return replace(part, radii=(start, end), wide=max(part.wide, flattest), deep=max(part.deep, flattest))


def _distance(part: Part, local: np.ndarray) -> np.ndarray:
    return _box(part, local) if part.square else _cone(part, local)


def _box(part: Part, local: np.ndarray) -> np.ndarray:
    """Distance to a box that goes a third of its radius beyond both ends."""
    radius = part.radii[0]
    rounding = 0.25 * radius * min(part.wide, part.deep, 1.0)
    half = np.array([part.wide * radius, part.length / 2 + radius / 3, part.deep * radius])
    return outside_corner(np.abs(local - [0, part.length / 2, 0]) - half + rounding) - rounding


def _cone(part: Part, local: np.ndarray) -> np.ndarray:
    """Distance to two balls and their hull, which are the larger ball alone where that holds the other."""
    start, end = part.radii
    stretch = np.array([part.wide, part.deep])
    across = local[:, [0, 2]] / stretch
    radial, along = np.hypot(*across.T), local[:, 1]
    slope = np.clip((start - end) / max(part.length, 1e-9), -1, 1)
    lean = np.sqrt(1 - slope**2)
    height = lean * along - slope * radial
    low = height < 0
    high = ~low & (height >= lean * part.length)
    center = np.where(high, part.length, 0.0)
    to_ball = np.hypot(radial, along - center)
    distance = np.where(low | high, to_ball - np.where(high, end, start), lean * radial + slope * along - start)
    if (stretch == 1).all():
        return distance
    outward = np.where(low | high, radial / np.maximum(to_ball, 1e-12), lean)
    direction = across / np.maximum(radial, 1e-12)[:, None]
    return distance / np.sqrt(outward**2 * ((direction / stretch) ** 2).sum(axis=1) + 1 - outward**2).clip(1e-6)


def _melted(away: np.ndarray, blend: float) -> np.ndarray:
    nearest = away.min(axis=1)
    return nearest - blend * np.log(np.exp((nearest[:, None] - away) / blend).sum(axis=1))


def _fit(parts: list[Part]) -> tuple[np.ndarray, float]:
    """The middle (3,) of a box around all parts, and the factor that brings the box to `HALF`."""
    ends = np.array([[part.pose.place, part.pose.moved(y=part.length).place] for part in parts])
    reach = np.array([np.multiply(part.radii, max(1.0, part.wide, part.deep)) for part in parts])[:, :, None]
    reach = reach * np.array([1.5 if part.square else 1.1 for part in parts])[:, None, None]
    low, high = (ends - reach).min(axis=(0, 1)), (ends + reach).max(axis=(0, 1))
    return (low + high) / 2, 2 * HALF / float((high - low).max())


def _skin(away: np.ndarray, owners: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to four joints (v, 4) whose bodies are nearest to each vertex, and their weights, which fall off smoothly."""
    nearest = np.stack([away[:, owners == joint].min(axis=1) for joint in range(count)], axis=1)
    nearness = np.clip(1 - (nearest - nearest.min(axis=1, keepdims=True)) / REACH, 0, None) ** 2
    nearness = np.hstack([nearness, np.zeros((len(nearness), max(0, 4 - count)))])
    joints = np.argsort(-nearness, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(nearness, joints, axis=1)
    return np.where(weights > 0, joints, 0), weights / weights.sum(axis=1, keepdims=True)
