"""Bricks: a field on a fine grid, held only in the bricks of it that its surface passes.

The grid has `resolution` nodes per axis over [-1, 1]^3, the first with index 0, and a layer outside of it (indices -1
and `resolution`) that closes what leaves the cube: an outer node has the absolute value of the node it lies next to,
so the lid is half a spacing beyond the border. Bricks of `BRICK` cells per edge tile all of it. Their corners are asked
for first; then the stride is halved until it is 1, and only nodes of cells that the surface can pass are asked for.

A cell of edge s is halved into octants. A field of slope at most L has no zero in an octant if some corner c of the
cell has |f(c)| >= L d, d being the distance from c to the octant's farthest point: sqrt(3) s / 2 for the octant's own
corner, sqrt(3/2) s, 3 s / 2 and sqrt(3) s for corners one, two and three edges away from it. Such octants are dropped.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int
from skimage.measure import marching_cubes

from geomflow.geometry.grid import Field, check_memory, ends_of_cells, evaluate_at

BRICK = 32
"""Cells per edge of a brick, a power of two."""

ASKED = 6
"""Nodes that could be held instead of one while it is asked for."""

AXES = (1, 2, 3)
"""Axes of x, y and z in arrays of bricks."""

FARTHEST = np.sqrt([0.75, 1.5, 2.25, 3.0])
"""How far, in edges, an octant's farthest point is from its own corner of the cell and from those 1 to 3 edges away."""


@dataclass(frozen=True)
class Bricks:
    """Values of a field on the bricks that its surface passes.

    Attributes:
        resolution: Nodes per axis of the whole grid.
        origins: Index (bricks, 3) of each brick's first node.
        values: Values (bricks, n, n, n) at its nodes, n = `BRICK` + 1: the field's own near the surface, absolute ones
            in the outer layer, and of the right sign elsewhere.
        low: Smallest value that was asked for.
        high: Largest value that was asked for.
    """

    resolution: int
    origins: Int[np.ndarray, "bricks 3"]
    values: Float[np.ndarray, "bricks n n n"]
    low: float
    high: float

    @property
    def spacing(self) -> float:
        """Distance between neighbouring nodes."""
        return 2 / (self.resolution - 1)


def surface_bricks(field: Field, resolution: int, slack: float = 1.0) -> Bricks:
    """Return the bricks that the surface of a field passes.

    Args:
        field: Signed distance at points (n, 3) of [-1, 1]^3.
        resolution: Nodes per axis.
        slack: Bound on the field's slope. If it holds, nothing of the surface is missed; if not, bricks may disagree,
            and the surface may be open where they meet.

    Raises:
        ValueError: The resolution is under 2 or beyond memory, or the field returns another shape or NaN.
    """
    nodes = _Nodes(field, resolution)
    origins, offsets, stride = nodes.origins, np.array([0, BRICK]), BRICK
    kept = np.ones((len(origins), 1, 1, 1), dtype=bool)
    corners = _nodes_of(kept)
    values = nodes.ask(origins, offsets, corners).reshape(corners.shape)
    while stride > 1:
        lids = (values < 0) & nodes.outer(origins, offsets)
        kept = _octants(values, lids, kept, slack * stride * 2 / (resolution - 1))
        stride //= 2
        offsets, passed = np.arange(0, BRICK + 1, stride), kept.any(axis=(1, 2, 3))
        check_memory(resolution, int(passed.sum()) * len(offsets) ** 3)
        origins, kept, values = origins[passed], kept[passed], _halved(values[passed])
        wanted = _nodes_of(kept)
        wanted[:, ::2, ::2, ::2] = False  # which the levels before have asked for
        values[wanted] = nodes.ask(origins, offsets, wanted)
    values = np.where(nodes.outer(origins, offsets), np.abs(values), values)
    crossed = (values < 0).any(axis=(1, 2, 3)) & (values >= 0).any(axis=(1, 2, 3))
    return Bricks(resolution, origins[crossed], values[crossed], nodes.low, nodes.high)


class _Nodes:
    """The field at nodes of bricks; nodes outside the grid have the value of the nearest one inside."""

    def __init__(self, field: Field, resolution: int) -> None:
        self.field, self.resolution = field, resolution
        per_axis = -(-(resolution + 1) // BRICK)
        check_memory(resolution, 8 * ASKED * per_axis**3)
        self.axis = np.linspace(-1, 1, resolution)
        self.origins = BRICK * np.stack(np.unravel_index(np.arange(per_axis**3), (per_axis,) * 3), axis=1) - 1
        self.low, self.high = np.inf, -np.inf

    def outer(
        self, origins: Int[np.ndarray, "bricks 3"], offsets: Int[np.ndarray, " n"]
    ) -> Bool[np.ndarray, "bricks n n n"]:
        """Return which nodes of bricks are outside the grid."""
        index = origins[:, :, None] + offsets
        x, y, z = np.moveaxis((index < 0) | (index >= self.resolution), 1, 0)
        return x[:, :, None, None] | y[:, None, :, None] | z[:, None, None, :]

    def ask(
        self,
        origins: Int[np.ndarray, "bricks 3"],
        offsets: Int[np.ndarray, " n"],
        wanted: Bool[np.ndarray, "bricks n n n"],
    ) -> Float[np.ndarray, " wanted"]:
        """Return values at the wanted nodes of bricks."""
        check_memory(self.resolution, wanted.size + ASKED * int(wanted.sum()))
        brick, *place = np.nonzero(wanted)
        index = (origins[brick] + np.stack([offsets[i] for i in place], axis=1)).clip(0, self.resolution - 1)
        flat, where = np.unique(np.ravel_multi_index(tuple(index.T), (self.resolution,) * 3), return_inverse=True)
        found = evaluate_at(self.field, [self.axis] * 3, flat)
        if len(found):
            self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))
        return found[where]


def _octants(
    values: Float[np.ndarray, "bricks n n n"],
    lids: Bool[np.ndarray, "bricks n n n"],
    kept: Bool[np.ndarray, "bricks m m m"],
    reach: float,
) -> Bool[np.ndarray, "bricks m2 m2 m2"]:
    """The octants of kept cells that the surface can pass, for a field that changes by `reach` per edge at most.

    All octants of a cell stay where signs differ among its corners, whatever the slope, as across holes of an open
    mesh, and where the inside reaches nodes outside of the grid, which is where lids are.
    """
    farness = np.searchsorted(reach * FARTHEST, np.abs(values).ravel(), side="right").astype(np.int8)
    farness, low, high = farness.reshape(values.shape), values, values
    at = np.arange(2 * kept.shape[1])
    own, other = (at + 1) // 2, at // 2 + 1 - at % 2
    for axis in AXES:
        farness = np.maximum(farness.take(own, axis), farness.take(other, axis) - 1)
        low, high = np.minimum(*ends_of_cells(low, axis)), np.maximum(*ends_of_cells(high, axis))
        lids = np.logical_or(*ends_of_cells(lids, axis))
    return ((farness <= 0) | _doubled((low < 0) & (high >= 0) | lids)) & _doubled(kept)


def _doubled(cells: np.ndarray) -> np.ndarray:
    """What is true of cells, of their octants."""
    for axis in AXES:
        cells = cells.repeat(2, axis)
    return cells


def _halved(values: np.ndarray) -> np.ndarray:
    """Values at nodes of half the stride, new ones from the node below: of the right sign in dropped cells."""
    return _doubled(values)[:, :-1, :-1, :-1]


def _nodes_of(cells: Bool[np.ndarray, "bricks m m m"]) -> Bool[np.ndarray, "bricks n n n"]:
    """The corners of kept cells."""
    for axis in AXES:
        edge = np.zeros_like(cells.take([0], axis))
        cells = np.concatenate([cells, edge], axis) | np.concatenate([edge, cells], axis)
    return cells


def march(bricks: Bricks) -> trimesh.Trimesh:
    """Return the surface where values are zero, closed and facing outward, as marching cubes of the whole grid would.

    A vertex lies on an edge of the grid, or inside a cell (Lewiner's thirteenth case); that place is its name, by which
    the vertices of neighbouring bricks are joined.

    Args:
        bricks: Values on the bricks of a grid that the surface passes.
    """
    corners, places, faces, count = [np.empty((0, 3), dtype=np.int64)], [np.empty((0, 3))], [], 0
    for origin, values in zip(bricks.origins, bricks.values, strict=True):
        local, triangles, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
        floor = np.floor(local)
        corners.append(2 * (origin + floor.astype(np.int64)) + (local != floor))
        places.append(origin + local.astype(np.float64))
        faces.append(triangles.astype(np.int64) + count)
        count += len(local)
    names = np.ravel_multi_index(tuple((np.concatenate(corners) + 2).T), (2 * bricks.resolution + 4 + 2 * BRICK,) * 3)
    _, first, joined = np.unique(names, return_index=True, return_inverse=True)
    vertices = bricks.spacing * np.concatenate(places)[first] - 1
    return trimesh.Trimesh(vertices, joined[np.concatenate([np.empty((0, 3), dtype=np.int64), *faces])], process=False)
