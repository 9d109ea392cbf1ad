"""Fields on regular grids: dense, or evaluated coarse to fine in a narrow band around the surface.

Grids are node-centred: `resolution` samples per axis, the first at -1 and the last at +1, axes in the order (x, y, z).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int, Shaped

from geomflow.geometry.distance import SignedDistanceField

Field = Callable[[np.ndarray], np.ndarray]
"""Signed distance (n,) at points (n, 3) of the cube [-1, 1]^3, negative inside."""

CHUNK = 1 << 18
"""Most points given to a field in one call."""

BYTES_PER_NODE = 24
"""Memory of one node: its value, copies of it, and its index while it is evaluated."""

COARSE_CELLS = 32
"""Cells per axis at which the coarse-to-fine search starts."""


def _corner(value: float) -> Float[np.ndarray, "3"]:
    return np.full(3, value)


@dataclass(frozen=True)
class SdfGrid:
    """Signed distances at the nodes of a regular grid.

    Attributes:
        values: Signed distance (x, y, z), negative inside.
        lower: Position (3,) of the first node.
        upper: Position (3,) of the last node.
    """

    values: Float[np.ndarray, "x y z"]
    lower: Float[np.ndarray, "3"] = field(default_factory=lambda: _corner(-1.0))
    upper: Float[np.ndarray, "3"] = field(default_factory=lambda: _corner(1.0))

    @property
    def spacing(self) -> Float[np.ndarray, "3"]:
        """Distance between neighbouring nodes along each axis."""
        return (self.upper - self.lower) / (np.array(self.values.shape) - 1)

    def points(self) -> Float[np.ndarray, "n 3"]:
        """Return the positions of all nodes, z fastest."""
        axes = [np.linspace(a, b, n) for a, b, n in zip(self.lower, self.upper, self.values.shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def sdf_grid(mesh: trimesh.Trimesh | SignedDistanceField, resolution: int = 64, band: float | None = None) -> SdfGrid:
    """Return the signed distance of a normalised mesh on a grid over [-1, 1]^3.

    Args:
        mesh: Mesh inside the cube (see `normalize`), or its signed distance field if there is one already.
        resolution: Samples per axis, at least 2.
        band: If given, values are exact up to this distance, cut off at it, and only nodes near it are asked for.

    Raises:
        TypeError: It is neither a mesh nor a field.
        ValueError: The mesh leaves the cube, the resolution is under 2 or beyond memory, or the band is not positive.
    """
    distance = mesh if isinstance(mesh, SignedDistanceField) else SignedDistanceField(mesh)
    if np.abs(distance.bounds).max() > 1 + 1e-6:
        raise ValueError(f"mesh must lie in [-1, 1]^3, given bounds {distance.bounds.tolist()}: call normalize first")
    if band is None:
        return dense(lambda points: distance(points).distance, resolution)
    if not band > 0:
        raise ValueError(f"band must be a positive distance, not {band}")
    near = narrow_band(lambda points: distance(points).distance, resolution, band=band)
    return SdfGrid(near.values.clip(-band, band))


def dense(field: Field, resolution: int) -> SdfGrid:
    """Return the field at every node of a `resolution`^3 grid over [-1, 1]^3.

    Args:
        field: Takes points (n, 3) to signed distances (n,).
        resolution: Nodes per axis.

    Raises:
        ValueError: The resolution is under 2 or beyond memory, or the field returns another shape or NaN.
    """
    axis = _axis(resolution)
    everywhere = np.ones((resolution,) * 3, dtype=bool)
    return SdfGrid(evaluate(field, [axis] * 3, everywhere).reshape(everywhere.shape))


def narrow_band(field: Field, resolution: int, band: float = 0.0, slack: float = 1.0) -> SdfGrid:
    """Return the field at the nodes near its surface, and a coarse value of the same sign elsewhere.

    Each level keeps the cells in which some corner value is at most half a diagonal (times `slack`) plus `band`. For a
    1-Lipschitz field, as a signed distance is, no cell that the surface crosses can be dropped with `slack` 1: a
    surface point in a cell is at most half a diagonal away from the nearest corner.

    Args:
        field: Signed distance at points (n, 3).
        resolution: Samples per axis of the finest grid.
        band: Distance from the surface up to which every node gets its own value.
        slack: Bound on the field's slope, for fields that are not exact distances.

    Raises:
        ValueError: The resolution is under 2 or beyond memory, or the field returns another shape or NaN.
    """
    axis = _axis(resolution)
    strides = _strides(resolution)
    nodes = _nodes(resolution, strides[0])
    values = evaluate(field, [axis[nodes]] * 3, np.ones((len(nodes),) * 3, dtype=bool)).reshape((len(nodes),) * 3)
    for stride in strides[1:]:
        reach = slack * np.sqrt(3) / 2 * np.diff(axis[nodes]).max() + band
        finer = _nodes(resolution, stride)
        wanted = _spread(_near(values, reach), nodes, finer)
        values = _inherit(values, nodes, finer)
        values[wanted] = evaluate(field, [axis[finer]] * 3, wanted)
        nodes = finer
    return SdfGrid(values)


def evaluate(
    field: Field, axes: list[Float[np.ndarray, " _"]], wanted: Bool[np.ndarray, "x y z"]
) -> Float[np.ndarray, " n"]:
    """Return the field (n,) at the wanted nodes of a grid with the given axes.

    Args:
        field: Takes points (n, 3) to signed distances (n,).
        axes: Coordinates of the nodes along x, y and z.
        wanted: Which nodes.

    Raises:
        ValueError: The field returns another shape, or NaN.
    """
    return evaluate_at(field, axes, np.flatnonzero(wanted))


def evaluate_at(
    field: Field, axes: list[Float[np.ndarray, " _"]], nodes: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return the field (n,) at nodes of a grid with the given axes, counted with z fastest, `CHUNK` points at a time.

    Args:
        field: Takes points (n, 3) to signed distances (n,).
        axes: Coordinates of the nodes along x, y and z.
        nodes: Numbers of the nodes.

    Raises:
        ValueError: The field returns another shape, or NaN.
    """
    shape = tuple(len(axis) for axis in axes)
    parts = [np.empty(0, dtype=np.float32)]
    for start in range(0, len(nodes), CHUNK):
        block = np.unravel_index(nodes[start : start + CHUNK], shape)
        points = np.stack([axis[index] for axis, index in zip(axes, block, strict=True)], axis=1)
        parts.append(_checked(np.asarray(field(points)), len(points)))
    return np.concatenate(parts)


def _checked(values: Shaped[np.ndarray, "..."], count: int) -> np.ndarray:
    if values.shape != (count,):
        raise ValueError(f"field must return shape ({count},) for {count} points, returned {values.shape}")
    if np.isnan(values).any():
        raise ValueError(f"field must return numbers, returned NaN at {np.isnan(values).sum()} of {count} points")
    return values.astype(np.float32)


def check_memory(resolution: int, held: int) -> None:
    """Refuse a grid that is none, or one of which more is to be held than there is memory for.

    Args:
        resolution: Samples per axis.
        held: Nodes that are to be in memory at once.

    Raises:
        ValueError: The resolution is no whole number of at least 2, or there is no memory for so many nodes.
    """
    if resolution < 2 or resolution != int(resolution):
        raise ValueError(f"resolution must be at least 2 samples per axis, a whole number, not {resolution}")
    wanted, present = BYTES_PER_NODE * held, _memory()
    if wanted > present / 2:
        raise ValueError(
            f"resolution {resolution} needs about {wanted / 2**30:.1f} GiB, over half of this machine's "
            f"{present / 2**30:.1f} GiB"
        )


def _axis(resolution: int) -> np.ndarray:
    check_memory(resolution, resolution**3)
    return np.linspace(-1, 1, int(resolution))


def _memory() -> float:
    """Bytes of memory of this machine, without bound where the system does not say."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else np.inf


def _strides(resolution: int) -> list[int]:
    """Powers of two from the coarsest stride that still has `COARSE_CELLS` cells down to 1."""
    levels = max(0, int(np.log2(max(1, (resolution - 1) / COARSE_CELLS))))
    return [1 << level for level in range(levels, -1, -1)]


def _nodes(resolution: int, stride: int) -> np.ndarray:
    """Indices of a level's nodes: every `stride`-th, and always the last."""
    return np.unique(np.append(np.arange(0, resolution, stride), resolution - 1))


def _near(values: np.ndarray, reach: float) -> np.ndarray:
    """Cells with a corner within reach of the surface, or with corners on both sides of it.

    The second happens far from any surface where a mesh is open: the sign changes across its holes.
    """
    closest, low, high = np.abs(values), values, values
    for axis in range(3):
        closest = np.minimum(*ends_of_cells(closest, axis))
        low = np.minimum(*ends_of_cells(low, axis))
        high = np.maximum(*ends_of_cells(high, axis))
    return (closest <= reach) | ((low < 0) & (high >= 0))


def ends_of_cells(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the values at the lower and at the upper end of every cell along an axis.

    Args:
        values: Values at the nodes (x, y, z).
        axis: 0, 1 or 2.
    """
    count = values.shape[axis]
    return values.take(range(count - 1), axis), values.take(range(1, count), axis)


def _spread(cells: np.ndarray, nodes: np.ndarray, finer: np.ndarray) -> np.ndarray:
    """Nodes of the finer level that lie in (or on the border of) a kept cell."""
    below = np.clip(np.searchsorted(nodes, finer, side="left") - 1, 0, len(nodes) - 2)
    above = np.clip(np.searchsorted(nodes, finer, side="right") - 1, 0, len(nodes) - 2)
    for axis in range(3):
        cells = cells.take(below, axis) | cells.take(above, axis)
    return cells


def _inherit(values: np.ndarray, nodes: np.ndarray, finer: np.ndarray) -> np.ndarray:
    """Each finer node's value at the coarse node below it: of the right sign wherever no surface is near."""
    below = np.searchsorted(nodes, finer, side="right") - 1
    for axis in range(3):
        values = values.take(below, axis)
    return values
