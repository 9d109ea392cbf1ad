"""Points gathered to joints, and the tree of bones that runs inside a shape."""

import numpy as np
import pytest

from geomflow.geometry.primitives import Box, Difference, Moved
from geomflow.geometry.skeleton import cluster_joints, skeleton_tree, without_strays


def test_points_about_joints_are_gathered_and_strays_left_out():
    rng = np.random.default_rng(0)
    joints = rng.uniform(-1, 1, (12, 3))
    while True:  # far enough apart
        gaps = np.linalg.norm(joints[:, None] - joints, axis=2) + 9 * np.eye(12)
        if gaps.min() > 0.3:
            break
        joints[gaps.min(1).argmin()] = rng.uniform(-1, 1, 3)
    points = np.repeat(joints, 20, axis=0) + 0.01 * rng.normal(size=(240, 3))
    found, spread = cluster_joints(np.concatenate([points, [[3.0, 0, 0]]]), 0.1)
    assert len(found) == 12
    nearest = np.linalg.norm(found[:, None] - joints, axis=2).min(1)
    assert nearest.max() < 0.01
    np.testing.assert_allclose(spread, 0.01 * 3**0.5, rtol=0.4)


def test_strays_are_points_far_outside():
    ball = lambda points: np.linalg.norm(points, axis=1) - 1  # noqa: E731
    points = np.array([[0.0, 0, 0], [0, 1.05, 0], [0, 0, 1.2]])
    np.testing.assert_array_equal(without_strays(points, ball, 0.1), points[:2])
    np.testing.assert_array_equal(without_strays(points[2:], ball, 0.1), points[2:])


def test_a_joint_has_its_share_of_the_points():
    """Three clusters of 11, 10 and 5 or 6 points: a joint needs 0.6 of their mean number, 5.2 or 5.4."""
    places = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    for count, wanted in ((5, 2), (6, 3)):
        points = np.repeat(places, [11, 10, count], axis=0)
        assert len(cluster_joints(points, 0.1, least=0.6)[0]) == wanted
    assert len(cluster_joints(np.repeat(places, [11, 10, 1], axis=0), 0.1, least=0.0)[0]) == 3


def test_one_point_is_a_joint_and_none_is_an_error():
    np.testing.assert_array_equal(cluster_joints(np.ones((1, 3)), 0.1)[0], [[1, 1, 1]])
    with pytest.raises(ValueError, match="at least one point and a positive radius, given 0 and"):
        cluster_joints(np.zeros((0, 3)), 0.1)
    with pytest.raises(ValueError, match="given 5 and -1"):
        cluster_joints(np.zeros((5, 3)), -1.0)


def test_bones_go_round_a_gap_and_not_across():
    """A U: its two ends are near each other, but only through the air."""
    shape = Difference(Box((0.5, 0.5, 0.2)), Moved(Box((0.15, 0.5, 0.3)), (0.0, 0.3, 0.0)))
    left = [(-0.32, y, 0.0) for y in (0.4, 0.1, -0.35)]
    right = [(0.32, y, 0.0) for y in (-0.35, 0.1, 0.4)]
    joints = np.array([*left, *right])
    parents = skeleton_tree(joints, shape)
    bones = {frozenset((i, int(parent))) for i, parent in enumerate(parents) if parent >= 0}
    assert bones == {frozenset((i, i + 1)) for i in range(5)}
    assert (parents < 0).sum() == 1
    assert int(np.flatnonzero(parents < 0)[0]) in (2, 3)  # the middle of the chain


def test_every_joint_hangs_on_the_root():
    joints = np.random.default_rng(1).uniform(-1, 1, (30, 3))
    parents = skeleton_tree(joints, lambda points: -np.ones(len(points)))
    at = np.arange(30)
    for _ in range(30):
        at = np.where(parents[at] < 0, at, parents[at])
    assert len(set(at.tolist())) == 1
    np.testing.assert_array_equal(skeleton_tree(joints[:1], lambda points: points[:, 0]), [-1])
