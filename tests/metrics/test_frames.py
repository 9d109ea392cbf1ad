"""Frames: what normalising makes of clouds, and which sets are refused."""

import numpy as np
import pytest

from geomflow.errors import EvaluationError
from geomflow.metrics.frames import TURNS, check_frames, frame_of


def chairs(count: int, seed: int) -> np.ndarray:
    """Points of seats with backs, +y up and the back at -z, of random sizes (count, 400, 3)."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.8, 1.2, (count, 1, 3))
    seat = rng.uniform((-0.4, 0, -0.4), (0.4, 0.05, 0.4), (count, 200, 3))
    back = rng.uniform((-0.4, 0, -0.4), (0.4, 0.9, -0.35), (count, 200, 3))
    return size * np.concatenate([seat, back], axis=1)


def test_the_global_frame_is_pointflows():
    clouds = chairs(5, 0) * 3 + 7
    frame = frame_of("global", clouds)
    np.testing.assert_allclose(frame.mean, clouds.reshape(-1, 3).mean(axis=0))
    assert frame.std == pytest.approx(clouds.reshape(-1).std())
    np.testing.assert_allclose(frame.apply(clouds).mean(axis=(0, 1)), 0, atol=1e-12)


def test_the_box_frame_forgets_place_and_size_but_not_proportions():
    clouds = chairs(4, 0)
    boxed = frame_of("box", clouds).apply(clouds)
    np.testing.assert_allclose(np.abs(boxed).max(axis=(1, 2)), 1)
    np.testing.assert_allclose((boxed.max(axis=1) + boxed.min(axis=1)), 0, atol=1e-12)
    moved = frame_of("box", clouds).apply(clouds * 9 - 4)
    np.testing.assert_allclose(moved, boxed, atol=1e-12)
    extents = np.ptp(clouds, axis=1)
    np.testing.assert_allclose(np.ptp(boxed, axis=1), 2 * extents / extents.max(axis=1, keepdims=True))
    assert (frame_of("box", clouds).apply(np.ones((1, 3, 3))) == 0).all()


def test_there_are_24_turns_and_the_first_is_none():
    assert len({turn.tobytes() for turn in TURNS}) == len(TURNS) == 24
    assert (TURNS[0] == np.eye(3)).all()
    assert all(np.linalg.det(turn) == 1 for turn in TURNS)


def test_sets_of_one_frame_pass():
    for count in (5, 30):
        for own in (False, True):
            check_frames(chairs(count, 0), chairs(count, 1), "generated", own)


@pytest.mark.parametrize("scale", [100, 1.9, 0.7, 1 / 30])
def test_other_units_are_errors_where_all_shapes_share_a_frame(scale):
    with pytest.raises(EvaluationError, match=r"generated and reference shapes are in different frames: spread"):
        check_frames(chairs(20, 0) * scale, chairs(20, 1), "generated")
    check_frames(chairs(20, 0) * scale, chairs(20, 1), "generated", each_its_own=True)


def test_other_places_are_errors():
    with pytest.raises(EvaluationError, match=r"training and reference shapes are in different frames"):
        check_frames(chairs(20, 0) + 5, chairs(20, 1), "training")


@pytest.mark.parametrize(
    ("turn", "said"),
    [(([0, 2, 1], [1, -1, 1]), "x z -y"), (([2, 1, 0], [-1, 1, 1]), "z y -x"), (([0, 1, 2], [-1, 1, -1]), "-x y -z")],
)
def test_another_axis_up_or_in_front_is_an_error_that_says_how_to_turn(turn, said):
    order, signs = turn
    turned = chairs(30, 0)[:, :, order] * signs
    with pytest.raises(EvaluationError, match=rf"seem turned: with \({said}\) for \(x y z\) they are \d+\.\d times"):
        check_frames(turned, chairs(30, 1), "generated", each_its_own=True)


def test_a_poor_model_is_no_other_frame():
    reference = chairs(30, 1)
    blobs = np.random.default_rng(0).normal(0, 1, (30, 400, 3)) * reference.std(axis=(0, 1)) + reference.mean(
        axis=(0, 1)
    )
    check_frames(blobs, reference, "generated")
