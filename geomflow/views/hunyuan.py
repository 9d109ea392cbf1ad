"""Hunyuan3D-2.1: surface samples and signed distances per shape, as its sampling script writes them.

Labels are signed distances that are POSITIVE INSIDE, as the script writes them and the decoder's extraction takes them
(its README states the opposite). All arrays are in half precision; distances are measured at the rounded points, so a
label is that of the point beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geomflow.geometry.surface import SurfaceSamples
from geomflow.records import ShapeRecord
from geomflow.views._layout import Item, npz
from geomflow.views._shape import Shape

HALF_EXTENT = 0.9999
"""Longest half extent of a shape in the frame of the encoder."""

CUBE = 1.05
"""Half side of the cube of the volume points."""

NEAR_SIGMAS = (0.005, 0.05)
"""Standard deviations of offsets from the surface, each applied to all surface points, cut off at a quarter."""

SHARP_SIGMAS = (0.001, 0.003, 0.06, 0.01, 0.02, 0.04)
"""Standard deviations of offsets from sharp edges, shared out evenly."""


@dataclass(frozen=True)
class Hunyuan:
    """Layout of Hunyuan3D-2.1.

    Attributes:
        points: Points of the surface and of the sharp edges; twice as many in the volume and near the surface.
    """

    points: int = 499_712 // 4

    needs = ("vertices", "faces")

    def paths(self, item: Item) -> list[str]:
        """Return the files of one shape, relative to the export's folder."""
        stem = f"{item.split}/{item.id}/geo_data/{item.id}"
        return [f"{stem}_surface.npz", f"{stem}_sdf.npz"]

    def files(self, record: ShapeRecord) -> dict[str, bytes]:
        """Return the contents of one shape's files."""
        shape = Shape(record, HALF_EXTENT)
        uniform, sharp = shape.surface(self.points), shape.sharp(self.points)
        surface = {"random_surface": _rows(uniform), "sharp_surface": _rows(sharp)}
        contents = [npz(surface), npz(self._distances(shape, uniform.points, sharp.points))]
        return dict(zip(self.paths(record.header), contents, strict=True))

    def lists(self, items: Iterable[Item]) -> dict[str, bytes]:
        """Return nothing: the loader takes every folder of the split's folder."""
        return {}

    def _distances(self, shape: Shape, uniform: np.ndarray, sharp: np.ndarray) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(shape.seed("offsets"))
        offsets = [(sigma * rng.standard_normal(uniform.shape)).clip(-0.25, 0.25) for sigma in NEAR_SIGMAS]
        near = np.concatenate([uniform + offset for offset in offsets])
        points = {
            "vol": rng.uniform(-CUBE, CUBE, (2 * self.points, 3)),
            "random_near": rng.permutation(near),
            "sharp_near": sharp + np.resize(SHARP_SIGMAS, len(sharp))[:, None] * rng.standard_normal(sharp.shape),
        }
        rounded = {kind: array.astype(np.float16) for kind, array in points.items()}
        arrays = ({f"{kind}_points": at, f"{kind}_label": _label(shape, at)} for kind, at in rounded.items())
        return {name: array for pair in arrays for name, array in pair.items()}


def make(points: int = 499_712 // 4) -> Hunyuan:
    """The layout that the shape autoencoder of Hunyuan3D-2.1 is trained on.

    Args:
        points: Points of the surface and of the sharp edges; its loader draws 81920 of the first.
    """
    return Hunyuan(points)


def _rows(samples: SurfaceSamples) -> np.ndarray:
    """Points and normals (n, 6)."""
    return np.concatenate([samples.points, samples.normals], axis=1).astype(np.float16)


def _label(shape: Shape, points: np.ndarray) -> np.ndarray:
    return (-shape.sdf(points.astype(np.float32))).astype(np.float16)
