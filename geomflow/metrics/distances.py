"""Distances between two point sets, or points and a surface, each convention named, with what noise alone gives.

Notation: for point sets a (n points) and b (m points), d(p, b) is the distance from p to its nearest point of b.

Two things called "chamfer distance" are in use, and their numbers cannot be compared:

- reconstruction (`squared=False`): mean over a of d(p, b) + mean over b of d(q, a), a length;
- generation (`squared=True`): mean over a of d(p, b)^2 + mean over b of d(q, a)^2, an area.

Neither is zero for two samples of one surface. A sample of n points is locally a Poisson process of density n / A on a
surface of area A, the nearest distance is Rayleigh distributed with P(d > s) = exp(-pi s^2 n / A), hence the floors

- unsquared: 2 * (1/2) sqrt(A / n) = sqrt(A / n);
- squared: 2 * A / (pi n).
"""

from typing import Any, NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float, Integer
from scipy.spatial import KDTree

from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.surface import SurfaceSamples


class Matches(NamedTuple):
    """Nearest neighbours of two point sets in each other: what every distance below is made of.

    Attributes:
        forward: Distance (n,) from each point of a to its nearest point of b.
        backward: Distance (m,) from each point of b to its nearest point of a.
        forward_indices: Index (n,) into b of those nearest points.
        backward_indices: Index (m,) into a of those nearest points.
    """

    forward: Float[np.ndarray, " n"]
    backward: Float[np.ndarray, " m"]
    forward_indices: Integer[np.ndarray, " n"]
    backward_indices: Integer[np.ndarray, " m"]

    def chamfer(self, squared: bool = False) -> float:
        """Return the sum of both mean distances (or mean squared distances); see `geomflow.metrics.chamfer`.

        Args:
            squared: Whether distances are squared before they are averaged.
        """
        power = 2 if squared else 1
        return float((self.forward**power).mean() + (self.backward**power).mean())

    def f_score(self, tau: float) -> float:
        """Return the harmonic mean of precision and recall at `tau`; see `geomflow.metrics.f_score`.

        Args:
            tau: Distance up to which a point counts as met, in the points' unit.

        Raises:
            ValueError: `tau` is not positive.
        """
        if not tau > 0:
            raise ValueError(f"tau must be a positive distance, not {tau}")
        precision, recall = float((self.forward <= tau).mean()), float((self.backward <= tau).mean())
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def hausdorff(self) -> float:
        """Return the largest nearest distance of either side; see `geomflow.metrics.hausdorff`."""
        return float(max(self.forward.max(), self.backward.max()))

    def normal_consistency(self, a_normals: Float[np.ndarray, "n 3"], b_normals: Float[np.ndarray, "m 3"]) -> float:
        """Return the mean |cosine| of matched normals; see `geomflow.metrics.normal_consistency`.

        Args:
            a_normals: Unit normals of the first points.
            b_normals: Unit normals of the second points.
        """
        forward = np.abs((a_normals * b_normals[self.forward_indices]).sum(axis=1)).mean()
        backward = np.abs((b_normals * a_normals[self.backward_indices]).sum(axis=1)).mean()
        return float((forward + backward) / 2)


def match(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"], workers: int = -1) -> Matches:
    """Return both sets' nearest neighbours in each other, to take several distances of one pair.

    Args:
        a: Points (n, 3).
        b: Points (m, 3) in the same frame.
        workers: Threads; -1 for all cores.

    Raises:
        ValueError: A set is empty, not (n, 3), or not finite.
    """
    a, b = checked_points("a", a), checked_points("b", b)
    forward, forward_indices = _nearest(a, KDTree(b), workers)
    backward, backward_indices = _nearest(b, KDTree(a), workers)
    return Matches(forward, backward, forward_indices, backward_indices)


def chamfer(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"], squared: bool = False) -> float:
    """Return the chamfer distance, both directions summed and never halved.

    - `squared=False`, the reconstruction convention: mean_a d(p, b) + mean_b d(q, a), in the points' unit.
      Noise floor of two samples of n points on area A: sqrt(A / n).
    - `squared=True`, the generation convention: mean_a d(p, b)^2 + mean_b d(q, a)^2, in the unit squared.
      Noise floor: 2 A / (pi n).

    `chamfer_floor` gives the floors as numbers.

    Args:
        a: A point set.
        b: Another point set.
        squared: Whether distances are squared before they are averaged.

    Raises:
        ValueError: A set is empty, not (n, 3), or not finite.
    """
    return match(a, b).chamfer(squared)


def chamfer_floor(area: float, count: int, squared: bool = False) -> float:
    """Return the chamfer distance expected of two independent samples of one surface: the least that means anything.

    sqrt(A / n) for `squared=False`, 2 A / (pi n) for `squared=True`; edges, curvature and boundaries add terms of
    higher order in 1 / n.

    Args:
        area: Surface area A in the points' unit squared.
        count: Points n in each of the two samples.
        squared: The convention, as in `chamfer`.

    Raises:
        ValueError: Area or count is not positive.
    """
    if not (area > 0 and count > 0):
        raise ValueError(f"area and count must be positive, given area {area} and count {count}")
    return float(2 * area / (np.pi * count) if squared else np.sqrt(area / count))


def f_score(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"], tau: float) -> float:
    """Return F = 2 P R / (P + R) at tolerance tau (Knapitsch et al., Tanks and Temples, 2017), between 0 and 1.

    P is the fraction of a with d(p, b) <= tau, R the fraction of b with d(q, a) <= tau, and F = 0 where both are 0.
    Two samples of n points on area A reach 1 - exp(-pi tau^2 n / A), not 1: choose n well above A / tau^2.

    Args:
        a: A point set.
        b: Another point set.
        tau: Distance up to which a point counts as met, in the points' unit.

    Raises:
        ValueError: A set is empty, not (n, 3), or not finite; tau is not positive.
    """
    return match(a, b).f_score(tau)


def hausdorff(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> float:
    """Return the Hausdorff distance max(max_a d(p, b), max_b d(q, a)) of the two point sets, in their unit.

    Two samples of n points on area A give about sqrt(A log(n) / (pi n)), not 0.

    Args:
        a: A point set.
        b: Another point set.

    Raises:
        ValueError: A set is empty, not (n, 3), or not finite.
    """
    return match(a, b).hausdorff()


def normal_consistency(a: SurfaceSamples, b: SurfaceSamples) -> float:
    """Return the mean |cosine| between each sample's unit normal and its nearest neighbour's, between 0 and 1.

    (mean_a |n(p) . n(nearest b)| + mean_b |n(q) . n(nearest a)|) / 2. The absolute value makes it blind to orientation,
    as real meshes are inconsistently oriented; unrelated directions give 1/2, not 0. Two samples of one smooth surface
    fall short of 1 by (curvature squared) x (sample spacing squared).

    Args:
        a: Points with unit normals.
        b: Others of another surface.

    Raises:
        ValueError: A set is empty, not (n, 3), or not finite.
    """
    return match(a.points, b.points).normal_consistency(a.normals, b.normals)


def emd(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> float:
    """Return the earth mover's distance: the least mean |p - q| over all one-to-one matchings, exactly, in their unit.

    Not an auction that is stopped early, not a soft matching, not squared, not a sum: all four are in use under this
    name. Two samples of one surface do not reach 0; the value falls about as sqrt(A log(n) / n).

    Args:
        a: A point set.
        b: Another point set.

    Raises:
        ValueError: A set is empty, not (n, 3) or not finite, or they differ in size.
    """
    from geomflow.ops import nearest_assignment

    return float(nearest_assignment(*_clouds(a, b)).distance)


def sinkhorn(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"], blur: float = 0.05) -> float:
    """Return the debiased Sinkhorn divergence of cost |p - q|^2 (Feydy et al., 2019), in the points' unit squared.

    Args:
        a: Points (n, 3).
        b: Points (m, 3), of any number.
        blur: Length below which points are not told apart, in the points' unit.

    Raises:
        ValueError: A set is empty, not (n, 3) or not finite, or the blur is not positive.
    """
    from geomflow.ops import sinkhorn_distance

    return float(sinkhorn_distance(*_clouds(a, b), blur=blur))


def point_to_surface(points: Float[np.ndarray, "n 3"], mesh: trimesh.Trimesh) -> Float[np.ndarray, " n"]:
    """Return the exact distance (n,) of each point to a mesh, in their unit; no noise floor, as nothing is sampled.

    Args:
        points: The points.
        mesh: The mesh.

    Raises:
        MeshHasNoFaces: There is no face.
        ValueError: The points are no non-empty finite array (n, 3).
    """
    return SignedDistanceField(mesh).unsigned(checked_points("points", points)).astype(np.float64)


def _clouds(a: np.ndarray, b: np.ndarray) -> list[Any]:
    """Both sets as batches of one cloud in float64."""
    import torch

    named = (("a", a), ("b", b))
    return [torch.from_numpy(np.array(checked_points(name, one), dtype=np.float64))[None] for name, one in named]


def checked_points(name: str, points: Float[np.ndarray, "..."]) -> Float[np.ndarray, "n 3"]:
    """Return `points` if they are a non-empty finite array (n, 3).

    Args:
        name: What errors call the points.
        points: The points.

    Raises:
        ValueError: They are not; the message begins with `name`.
    """
    if points.ndim != 2 or points.shape[-1] != 3 or not len(points):
        raise ValueError(f"{name} must be points of shape (n, 3) with n at least 1, given shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} must be finite, given NaN or infinite coordinates")
    return points


def _nearest(points: np.ndarray, tree: KDTree, workers: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = tree.query(points, workers=workers)
    return np.asarray(distances), np.asarray(indices)
