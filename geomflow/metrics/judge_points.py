"""How well points sample a shape, again and again while a model of them is trained."""

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.geometry.attributes import PointSource
from geomflow.geometry.bvh import Bvh
from geomflow.geometry.frame import similarity_of
from geomflow.metrics.distances import chamfer_floor, match


class PointJudge:
    """Measures points against a shape in its box (edge 2), as the protocol `geomdist` does, on fewer points.

    The floor of a mesh is that of two random samples; that of a cloud is measured between halves of its points.

    Args:
        source: The shape.
        count: Points that are compared; of a cloud at most half of its points.
        seed: Seed of the points of the shape.
    """

    def __init__(self, source: PointSource, count: int = 20_000, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._frame = similarity_of(_extent_of(source.shape), margin=1.0)
        if isinstance(source.shape, trimesh.Trimesh):
            self._wanted = self._frame.apply(source.draw(count, rng)[:, :3])
            self._surface = Bvh(self._frame.apply(np.asarray(source.shape.vertices)), np.asarray(source.shape.faces))
            self._floor = chamfer_floor(float(source.shape.area) * self._frame.scale**2, count)
        else:
            points = rng.permutation(self._frame.apply(np.asarray(source.shape.vertices)))
            half = max(1, min(count, len(points) // 2))
            self._wanted, self._surface = points[:half], None
            self._floor = match(self._wanted, points[-half:]).chamfer() or np.inf
        self.count = len(self._wanted)

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> dict[str, float]:
        """Return chamfer over floor and, of a mesh, the mean distance to the surface; infinite for broken points."""
        local = self._frame.apply(points)
        broken = not np.isfinite(local).all()
        found = {"chamfer-over-floor": np.inf if broken else match(self._wanted, local).chamfer() / self._floor}
        if self._surface is not None:
            found["to-surface"] = np.inf if broken else float(self._surface.closest(local).distance.mean())
        return found


def _extent_of(shape: trimesh.Trimesh | trimesh.PointCloud) -> np.ndarray:
    """The points that are in use."""
    vertices = np.asarray(shape.vertices)
    return vertices[np.unique(shape.faces)] if isinstance(shape, trimesh.Trimesh) else vertices
