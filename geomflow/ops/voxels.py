"""Points to voxels and back: the mean of the features in each cell, and trilinear interpolation between cells.

The cube [-1, 1]^3 is cut into R^3 cells, with axes in the order x, y, z; cell i of an axis spans [-1 + 2 i / R,
-1 + 2 (i + 1) / R) and its centre is -1 + (2 i + 1) / R. The last cell of an axis also holds its end, 1. Both
directions are those of the voxel branch of PVCNN (Liu et al., arXiv 1907.03739).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops.batches import HALF, Clouds, checked_3d, checked_clouds
from geomflow.ops.dispatch import reference_only


def voxelize(
    features: Float[Tensor, "b p c"],
    points: Float[Tensor, "b p 3"],
    resolution: int,
    lengths: Int[Tensor, " b"] | None = None,
    *,
    backend: str = "auto",
) -> Float[Tensor, "b c r r r"]:
    """Return the mean feature of the points in each cell of the cube [-1, 1]^3, 0 in cells without points.

    Points outside the cube are left out, as are those with a coordinate that is not finite. The result is piecewise
    constant in the points, so only the features have a gradient.

    Args:
        features: Features of the points (B, P, C); half precision is summed, and returned, in float32.
        points: Points (B, P, 3), in units of half the cube.
        resolution: Cells R along each axis.
        lengths: Points of each cloud (B,), all of them by default.
        backend: `auto` or `reference`, which are the same here.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, the resolution is below 1, or there is no such backend.
        TypeError: Features or points are not floating point tensors.
    """
    reference_only("voxelize", backend)
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, given {resolution}")
    clouds, values = checked_3d("points", points, lengths), checked_clouds("features", features, None).points
    if values.shape[:2] != clouds.points.shape[:2] or values.device != clouds.points.device:
        raise ValueError(
            f"features must have a row per point, {tuple(clouds.points.shape[:2])} on {clouds.points.device}, "
            f"given {tuple(values.shape[:2])} on {values.device}"
        )
    return _cell_means(values, _cells(clouds.points.detach(), resolution), _inside(clouds), resolution)


def devoxelize(
    grid: Float[Tensor, "b c r r r"],
    points: Float[Tensor, "b p 3"],
    lengths: Int[Tensor, " b"] | None = None,
    *,
    backend: str = "auto",
) -> Float[Tensor, "b p c"]:
    """Return the features of a grid at points, trilinear between the centres of its cells.

    At the centre of a cell this is the cell's own feature. Between the outermost centres and the faces of the cube,
    and beyond, it is the value at the nearest place among the centres. Padding rows and points with a coordinate that
    is not finite get 0. Grid and points have gradients of first order.

    Args:
        grid: Features of the cells (B, C, R, R, R), axes x, y, z; half precision is computed, and returned, in float32.
        points: Points (B, P, 3), in units of half the cube.
        lengths: Points of each cloud (B,), all of them by default.
        backend: `auto` or `reference`, which are the same here.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, or there is no such backend.
        TypeError: Grid and points are not floating point tensors of one dtype.
    """
    reference_only("devoxelize", backend)
    clouds = checked_3d("points", points, lengths)
    grid = _checked_grid(grid, clouds.points)
    valid = clouds.valid[..., None]
    places = torch.where(valid, clouds.points, 0).flip(-1)[:, None, None]
    with torch.autocast(grid.device.type, enabled=False):
        found = torch.nn.functional.grid_sample(grid, places, padding_mode="border", align_corners=False)
    return torch.where(valid, found[:, :, 0, 0].transpose(1, 2), 0)


def _checked_grid(grid: Tensor, points: Tensor) -> Float[Tensor, "b c r r r"]:
    """The grid in float32 or float64, if it fits the points."""
    if grid.ndim != 5 or len(set(grid.shape[2:])) != 1 or grid.shape[0] != points.shape[0]:
        wanted = f"({points.shape[0]}, channels, resolution, resolution, resolution)"
        raise ValueError(f"grid must have shape {wanted}, given {tuple(grid.shape)}")
    if grid.device != points.device:
        raise ValueError(f"grid and points must be on one device, given {grid.device} and {points.device}")
    grid = grid.float() if grid.dtype in HALF else grid
    if grid.dtype != points.dtype:
        raise TypeError(f"grid and points must have one dtype, given {grid.dtype} and {points.dtype}")
    return grid


def _inside(clouds: Clouds) -> Bool[Tensor, "b p"]:
    """Which rows are points of the cube; NaN passes no comparison."""
    return clouds.mask & (clouds.points.detach().abs() <= 1).all(-1)


def _cells(points: Float[Tensor, "b p 3"], resolution: int) -> Int[Tensor, "b p"]:
    """Number of each point's cell, x major; points outside the cube get any number in the range."""
    along = ((points + 1) * (resolution / 2)).nan_to_num().clamp(0, resolution - 1).long()
    return (along[..., 0] * resolution + along[..., 1]) * resolution + along[..., 2]


def _cell_means(
    values: Float[Tensor, "b p c"], cells: Int[Tensor, "b p"], inside: Bool[Tensor, "b p"], resolution: int
) -> Float[Tensor, "b c r r r"]:
    """Mean over the rows inside of each cell, 0 where there are none."""
    batch, _, channels = values.shape
    kept = torch.where(inside[..., None], values, 0)
    empty = values.new_zeros(batch, channels, resolution**3)
    sums = empty.scatter_add(2, cells[:, None].expand(-1, channels, -1), kept.transpose(1, 2))
    counts = empty.new_zeros(batch, resolution**3).scatter_add(1, cells, inside.to(values.dtype))
    return (sums / counts.clamp(min=1)[:, None]).view(batch, channels, resolution, resolution, resolution)
