"""A dataset of exact solids in two classes and two splits, and how to measure points of any layout with them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from geomflow.geometry.primitives import Box, Moved, Sphere, Union
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare

RECIPE = Recipe(resolution=0, surface_points=16_000, volume_points=3000, near_points=3000)


@dataclass(frozen=True)
class Exact:
    """A solid in its file's frame: its centre there, its longest half extent, and its signed distance."""

    solid: Sphere | Box | Union
    extent: float
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def sdf(self, points: np.ndarray, extent: float, front: str = "z") -> np.ndarray:
        """Signed distance at points of a frame in which the solid is centred, and scaled and turned as said."""
        x, y, z = points.astype(float).T
        unturned = {"z": (x, y, z), "-z": (-x, y, -z), "x": (-z, y, x)}[front]
        scale = self.extent / extent
        return self.solid(np.stack(unturned, axis=1) * scale + np.array(self.centre)) / scale


KNOBBED = Union(Box((0.3, 0.4, 0.4)), Moved(Box((0.1, 0.1, 0.1)), (0.0, 0.0, 0.5)))
"""A block with a knob on its front, +z; its box is centred at z = 0.1."""

SOLIDS = {
    "03001627-block": Exact(Box((0.8, 0.5, 0.3)), 0.8),
    "03001627-knob": Exact(KNOBBED, 0.5, (0.0, 0.0, 0.1)),
    "ball-ball": Exact(Sphere(2.0), 2.0),
}
PLACES = {
    "03001627-block": "03001627/train/block",
    "03001627-knob": "03001627/test/knob",
    "ball-ball": "ball/train/ball",
}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("solids")
    for name, place in PLACES.items():
        (root / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        SOLIDS[name].solid.mesh().export(root / "in" / f"{place}.ply")
    prepare(root / "in", root / "set", RECIPE, progress=False)
    return root / "set"
