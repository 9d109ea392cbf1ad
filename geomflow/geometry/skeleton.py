"""From a cloud of points near joints to a skeleton: the joints, and the tree that ties them inside the shape."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Integer
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree, shortest_path
from scipy.spatial.distance import squareform

Outside = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]
"""Signed distance of points, negative inside."""

BETWEEN = 16
"""Points of a bone at which it is checked that it runs inside the shape."""

DETOUR = 4.0
"""How much longer a bone counts where it runs outside."""


def without_strays(points: Float[np.ndarray, "n 3"], distance: Outside, farthest: float) -> Float[np.ndarray, "m 3"]:
    """Return the points that are no farther outside of a shape than some distance; all of them if none is.

    Args:
        points: Points about joints, which lie inside of a shape or near its surface.
        distance: The shape's signed distance.
        farthest: Distance outside, in the points' unit.
    """
    near = distance(points) <= farthest
    return points[near] if near.any() else points


def cluster_joints(
    points: Float[np.ndarray, "n 3"], radius: float, least: float = 0.6
) -> tuple[Float[np.ndarray, "j 3"], Float[np.ndarray, " j"]]:
    """Return the centres of clusters of points, largest cluster first, and the root mean square spread about each.

    Clusters are those of average linkage: two join if their points are nearer than `radius` to each other on average.

    Args:
        points: Points that lie at joints, many at each.
        radius: Distance in the points' unit.
        least: Clusters with fewer points than this share of the mean one are strays and left out.

    Raises:
        ValueError: There are no points, or the radius is not positive.
    """
    if len(points) == 0 or not radius > 0:
        raise ValueError(f"wanted at least one point and a positive radius, given {len(points)} and {radius}")
    group = fcluster(linkage(points, "average"), radius, "distance") - 1 if len(points) > 1 else np.zeros(1, dtype=int)
    counts = np.bincount(group)
    kept = sorted(np.flatnonzero(counts >= least * len(points) / len(counts)), key=lambda one: -counts[one])
    members = [points[group == one] for one in kept]
    spreads = [np.sqrt(np.square(own - own.mean(0)).sum(1).mean()) for own in members]
    return np.stack([own.mean(0) for own in members]), np.array(spreads)


def skeleton_tree(joints: Float[np.ndarray, "j 3"], distance: Outside) -> Integer[np.ndarray, " j"]:
    """Return the parent of each joint, -1 for the root, in the shortest tree of bones that run inside the shape.

    A bone's length counts `DETOUR` times where it runs outside. The root is the joint from which the farthest of the
    others is nearest, along bones.

    Args:
        joints: Positions.
        distance: The shape's signed distance.
    """
    count = len(joints)
    if count == 1:
        return np.array([-1])
    first, second = np.triu_indices(count, 1)
    places = np.linspace(0, 1, BETWEEN + 2)[1:-1, None, None]
    along = joints[first] + places * (joints[second] - joints[first])
    outside = (distance(along.reshape(-1, 3)).reshape(BETWEEN, -1) > 0).mean(0)
    lengths = np.linalg.norm(joints[second] - joints[first], axis=1) * (1 + (DETOUR - 1) * outside)
    tree = minimum_spanning_tree(squareform(np.maximum(lengths, 1e-9)))
    return _parents(tree + tree.T, _middle(tree, count))


def _middle(tree: object, count: int) -> int:
    return int(shortest_path(tree, directed=False).max(axis=1).argmin())


def _parents(tree: object, root: int) -> np.ndarray:
    parents = breadth_first_order(tree, root, directed=False)[1]
    return np.where(parents < 0, -1, parents)
