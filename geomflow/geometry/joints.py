"""Joints of a rig that move its surface: what can be told of a skeleton from the surface alone."""

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

SAME = 1e-3
"""Distance under which joints are one, in the unit frame."""


def moves_any(
    count: int, skin_joints: Integer[np.ndarray, "v 4"], skin_weights: Float[np.ndarray, "v 4"]
) -> Bool[np.ndarray, " j"]:
    """Return whether each of `count` joints moves any vertex itself.

    Args:
        count: How many joints there are.
        skin_joints: Joints that move each vertex.
        skin_weights: By how much they do.
    """
    return np.isin(np.arange(count), skin_joints[skin_weights > 0])


def distinct_joints(
    joints: Float[np.ndarray, "j 3"],
    skin_joints: Integer[np.ndarray, "v 4"],
    skin_weights: Float[np.ndarray, "v 4"],
    tolerance: float = SAME,
) -> Float[np.ndarray, "k 3"]:
    """Return the places of the joints that move any vertex, those nearer than a tolerance to each other as their mean.

    Joints that move nothing (roots on the ground, tips) are left out: no surface tells where they are. The order is
    that of the first joint at each place.

    Args:
        joints: Positions (j, 3), as in a record or `Rig`.
        skin_joints: Joints that move each vertex (v, 4).
        skin_weights: Their weights (v, 4).
        tolerance: Distance in the joints' unit, not negative; chains of joints that are that near become one.

    Raises:
        ValueError: The tolerance is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must be at least 0, not {tolerance}")
    moving = joints[moves_any(len(joints), skin_joints, skin_weights)]
    pairs = KDTree(moving).query_pairs(tolerance, output_type="ndarray") if len(moving) else np.zeros((0, 2), dtype=int)
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(moving), len(moving)))
    count, group = connected_components(links, directed=False)
    sums = np.zeros((count, 3))
    np.add.at(sums, group, moving)
    return (sums / np.bincount(group, minlength=count)[:, None]).astype(joints.dtype)
