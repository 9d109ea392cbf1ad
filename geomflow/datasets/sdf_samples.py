"""SDF samples: a grid or surface points to encode, and exact distances at random points to compare the decoder with."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.datasets._records import REFLECTION, load_surface, load_with_grid
from geomflow.datasets._stored import Stored
from geomflow.errors import ConfigError, RecordError
from geomflow.interfaces import ShapeDataset
from geomflow.prep.manifest import record_files
from geomflow.records import ShapeRecord, load_record

NEEDED = ("near_points", "near_sdf", "near_confidence", "vol_points", "vol_sdf", "vol_confidence")

KINDS = ("near", "vol")

RESOLUTION = 64
"""Samples per axis of the grid whose voxels shifts are counted in, if shapes have none of their own."""


class SdfSamples:
    """All shapes of a split: grids (shapes, x, y, z) and sample pools (shapes, pool, 5) of point, distance, confidence.

    Args:
        grids: Signed distance grids in half precision, None if nobody reads them.
        near: Pool of samples near the surface.
        volume: Pool of samples in the cube.
        points: Samples per shape and batch, two thirds near the surface.
        mirror: Whether shapes are reflected in x half of the time.
        shift: Most voxels by which a shape is moved along each axis; what leaves the cube is cut off.
        surfaces: Pool of surface points with normals, None if nobody reads them; they may leave the cube.
        surface: Surface points per shape and batch.
        smallest: Shapes are scaled by a random factor between this and 1, which a grid cannot be.
    """

    def __init__(
        self,
        grids: Float[Tensor, "shapes x y z"] | None,
        near: Float[Tensor, "shapes near 5"],
        volume: Float[Tensor, "shapes vol 5"],
        points: int,
        mirror: bool,
        shift: int,
        surfaces: Float[Tensor, "shapes n 6"] | None = None,
        surface: int = 0,
        smallest: float = 1.0,
    ) -> None:
        if smallest < 1 and grids is not None:
            raise ConfigError("dataset.smallest must be 1 for an encoder that reads grids, which cannot be scaled")
        self.smallest = smallest
        self.grids, self.near, self.volume, self.surfaces = grids, near, volume, surfaces
        self.points, self.mirror, self.shift, self.surface = points, mirror, shift, surface

    def __len__(self) -> int:
        """Return the number of shapes."""
        return len(self.near)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `points` (batch, n, 3), `sdf` and `confidence` (batch, n), and what the encoder reads.

        That is `grid` (batch, x, y, z) or `surface` (batch, m, 6), moved as the samples are.
        """
        volume = self.points // 3
        samples = torch.cat(
            [
                _draw(self.near, indices, self.points - volume, generator),
                _draw(self.volume, indices, volume, generator),
            ],
            dim=1,
        ).float()
        grid = torch.zeros(len(indices), 1, 1, 1) if self.grids is None else self.grids[indices].float()
        surface = torch.zeros(len(indices), 0, 6)
        if self.surfaces is not None:
            surface = _subset(self.surfaces, indices, self.surface, generator)
        if self.smallest < 1:
            factor = 1 - (1 - self.smallest) * torch.rand(len(indices), 1, 1, generator=generator)
            samples[..., :4] *= factor
            surface[..., :3] *= factor
        if self.mirror:
            flip = torch.rand(len(indices), generator=generator) < 0.5
            grid[flip] = grid[flip].flip(1)
            samples[flip, :, 0] *= -1
            surface[flip] *= REFLECTION
        if self.shift:
            offset = torch.randint(-self.shift, self.shift + 1, (len(indices), 3), generator=generator)
            grid = torch.stack([_moved(one, by.tolist()) for one, by in zip(grid, offset, strict=True)])
            voxels = RESOLUTION if self.grids is None else grid.shape[1]
            moved = offset[:, None] * (2 / (voxels - 1))
            samples[..., :3] += moved
            surface[..., :3] += moved
            samples[..., 4] *= (samples[..., :3].abs() <= 1).all(-1)
        batch = {"points": samples[..., :3], "sdf": samples[..., 3], "confidence": samples[..., 4]}
        views = {"grid": self.grids, "surface": self.surfaces}
        read = {"grid": grid, "surface": surface}
        return {**{name: read[name] for name, view in views.items() if view is not None}, **batch}


def make(
    folder: str,
    split: str = "train",
    points: int = 3072,
    pool: int = 20_000,
    mirror: bool = True,
    shift: int = 4,
    surface: int = 0,
    grid: bool = True,
    smallest: float = 1.0,
    in_memory: bool = True,
) -> ShapeDataset:
    """Return the SDF samples of a dataset folder made by `geomflow prep`.

    Args:
        folder: Dataset folder.
        split: Subset to read.
        points: Samples per shape and batch.
        pool: Samples per shape and kind that are kept in memory.
        mirror: Whether shapes are reflected in x half of the time.
        shift: Most voxels by which a shape is moved along each axis.
        surface: Surface points with normals per shape and batch, for encoders that read them.
        grid: Whether the encoder reads grids.
        smallest: Shapes are scaled by a random factor between this and 1.
        in_memory: Whether all shapes are read at once; if not, each batch reads its own, with the same result.

    Raises:
        RecordError: No such dataset or split, or records without a grid that is wanted.
        ConfigError: Grids are wanted, and to be scaled.
    """

    def load(files: list[Path]) -> SdfSamples:
        records = [load_record(file, NEEDED) for file in files]
        near, volume = (torch.from_numpy(np.stack([_pool(one, kind, pool) for one in records])) for kind in KINDS)
        grids = torch.from_numpy(np.stack([load_with_grid(file)[0] for file in files])) if grid else None
        surfaces = _surfaces(files, pool) if surface else None
        return SdfSamples(grids, near, volume, points, mirror, shift, surfaces, surface, smallest)

    files = record_files(folder, split)
    return load(files) if in_memory else Stored(files, load)


def _surfaces(files: list[Path], pool: int) -> Tensor:
    """Surface points with normals of all records (shapes, pool, 6)."""
    surfaces = [load_surface(file, pool) for file in files]
    for file, surface in zip(files, surfaces, strict=True):
        if len(surface) != len(surfaces[0]):
            raise RecordError(f"{file}: has {len(surface)} surface points, {files[0]} has {len(surfaces[0])}")
    return torch.from_numpy(np.stack(surfaces))


def _pool(record: ShapeRecord, kind: str, pool: int) -> np.ndarray:
    """Points, distances and confidences of one kind as (pool, 5)."""
    points, sdf, confidence = (getattr(record, f"{kind}_{name}")[:pool] for name in ("points", "sdf", "confidence"))
    return np.concatenate([points, sdf[:, None], confidence[:, None]], axis=1).astype(np.float32)


def _draw(pool: Tensor, indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` random samples of each indexed shape (batch, count, 5)."""
    columns = torch.randint(pool.shape[1], (len(indices), count), generator=generator)
    return pool[indices[:, None], columns]


def _subset(pool: Tensor, indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """A random subset of each indexed shape's rows, none of them twice (batch, count, columns)."""
    keys = torch.rand(len(indices), pool.shape[1], generator=generator)
    return pool[indices[:, None], keys.topk(min(count, pool.shape[1])).indices]


def _moved(grid: Tensor, offset: list[int]) -> Tensor:
    """A grid moved by whole voxels, its border repeated where nothing is known."""
    x, y, z = (torch.arange(n).sub(by).clamp(0, n - 1) for n, by in zip(grid.shape, offset, strict=True))
    return grid[x][:, y][:, :, z]
