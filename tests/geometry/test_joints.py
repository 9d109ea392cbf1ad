"""Joints that move a surface: idle ones are left out, coincident ones are one."""

import numpy as np
import pytest

from geomflow.geometry.joints import distinct_joints, moves_any


def skin(*joints: int) -> tuple[np.ndarray, np.ndarray]:
    """One vertex for each of these joints, which alone moves it; joint 0 is named with weight 0 everywhere."""
    moved, weights = np.zeros((len(joints), 4), dtype=np.int64), np.zeros((len(joints), 4))
    moved[:, 0], weights[:, 0] = joints, 1
    return moved, weights


def test_joints_that_move_nothing_are_left_out():
    joints = np.arange(12.0).reshape(4, 3)
    assert moves_any(4, *skin(3, 1, 1)).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(distinct_joints(joints, *skin(3, 1)), joints[[1, 3]])
    assert distinct_joints(joints, skin(1)[0], 0 * skin(1)[1]).shape == (0, 3)


def test_coincident_joints_are_one_at_their_mean_where_the_first_of_them_was():
    joints = np.array([[0, 0, 0], [1, 0, 0], [0, 6e-4, 0], [1, 2e-3, 0], [0, 12e-4, 0]])
    found = distinct_joints(joints, *skin(0, 1, 2, 3, 4))
    np.testing.assert_allclose(found, [[0, 6e-4, 0], [1, 0, 0], [1, 2e-3, 0]], atol=1e-12)  # the first by a chain
    assert len(distinct_joints(joints, *skin(0, 1, 2, 3, 4), tolerance=1e-4)) == 5
    assert len(distinct_joints(joints, *skin(0, 1, 4))) == 3  # the middle of the chain moves nothing


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance must be at least 0, not -1"):
        distinct_joints(np.zeros((1, 3)), *skin(0), tolerance=-1.0)
