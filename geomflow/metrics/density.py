"""How evenly points lie on a surface: the dispersion of their counts in cells of it."""

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial import KDTree

from geomflow.geometry.surface import sample_surface
from geomflow.metrics.distances import checked_points

PER_CELL = 100
"""Points that a cell holds on average."""

FINER = 10
"""How many times as many points of the surface itself say how large the cells are."""


def density_dispersion(points: Float[np.ndarray, "n 3"], mesh: trimesh.Trimesh, seed: int = 0) -> float:
    """Return the index of dispersion of the points over the surface: 1 for uniform random points, more for uneven ones.

    The surface is cut into cells around n / 100 random centres of it. A cell with a share s of the area expects n s
    points; the squared deviations from that, over their expectation for a uniform sample, are averaged:

        mean over cells of (count - n s)^2 / (n s (1 + n / M)),

    where shares are measured by M points of the surface, whose own noise is the term n / M. Less than 1 means spread
    out more evenly than at random (blue noise). A density off by a factor 1 + e everywhere adds about 100 e^2.

    Args:
        points: Points (n, 3) on or near the surface, at least 200.
        mesh: The surface.
        seed: Seed of centres and of the surface's points; another than the points themselves were drawn with.

    Raises:
        MeshDegenerate: The mesh has no area.
        ValueError: The points are not finite, not (n, 3), or fewer than 200.
    """
    checked_points("points", points)
    cells = len(points) // PER_CELL
    if cells < 2:
        raise ValueError(f"points must be at least {2 * PER_CELL} to have a density, given {len(points)}")
    surface = sample_surface(mesh, FINER * len(points) + cells, seed).points
    tree = KDTree(surface[:cells])
    counts, of_surface = (np.bincount(tree.query(p)[1], minlength=cells) for p in (points, surface[cells:]))
    expected = len(points) * of_surface / of_surface.sum()
    there = expected > 0
    spread = np.square(counts - expected)[there] / (expected[there] * (1 + 1 / FINER))
    return float(spread.mean())
