"""Pictures of points as dots, and of skeletons over their surface."""

import numpy as np
import trimesh
from jaxtyping import Float, Integer

from geomflow.geometry.frame import similarity_of
from geomflow.viz.camera import (
    AZIMUTH,
    BACKGROUND,
    ELEVATION,
    FIELD,
    INK,
    PALETTE,
    SAMPLES_PER_AXIS,
    Picture,
    average,
    camera_at,
    to_bytes,
)
from geomflow.viz.ray_caster import render

JOINT, BONE_DOTS = (0.85, 0.1, 0.1), 60
"""Colour of joints, and dots along a bone."""

UNIT_BOX = np.array([[-1.0] * 3, [1.0] * 3])

DARK = 170
"""Pixels with a channel below this are dots, others the ground around them."""


def render_points(
    points: Float[np.ndarray, "n 3"],
    size: int = 320,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    *,
    colors: Float[np.ndarray, "n 3"] | None = None,
    frame: Float[np.ndarray, "m 3"] | None = None,
    radius: int = 1,
) -> Picture:
    """Return a square picture of points as small squares, nearer ones darker and in front.

    Args:
        points: Points, any unit; those that are not finite are left out.
        size: Pixels per side.
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.
        colors: Red, green and blue in [0, 1] of each point; the first of the palette if not given.
        frame: Points whose box fills the picture; the points themselves if not given.
        radius: Half edge of a square, in half pixels.

    Raises:
        ValueError: There is no finite point, or the size is not positive.
    """
    there = np.isfinite(points).all(axis=1)
    if not there.any() or size < 1:
        raise ValueError(f"wanted points to draw on at least 1 pixel, given {there.sum()} finite ones and size {size}")
    similarity, fine = similarity_of(points[there] if frame is None else frame, margin=1.0), size * SAMPLES_PER_AXIS
    eye, right, up, forward = camera_at(azimuth, elevation)
    seen = similarity.apply(points[there]) - eye
    depth = seen @ forward
    place = np.stack([-(seen @ up), seen @ right], axis=1) / (FIELD * depth[:, None])
    nearness = ((depth - np.linalg.norm(eye) + 1) / 2).clip(0, 1)[:, None]
    base = np.broadcast_to(PALETTE[0], (len(depth), 3)) if colors is None else colors[there]
    light = base + (BACKGROUND - base) * 0.55 * nearness
    canvas = np.full((fine, fine, 3), BACKGROUND)
    order = np.argsort(-depth)
    corner = ((place[order] + 1) / 2 * fine).astype(int)
    for shift in np.ndindex(2 * radius, 2 * radius):
        row, column = (corner + shift - radius).T
        inside = (row >= 0) & (row < fine) & (column >= 0) & (column < fine)
        canvas[row[inside], column[inside]] = light[order][inside]
    return to_bytes(average(canvas, size))


def render_skeleton(
    mesh: trimesh.Trimesh,
    joints: Float[np.ndarray, "j 3"],
    parents: Integer[np.ndarray, " j"],
    size: int = 320,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
) -> Picture:
    """Return a square picture of a mesh with its skeleton over it, as if it were glass: joints red, bones black.

    Args:
        mesh: Mesh in [-1, 1]^3, +y up.
        joints: Joints in the same frame.
        parents: Parent of each joint, -1 for a root.
        size: Pixels per side.
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.

    Raises:
        ValueError: The mesh has no faces, there is no joint, or the size is not positive.
    """
    picture = render(mesh, size, azimuth, elevation)
    upper = joints[np.where(parents < 0, np.arange(len(joints)), parents)]
    bones = np.vstack([(1 - t) * joints + t * upper for t in np.linspace(0, 1, BONE_DOTS)])
    for points, paint, radius in ((bones, INK, 2), (joints, JOINT, max(3, size // 60))):
        colors = np.broadcast_to(paint, (len(points), 3))
        dots = render_points(points, size, azimuth, elevation, colors=colors, frame=UNIT_BOX, radius=radius)
        picture = np.where(dots.min(axis=2, keepdims=True) < DARK, dots, picture)
    return picture
