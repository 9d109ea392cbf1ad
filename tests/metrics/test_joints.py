"""Metrics of joints: closed forms of local diameters, matches that are known, chamfer by hand."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry.primitives import Sphere
from geomflow.metrics.joints import joint_chamfer, joint_metrics, local_diameters, match_joints

TUBE = trimesh.creation.cylinder(radius=0.2, height=6.0, sections=256)
"""Along z."""


def on_axis(*heights: float) -> np.ndarray:
    return np.array([[0.0, 0.0, height] for height in heights])


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_along_a_cylinder_in_a_ball_and_in_a_plate_the_diameter_is_known(scale: float):
    tube = TUBE.copy().apply_scale(scale)
    np.testing.assert_allclose(local_diameters(scale * on_axis(-1.5, 0, 1), tube), scale * 0.4, rtol=2e-3)
    ball = Sphere(0.3).mesh().apply_translation([3, 0, 0]).apply_scale(scale)
    np.testing.assert_allclose(local_diameters(scale * np.array([[3.0, 0, 0]]), ball), scale * 0.6, rtol=1e-3)
    plate = trimesh.creation.box((4, 4, 0.2)).apply_scale(scale)
    np.testing.assert_allclose(local_diameters(scale * on_axis(0, 0.1, 0.3), plate), scale * 0.2, rtol=1e-3)


def test_joints_on_and_outside_the_surface_have_the_diameter_of_the_limb_there():
    thin = trimesh.creation.cylinder(radius=0.05, height=4.0, sections=128).apply_translation([0, 0, 5])
    both = trimesh.util.concatenate([TUBE, thin])
    found = local_diameters(np.array([[0.2, 0, 0], [0.3, 0, 1], [0.05, 0, 6], [0, 0.1, 5]]), both)
    np.testing.assert_allclose(found, [0.4, 0.4, 0.1, 0.1], rtol=5e-3)


def test_which_way_faces_look_does_not_matter_and_sheets_have_no_diameter():
    inside_out = trimesh.Trimesh(TUBE.vertices, TUBE.faces[:, ::-1], process=False)
    np.testing.assert_allclose(local_diameters(on_axis(0), inside_out), 0.4, rtol=2e-3)
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    assert local_diameters(on_axis(0, 1), sheet).tolist() == [0, 0]


def test_permuted_joints_are_perfect():
    joints = on_axis(-2, -1, 0, 1, 2)
    found = joint_metrics(joints[[3, 0, 4, 1, 2]], joints, TUBE)
    assert (found.chamfer, found.precision, found.recall, found.iou) == (0, 1, 1, 1)


def test_a_missing_and_a_surplus_joint_cost_what_they_should():
    joints = on_axis(-2, -1, 0, 1, 2)
    missing = joint_metrics(joints[:4], joints, TUBE)
    assert (missing.precision, missing.recall) == (1, 0.8)
    assert missing.iou == pytest.approx(8 / 9)
    assert missing.chamfer == pytest.approx(1 / 5 / 2 / 6)  # one of five is 1 away, the longest edge is 6
    surplus = joint_metrics(joints, joints[:4], TUBE)
    assert (surplus.precision, surplus.recall) == (0.8, 1)
    assert (surplus.iou, surplus.chamfer) == (pytest.approx(missing.iou), pytest.approx(missing.chamfer))


@pytest.mark.parametrize(("step", "matched"), [(0.199, 5), (0.202, 4)])
def test_a_moved_joint_is_matched_within_half_the_diameter(step: float, matched: int):
    joints = on_axis(-2, -1, 0, 1, 2)
    moved = joints + np.eye(5)[:, 2:3] * [0, 0, step]
    found = joint_metrics(moved, joints, TUBE)
    assert (found.precision, found.recall, found.iou) == (matched / 5, matched / 5, pytest.approx(matched / 5))
    assert found.chamfer == pytest.approx(step / 5 / 6)


def test_metrics_do_not_depend_on_the_unit():
    rng = np.random.default_rng(0)
    joints, predicted = on_axis(-2, 0, 2), rng.normal(0, 0.1, (4, 3))
    one = joint_metrics(predicted, joints, TUBE)
    other = joint_metrics(7 * predicted + 3, 7 * joints + 3, TUBE.copy().apply_scale(7).apply_translation([3, 3, 3]))
    assert other.chamfer == pytest.approx(one.chamfer)
    assert (other.precision, other.recall, other.iou) == (one.precision, one.recall, one.iou)


def test_each_joint_is_matched_once_by_the_least_sum_of_distances():
    reference, tolerance = on_axis(0, 1), np.full(2, 0.3)
    assert match_joints(on_axis(0, 0.1), reference, tolerance) == (0.5, 0.5, 0.5)
    assert match_joints(on_axis(0.2, 0.9), reference, np.array([0.1, 0.1 + 1e-9])) == (0.5, 0.5, 0.5)


def test_chamfer_is_the_mean_of_both_directions_over_the_size():
    assert joint_chamfer(on_axis(0, 3), on_axis(0), size=2.0) == pytest.approx((1.5 + 0) / 2 / 2)


def test_bad_arguments_are_named(unchecked_shapes):
    joints = on_axis(0, 1)
    with pytest.raises(ValueError, match="predicted must be points"):
        match_joints(np.zeros((0, 3)), joints, np.ones(2))
    with pytest.raises(ValueError, match="each of 2 joints, given 1"):
        match_joints(joints, joints, np.ones(1))
    with pytest.raises(ValueError, match="size must be positive, not 0"):
        joint_chamfer(joints, joints, size=0)
    with pytest.raises(ValueError, match="count must be at least 1"):
        local_diameters(joints, TUBE, count=0)
    with pytest.raises(ValueError, match="joints must be finite"):
        local_diameters(joints * np.nan, TUBE)
