"""Calibration by simulation: bands hold what they promise, intervals cover the truth, and known faults are found."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from geomflow.metrics import bootstrap_interval, null_band, pool_distances, set_metrics
from geomflow.metrics.sets import coverage, minimum_matching_distance, one_nearest_neighbour_accuracy
from geomflow.metrics.statistics import half_intervals, null_bands

DIMENSION = 5
"""Of the normal laws that stand for shapes: metrics read distances only, so any metric space tests them."""


def matrices(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d_gg, d_gr, d_rr of two sets of vectors."""
    return cdist(generated, generated), cdist(generated, reference), cdist(reference, reference)


def test_the_95_percent_band_covers_93_to_97_percent_of_200_pairs_of_sets():
    rng = np.random.default_rng(2)
    inside = []
    for seed in range(200):
        d = matrices(*rng.normal(size=(2, 60, DIMENSION)))
        low, high = null_band(pool_distances(*d), 60, draws=400, seed=seed)
        inside.append(low <= one_nearest_neighbour_accuracy(*d) <= high)
    assert 0.93 <= np.mean(inside) <= 0.97


def test_all_bands_cover_sets_of_one_law_at_the_stated_rate():
    rng = np.random.default_rng(1)
    inside: dict[str, list[bool]] = {"1-nna": [], "coverage": [], "mmd": []}
    for seed in range(80):
        found = set_metrics(*matrices(*rng.normal(size=(2, 40, DIMENSION))), draws=100, seed=seed)
        for name, estimate in found.items():
            inside[name].append(estimate.null.low <= estimate.value <= estimate.null.high)
    for name, hits in inside.items():
        assert 0.9 <= np.mean(hits) <= 1, name


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_intervals_cover_the_expected_value_and_no_more(shift):
    """The truth is the mean over many pairs of sets of the same sizes; widths are 1 to 1.43 times what is needed."""
    rng = np.random.default_rng(3)

    def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        generated, reference = rng.normal(size=(2, 40, DIMENSION))
        return matrices(generated + shift * np.eye(DIMENSION)[0], reference)

    many = [pair() for _ in range(600)]
    truth = {
        "1-nna": np.mean([one_nearest_neighbour_accuracy(*d) for d in many]),
        "coverage": np.mean([coverage(d[1]) for d in many]),
        "mmd": np.mean([minimum_matching_distance(d[1]) for d in many]),
    }
    found = [set_metrics(*pair(), draws=100, seed=seed) for seed in range(100)]
    for name, value in truth.items():
        hits = [row[name].interval.low <= value <= row[name].interval.high for row in found]
        half = np.mean([row[name].interval.high - row[name].interval.low for row in found]) / 2
        spread = np.std([row[name].value for row in found])
        assert np.mean(hits) >= 0.88, name
        assert 0.8 < half / (1.96 * spread) < 1.6, name


def test_power_against_a_shift_and_a_lost_mode():
    """A shift by 1.8 deviations and the loss of one mode of four are found in 40 of 50 pairs of 60 shapes."""
    rng = np.random.default_rng(4)
    shifted, dropped = 0, 0
    for seed in range(50):
        reference = rng.normal(size=(60, DIMENSION))
        d = matrices(rng.normal(size=(60, DIMENSION)) + 1.8 * np.eye(DIMENSION)[0], reference)
        shifted += one_nearest_neighbour_accuracy(*d) > null_band(pool_distances(*d), 60, draws=100, seed=seed).high
        modes = 10 * np.eye(DIMENSION)[:4]
        reference = modes[rng.integers(4, size=60)] + rng.normal(size=(60, DIMENSION))
        lacking = modes[rng.integers(3, size=60)] + rng.normal(size=(60, DIMENSION))
        found = set_metrics(*matrices(lacking, reference), draws=100, seed=seed)
        dropped += found["mmd"].value > found["mmd"].null.high
    assert shifted >= 40
    assert dropped >= 40


def test_bands_of_a_known_law():
    """The label of the first shape is a coin: its band holds both faces, that of a constant is the constant."""
    found = null_bands(lambda g, _: {"coin": float(0 in g), "one": 1.0}, 5, 5, draws=200)
    assert found == {"coin": (0.0, 1.0), "one": (1.0, 1.0)}


def test_halves_of_a_mean_have_the_width_of_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)

    def mean(generated: np.ndarray, _: np.ndarray) -> dict[str, float]:
        return {"mean": float(values[generated].mean())}

    low, high = half_intervals(mean, 400, 1, draws=2000)["mean"]
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.03)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_bootstrap_interval_has_the_width_of_the_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap_interval(values, draws=2000)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.03)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="values must be finite numbers"):
        bootstrap_interval(np.array([np.nan]))
    with pytest.raises(ValueError, match="level must be between 0 and 1, not 95"):
        bootstrap_interval(np.ones(3), level=95.0)
