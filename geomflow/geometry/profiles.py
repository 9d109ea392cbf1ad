"""Solids drawn as outlines, with exact signed distances and meshes: revolved, extruded, and hulls of points.

The distance to a solid of revolution is the distance to its profile in the half plane through the point and the axis,
because the nearest point of every circle about the axis lies in that half plane. The distance to an extruded outline
joins the distance in the plane and the one across it, as for a box.
"""

import functools
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, Shaped
from scipy.spatial import ConvexHull

from geomflow.geometry.primitives import Distances, Points, outside_corner

Outline = Float[np.ndarray, "m 2"]
"""Corners of a polygon in order, in either sense, the last one joined to the first."""


@dataclass(frozen=True, eq=False)
class Revolved:
    """A polygon turned about the y axis; thin walls are polygons with an inner and an outer side.

    Attributes:
        profile: Corners (radius, height) of a polygon that does not cross itself; edges on the axis are inside.
        sections: Corners of the mesh's circles, which lie inside the true ones by at most
            `radius * (1 - cos(pi / sections))`.

    Raises:
        ValueError: The profile is no such polygon or has negative radii, or there are less than three sections.
    """

    profile: Outline
    sections: int = 64

    def __post_init__(self) -> None:
        _check_outline("profile", self.profile)
        if self.profile[:, 0].min() < 0:
            raise ValueError(f"profile must have no negative radius, given {self.profile[:, 0].min()}")
        if self.sections < 3:
            raise ValueError(f"sections must be at least 3, not {self.sections}")

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        start, end = self.profile, np.roll(self.profile, -1, axis=0)
        off_axis = (start[:, 0] > 0) | (end[:, 0] > 0)
        meridian = np.stack([np.hypot(points[:, 0], points[:, 2]), points[:, 1]], axis=1)
        return _distance_to_edges(meridian, start[off_axis], end[off_axis])

    def mesh(self) -> trimesh.Trimesh:
        """Return a ring of vertices for every corner of the profile, or one vertex where it is on the axis."""
        profile = _counter_clockwise(self.profile)
        angle = 2 * np.pi / self.sections * np.arange(self.sections)
        around = np.stack([np.sin(angle), np.zeros(self.sections), np.cos(angle)], axis=1)
        rings = profile[:, :1, None] * around + profile[:, 1:, None] * [0.0, 1.0, 0.0]
        index = np.arange(rings.size // 3).reshape(rings.shape[:2])
        index[profile[:, 0] == 0] = index[profile[:, 0] == 0, :1]
        faces = _bands(index, np.roll(index, -1, axis=0))
        return _without_leftovers(rings.reshape(-1, 3), faces)


@dataclass(frozen=True, eq=False)
class Extruded:
    """A polygon in the plane of x and y, given a thickness along z.

    Attributes:
        outline: Corners (x, y) of a polygon that does not cross itself.
        half_depth: The solid reaches from -half_depth to +half_depth.

    Raises:
        ValueError: The outline is no such polygon, or the depth is not positive.
    """

    outline: Outline
    half_depth: float

    def __post_init__(self) -> None:
        _check_outline("outline", self.outline)
        if not self.half_depth > 0:
            raise ValueError(f"half_depth must be positive, not {self.half_depth}")

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,) at points (n, 3)."""
        flat = _distance_to_edges(points[:, :2], self.outline, np.roll(self.outline, -1, axis=0))
        return outside_corner(np.stack([flat, np.abs(points[:, 2]) - self.half_depth], axis=1))

    def mesh(self) -> trimesh.Trimesh:
        """Return two caps cut into triangles, and the sides."""
        outline, count = _counter_clockwise(self.outline), len(self.outline)
        height = np.repeat([-self.half_depth, self.half_depth], count)
        back = _triangles(outline)
        index = np.arange(count)[None]
        faces = [back[:, ::-1], back + count, _bands(index, index + count)]
        return trimesh.Trimesh(np.column_stack([np.tile(outline, (2, 1)), height]), np.vstack(faces), process=False)


@dataclass(frozen=True, eq=False)
class Hull:
    """The smallest convex solid around points: tapered bars, wings, wedges.

    Attributes:
        points: Points (m, 3), not all in one plane; those inside the hull have no effect.

    Raises:
        ValueError: The points are fewer than four or in one plane.
    """

    points: Float[np.ndarray, "m 3"]

    def __post_init__(self) -> None:
        centred = self.points - self.points.mean(axis=0)
        size = np.linalg.svd(centred, compute_uv=False)
        if len(self.points) < 4 or size[2] < 1e-9 * size[0]:
            raise ValueError(f"points must be four or more that span a volume, given {len(self.points)} in one plane")

    def __call__(self, points: Points) -> Distances:
        """Return the exact signed distance (n,): to the nearest plane inside, to the nearest face it sees outside."""
        heights = points @ self._planes[:, :3].T + self._planes[:, 3]
        distance = heights.max(axis=1)
        outside = distance > 0
        distance[outside] = np.inf
        for corners, height in zip(self.mesh().triangles, heights.T, strict=True):
            seen = np.flatnonzero(height > 0)
            nearest = trimesh.triangles.closest_point(np.tile(corners, (len(seen), 1, 1)), points[seen])
            distance[seen] = np.minimum(distance[seen], np.linalg.norm(points[seen] - nearest, axis=1))
        return distance

    def mesh(self) -> trimesh.Trimesh:
        """Return the hull's triangles."""
        faces, corners = self._hull.simplices, self.points[self._hull.simplices]
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        inward = np.einsum("nd,nd->n", facing, self._planes[:, :3]) < 0
        return _without_leftovers(self.points, np.where(inward[:, None], faces[:, ::-1], faces))

    @property
    def _planes(self) -> np.ndarray:
        """Outward unit normal and offset of every face (f, 4)."""
        return self._hull.equations

    @functools.cached_property
    def _hull(self) -> ConvexHull:
        return ConvexHull(self.points)


def _distance_to_edges(
    points: Shaped[np.ndarray, "n 2"], starts: Float[np.ndarray, "m 2"], ends: Float[np.ndarray, "m 2"]
) -> Distances:
    """Distance to the nearest edge, negative where a ray towards +x crosses an odd number of them."""
    nearest, inside = np.full(len(points), np.inf), np.zeros(len(points), dtype=bool)
    for start, end in zip(starts, ends, strict=True):
        along, offset = end - start, points - start
        place = np.clip(offset @ along / (along @ along), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(offset - place[:, None] * along).T))
        across = (points[:, 1] < start[1]) != (points[:, 1] < end[1])
        turn = along[0] * offset[:, 1] - along[1] * offset[:, 0]
        inside ^= across & ((turn > 0) == (along[1] > 0))
    return np.where(inside, -nearest, nearest)


def _counter_clockwise(outline: Outline) -> Outline:
    return outline if _twice_area(outline) > 0 else outline[::-1]


def _twice_area(outline: Outline) -> float:
    x, y = outline.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _check_outline(name: str, outline: Outline) -> None:
    if len(outline) < 3 or not np.isfinite(outline).all():
        raise ValueError(f"{name} must be three or more finite corners, given {len(outline)}")
    if (outline == np.roll(outline, -1, axis=0)).all(axis=1).any():
        raise ValueError(f"{name} must not name a corner twice in a row")
    if _crosses_itself(outline) or _twice_area(outline) == 0:
        raise ValueError(f"{name} must be a polygon with an area whose edges do not cross")


def _crosses_itself(outline: Outline) -> bool:
    """Whether any two edges run through each other: each has its ends on different sides of the other."""
    start, end = outline, np.roll(outline, -1, axis=0)
    first, second = (_side(start[:, None], end[:, None], corner[None]) for corner in (start, end))
    parted = first * second < 0
    return bool((parted & parted.T).any())


def _side(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray | np.floating:
    """Positive where a point is to the left of an edge."""
    along, offset = end - start, point - start
    return along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0]


def _bands(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Triangles between closed rings of vertex indices (r, k), outward for counter-clockwise rings seen from above."""
    a, b, c, d = lower, np.roll(lower, -1, axis=1), np.roll(upper, -1, axis=1), upper
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    return faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]


def _triangles(outline: Outline) -> np.ndarray:
    """Cut a counter-clockwise polygon into m - 2 triangles by clipping ears (Meisters, 1975)."""
    left, faces = list(range(len(outline))), []
    while len(left) > 3:
        k = next(k for k in range(len(left)) if _is_ear(outline, left, k))
        faces.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return np.array([*faces, left])


def _is_ear(outline: Outline, left: list[int], k: int) -> bool:
    """Whether the corner is convex and no other corner that is left lies in its triangle."""
    corners = [left[k - 1], left[k], left[(k + 1) % len(left)]]
    a, b, c = outline[corners]
    others = outline[[i for i in left if i not in corners]]
    sides = np.stack([_side(a, b, others), _side(b, c, others), _side(c, a, others)])
    return bool(_side(a, b, c) > 0 and not (sides >= 0).all(axis=0).any())


def _without_leftovers(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh:
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.remove_unreferenced_vertices()
    return mesh
