"""Extraction: a distance field or grid to a closed mesh, by marching cubes (Lewiner et al., 2003, in scikit-image)."""

from typing import Literal

import numpy as np
import trimesh
from skimage.measure import marching_cubes

from geomflow.errors import EmptySurface
from geomflow.geometry.grid import Field, SdfGrid, dense, narrow_band

Method = Literal["hierarchical", "dense"]

SLACK = 1.5
"""Slope that hierarchical extraction allows a field: learned distances are not exact ones."""

NUDGE = 1e-4
"""Smallest distance, in voxels, of a vertex from a grid node: keeps triangles from collapsing to points."""


def extract_mesh(
    field_or_grid: Field | SdfGrid, resolution: int = 256, method: Method = "hierarchical", level: float = 0.0
) -> trimesh.Trimesh:
    """Return the surface where a field equals `level`, closed and facing outward, in the field's coordinates.

    Where the inside reaches the border of the grid it is closed off less than a voxel outside of it.

    Args:
        field_or_grid: Function from points (n, 3) of [-1, 1]^3 to values (n,), negative inside; or a grid of values,
            for which `resolution` and `method` mean nothing.
        resolution: Samples per axis.
        method: `hierarchical` asks only for samples near the surface, and is exact for distances whose slope is at most
            `SLACK`; `dense` asks for all.
        level: Value of the surface.

    Raises:
        EmptySurface: The field is nowhere on both sides of the level; the message gives its range.
        ValueError: Unknown method, a resolution below 2 or beyond memory, or a field of another shape or with NaN.
    """
    grid = field_or_grid if isinstance(field_or_grid, SdfGrid) else _evaluate(field_or_grid, resolution, method, level)
    values = np.asarray(grid.values, dtype=np.float32) - np.float32(level)
    if np.isnan(values).any():
        raise ValueError("grid must hold numbers, it holds NaN")
    if not values.min() < 0:
        raise EmptySurface(
            f"no surface at level {level}: the values range from {grid.values.min()} to {grid.values.max()}"
        )
    if values.max() < 0:
        raise EmptySurface(f"no surface at level {level}: all values are below it, down to {grid.values.min()}")
    return _march(_off_nodes(values, grid), grid)


def _evaluate(field: Field, resolution: int, method: Method, level: float) -> SdfGrid:
    if method == "dense":
        return dense(field, resolution)
    if method == "hierarchical":
        shifted = narrow_band(lambda points: np.asarray(field(points)) - level, resolution, slack=SLACK)
        return SdfGrid(shifted.values + np.float32(level))
    raise ValueError(f"method must be 'hierarchical' or 'dense', not {method!r}")


def _off_nodes(values: np.ndarray, grid: SdfGrid) -> np.ndarray:
    """Values with none so near zero that a vertex would fall on a node."""
    least = np.float32(NUDGE * grid.spacing.min())
    return np.where(np.abs(values) < least, np.where(values < 0, -least, least), values)


def _march(values: np.ndarray, grid: SdfGrid) -> trimesh.Trimesh:
    """Marching cubes on the grid inside one layer of outside; node i lies at lower + i * spacing."""
    padded = np.pad(values, 1, constant_values=np.float32(grid.spacing.min()))
    vertices, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="descent")
    return trimesh.Trimesh(grid.lower + (vertices.astype(np.float64) - 1) * grid.spacing, faces, process=False)
