"""Set metrics: hand examples, exact counts, and calibration of the null band by simulation."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from geomflow.metrics import (
    coverage,
    duplicates,
    minimum_matching_distance,
    nearest,
    null_band,
    one_nearest_neighbour_accuracy,
    pairwise_chamfer,
    pool_distances,
    sampling_floors,
    set_metrics,
)


def matrices(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d_gg, d_gr, d_rr of two sets of vectors: any metric space tests metrics that read distances only."""
    return cdist(generated, generated), cdist(generated, reference), cdist(reference, reference)


def shapes(count: int, seed: int, points: int = 60) -> np.ndarray:
    """Random ellipsoids (count, points, 3)."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, points, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    return directions * rng.uniform(0.2, 1, size=(count, 1, 3))


def test_hand_example():
    generated, reference = np.array([[0.0], [1.0], [10.0]]), np.array([[0.4], [10.5], [20.0]])
    d_gg, d_gr, d_rr = matrices(generated, reference)
    # nearest others: 0 -> .4, 1 -> .4, 10 -> 10.5 (all wrong); .4 -> 0, 10.5 -> 10 (wrong), 20 -> 10.5 (right)
    assert one_nearest_neighbour_accuracy(d_gg, d_gr, d_rr) == pytest.approx(1 / 6)
    assert coverage(d_gr) == pytest.approx(2 / 3)
    assert minimum_matching_distance(d_gr) == pytest.approx((0.4 + 0.5 + 10) / 3)
    assert nearest(d_gr).indices.tolist() == [0, 0, 1]
    assert nearest(d_gg, exclude_self=True).indices.tolist() == [1, 0, 1]


def test_ties_are_shared():
    d_gg, d_gr, d_rr = matrices(np.array([[0.0]]), np.array([[-1.0], [1.0]]))
    # 0 is between two references (wrong); each reference is nearest to 0 (wrong)
    assert one_nearest_neighbour_accuracy(d_gg, d_gr, d_rr) == 0
    same = np.zeros((4, 4))
    # every shape equally near: one of three others has the same label
    assert one_nearest_neighbour_accuracy(same[:2, :2], same[:2, 2:], same[2:, 2:]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("generated", "reference"), [(20, 20), (10, 30)])
def test_the_null_mean_is_the_stated_probability(generated, reference):
    total = generated + reference
    points = np.random.default_rng(0).normal(size=(total, 4))
    draws = []
    for seed in range(400):
        shuffled = np.random.default_rng(seed).permutation(points)
        draws.append(one_nearest_neighbour_accuracy(*matrices(shuffled[:generated], shuffled[generated:])))
    expected = (generated * (generated - 1) + reference * (reference - 1)) / (total * (total - 1))
    assert np.mean(draws) == pytest.approx(expected, abs=float(4 * np.std(draws) / 20))


@pytest.mark.parametrize(("generated", "reference"), [pytest.param(40, 40, marks=pytest.mark.slow), (30, 60)])
def test_band_covers_sets_of_one_law_at_the_stated_rate(generated, reference):
    rng = np.random.default_rng(1)
    inside = []
    for seed in range(300):
        d = matrices(rng.normal(size=(generated, 5)), rng.normal(size=(reference, 5)))
        low, high = null_band(pool_distances(*d), generated, draws=300, seed=seed)
        inside.append(low <= one_nearest_neighbour_accuracy(*d) <= high)
    assert 0.93 <= np.mean(inside) <= 0.98


def test_band_of_64_shapes_is_as_wide_as_the_docs_need():
    points = np.random.default_rng(0).normal(size=(128, 8))
    low, high = null_band(cdist(points, points), 64)
    assert 0.36 < low < 0.42
    assert 0.56 < high < 0.64
    narrow = null_band(cdist(points, points), 64, level=0.5)
    assert low < narrow.low < narrow.high < high


def test_a_shifted_set_is_told_apart():
    rng = np.random.default_rng(0)
    d = matrices(rng.normal(size=(50, 3)) + 10, rng.normal(size=(50, 3)))
    assert one_nearest_neighbour_accuracy(*d) == 1
    slight = matrices(rng.normal(size=(50, 3)) + 1, rng.normal(size=(50, 3)))
    assert one_nearest_neighbour_accuracy(*slight) > null_band(pool_distances(*slight), 50).high


def test_copies_of_the_references_fall_below_the_band():
    points = np.random.default_rng(0).normal(size=(40, 3))
    d = matrices(points, points)
    assert one_nearest_neighbour_accuracy(*d) == 0
    assert null_band(pool_distances(*d), 40).low > 0


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_mode_drop_lowers_coverage_by_the_dropped_share(kept):
    rng = np.random.default_rng(0)
    modes = np.repeat(np.arange(5) * 100.0, 8)[:, None] + rng.normal(size=(40, 1))
    d_gr = cdist(modes[: 8 * kept] + 1e-6, modes)
    assert coverage(d_gr) == kept / 5
    assert minimum_matching_distance(d_gr) == pytest.approx(d_gr.min(axis=0).mean())
    assert (minimum_matching_distance(d_gr) < 1e-5) == (kept == 5)


def test_coverage_of_one_law_in_a_plane_is_as_documented():
    rng = np.random.default_rng(0)
    values = [coverage(cdist(rng.random((400, 2)), rng.random((400, 2)))) for _ in range(10)]
    assert np.mean(values) == pytest.approx(0.59, abs=0.015)


def test_collapse_to_one_shape_covers_one_reference():
    d_gr = cdist(np.zeros((20, 2)), np.random.default_rng(0).normal(size=(20, 2)))
    assert coverage(d_gr) == 1 / 20


def test_duplicates_of_training_shapes_are_seen():
    training, fresh = shapes(10, 0), shapes(3, 1)
    generated = np.concatenate([fresh, training[[7, 2]]])
    found = nearest(pairwise_chamfer(generated, training))
    assert found.indices[3:].tolist() == [7, 2]
    assert (found.distances[3:] == 0).all()
    assert (found.distances[:3] > 0).all()


def test_second_samples_of_training_shapes_are_duplicates_and_fresh_shapes_are_not():
    rng = np.random.default_rng(0)
    axes = rng.uniform(0.2, 1, size=(12, 1, 3))

    def drawn(seed: int) -> np.ndarray:
        directions = np.random.default_rng(seed).normal(size=(12, 500, 3))
        return axes * directions / np.linalg.norm(directions, axis=2, keepdims=True)

    training, again, fresh = drawn(1), drawn(2), shapes(12, 3, points=500)
    floors = sampling_floors(training)
    assert duplicates(nearest(pairwise_chamfer(again, training)), floors).all()
    assert not duplicates(nearest(pairwise_chamfer(fresh, training)), floors).any()


def test_shapes_of_one_law_and_of_another_through_the_whole_chain():
    generated, reference, flat = shapes(24, 0), shapes(24, 1), shapes(24, 2) * [1, 1, 0.02]
    d_rr = pairwise_chamfer(reference, reference)
    one = set_metrics(pairwise_chamfer(generated, generated), pairwise_chamfer(generated, reference), d_rr, draws=300)
    for estimate in one.values():
        assert estimate.null.low <= estimate.value <= estimate.null.high
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
    other = set_metrics(pairwise_chamfer(flat, flat), pairwise_chamfer(flat, reference), d_rr, draws=300)
    assert other["1-nna"].value > other["1-nna"].null.high
    assert other["coverage"].value < other["coverage"].null.low
    assert other["mmd"].value > other["mmd"].null.high


def test_values_are_those_of_the_plain_functions_and_shares_stay_shares():
    rng = np.random.default_rng(0)
    d = matrices(rng.normal(size=(20, 3)) + 6, rng.normal(size=(30, 3)))
    found = set_metrics(*d, draws=50)
    assert found["1-nna"].value == one_nearest_neighbour_accuracy(*d) == 1
    assert found["coverage"].value == coverage(d[1])
    assert found["mmd"].value == minimum_matching_distance(d[1])
    assert found["1-nna"].interval.high <= 1
    assert found == set_metrics(*d, draws=50)
    assert found["mmd"].interval != set_metrics(*d, draws=50, seed=1)["mmd"].interval


def test_metrics_are_blind_to_the_order_of_shapes():
    rng = np.random.default_rng(0)
    generated, reference = rng.normal(size=(15, 3)), rng.normal(size=(20, 3))
    d = matrices(generated, reference)
    shuffled = matrices(rng.permutation(generated), rng.permutation(reference))
    assert one_nearest_neighbour_accuracy(*shuffled) == one_nearest_neighbour_accuracy(*d)
    assert coverage(shuffled[1]) == coverage(d[1])
    assert minimum_matching_distance(shuffled[1]) == pytest.approx(minimum_matching_distance(d[1]))


def test_bad_input_is_named():
    square = np.ones((3, 3))
    with pytest.raises(ValueError, match=r"d_gg and d_rr must be \(2, 2\) and \(3, 3\)"):
        one_nearest_neighbour_accuracy(square, square[:2], square)
    with pytest.raises(ValueError, match="n_generated must leave both sets non-empty among 3 shapes, given 3"):
        null_band(square, 3)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        null_band(square, 1, level=95.0)
    with pytest.raises(ValueError, match="d_all must be a square matrix"):
        null_band(square[:2], 1)
    with pytest.raises(ValueError, match="non-empty finite matrix"):
        coverage(np.full((2, 2), np.inf))
