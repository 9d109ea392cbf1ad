"""Jensen-Shannon divergence against closed values, and inside its band for one law."""

import numpy as np
import pytest

from geomflow.metrics import jensen_shannon


def spots(*places: float) -> np.ndarray:
    """Four equal shapes of one point at each place along x."""
    return np.tile(np.array([[x, 0.0, 0.0] for x in places]), (4, 1, 1))


def test_closed_values():
    reference = spots(0, 1)
    assert jensen_shannon(reference, reference, draws=20).value == 0
    # P = (1), Q = (1/2, 1/2): H(3/4, 1/4) - H(1/2, 1/2) / 2 = 0.8113 - 0.5
    assert jensen_shannon(spots(0, 0), reference, draws=20).value == pytest.approx(0.3112781)
    assert jensen_shannon(spots(0.5, 0.5), reference, draws=20).value == pytest.approx(1)


def test_points_outside_count_in_the_nearest_cell():
    assert jensen_shannon(spots(-9, 1), spots(0, 1), draws=20).value == 0


def test_a_second_sample_of_one_law_is_inside_the_band_and_not_zero():
    rng = np.random.default_rng(0)
    sizes = rng.uniform(0.5, 1, (60, 1, 3))
    clouds = sizes * rng.uniform(-1, 1, (60, 200, 3))
    found = jensen_shannon(clouds[:30], clouds[30:], draws=200)
    assert 0 < found.null.low <= found.value <= found.null.high
    assert found.interval.low < found.value < found.interval.high
    moved = jensen_shannon(clouds[:30] + 0.4, clouds[30:], draws=200)
    assert moved.value > moved.null.high


def test_order_of_shapes_and_points_does_not_matter():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 6, 30, 3))
    shuffled = rng.permutation(rng.permutation(a, axis=0), axis=1)
    assert jensen_shannon(shuffled, b, draws=5).value == pytest.approx(jensen_shannon(a, b, draws=5).value)
    with pytest.raises(ValueError, match="resolution must be at least 1, not 0"):
        jensen_shannon(a, b, resolution=0)
