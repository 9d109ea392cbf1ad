"""Extraction: a distance field or grid to a closed mesh, by marching cubes (Lewiner et al., 2003, in scikit-image)."""

from dataclasses import replace
from typing import Literal

import numpy as np
import trimesh
from skimage.measure import marching_cubes

from geomflow.errors import EmptySurface
from geomflow.geometry.bricks import march, surface_bricks
from geomflow.geometry.grid import Field, SdfGrid, dense
from geomflow.geometry.refine import refine_vertices

Method = Literal["hierarchical", "dense"]

SLACK = 1.5
"""Slope that hierarchical extraction allows a field: learned distances are not exact ones."""

NUDGE = 1e-4
"""Smallest distance, in voxels, of a vertex from a grid node: keeps triangles from collapsing to points."""


def extract_mesh(
    field_or_grid: Field | SdfGrid,
    resolution: int = 256,
    method: Method = "hierarchical",
    level: float = 0.0,
    refine: int = 0,
) -> trimesh.Trimesh:
    """Return the surface where a field equals `level`, closed and facing outward, in the field's coordinates.

    Where the inside reaches the border of the grid it is closed off half a voxel outside of it.

    Args:
        field_or_grid: Function from points (n, 3) of [-1, 1]^3 to values (n,), negative inside; or a grid of values,
            for which `resolution` and `method` mean nothing.
        resolution: Samples per axis.
        method: `hierarchical` asks for and holds samples near the surface only, and gives the surface of `dense` for
            distances whose slope is at most `SLACK` (of steeper ones parts may be missing); `dense` asks for all.
        level: Value of the surface.
        refine: Rounds in which vertices are moved on to the surface of a field (`geomflow.geometry.refine`); if any,
            the mesh has the field's normals.

    Raises:
        EmptySurface: The field is nowhere on both sides of the level; the message gives its range.
        ValueError: Unknown method, a grid to be refined, a resolution below 2 or beyond memory, or a field of another
            shape or with NaN.
    """
    if not np.isfinite(level):
        raise ValueError(f"level must be a number, given {level}")
    if isinstance(field_or_grid, SdfGrid):
        if refine:
            raise ValueError(f"refine must be 0 for a grid, which has no values between its nodes, given {refine}")
        return _of_grid(field_or_grid, level)
    mesh = _of_field(field_or_grid, resolution, method, level)
    return refine_vertices(mesh, field_or_grid, 2 / (resolution - 1), refine, level) if refine else mesh


def _of_field(field: Field, resolution: int, method: Method, level: float) -> trimesh.Trimesh:
    if method == "dense":
        return _of_grid(dense(field, resolution), level)
    if method == "hierarchical":
        return _of_bricks(field, resolution, level)
    raise ValueError(f"method must be 'hierarchical' or 'dense', not {method!r}")


def _of_grid(grid: SdfGrid, level: float) -> trimesh.Trimesh:
    values = _less(np.asarray(grid.values), level)
    if np.isnan(values).any():
        raise ValueError("grid must hold numbers, it holds NaN")
    _check_crossing(float(values.min()), float(values.max()), level)
    return _march(_off_nodes(values, grid.spacing.min()), grid)


def _of_bricks(field: Field, resolution: int, level: float) -> trimesh.Trimesh:
    bricks = surface_bricks(lambda points: _less(np.asarray(field(points)), level), resolution, slack=SLACK)
    _check_crossing(bricks.low, bricks.high, level)
    return march(replace(bricks, values=_off_nodes(bricks.values, bricks.spacing)))


def _less(values: np.ndarray, level: float) -> np.ndarray:
    """Values less the level, in single precision."""
    return values.astype(np.float32) - np.float32(level)


def _check_crossing(low: float, high: float, level: float) -> None:
    """Refuse values, less the level, that are all on one side."""
    if low >= 0:
        raise EmptySurface(f"no surface at level {level}: the values range from {low + level} to {high + level}")
    if high < 0:
        raise EmptySurface(
            f"no surface at level {level}: all values are below it, from {low + level} to {high + level}"
        )


def _off_nodes(values: np.ndarray, spacing: float) -> np.ndarray:
    """Values with none so near zero that a vertex would fall on a node."""
    least = np.float32(NUDGE * spacing)
    return np.where(np.abs(values) < least, np.where(values < 0, -least, least), values)


def _march(values: np.ndarray, grid: SdfGrid) -> trimesh.Trimesh:
    """Marching cubes on the grid and a layer outside of it with the border's absolute values."""
    padded = np.abs(np.pad(values, 1, mode="edge"))
    padded[1:-1, 1:-1, 1:-1] = values
    vertices, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="descent")
    return trimesh.Trimesh(grid.lower + (vertices.astype(np.float64) - 1) * grid.spacing, faces, process=False)
