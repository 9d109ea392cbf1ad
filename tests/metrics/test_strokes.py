"""Agreement of drawings: equal ones, shifted ones whose distance is known, and what must not matter."""

import numpy as np
import pytest

from geomflow.metrics.strokes import compare_strokes, stroke_chamfers, stroke_similarities


def drawings(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (n, 3, 6, 2))


def straight(x: float) -> np.ndarray:
    """One drawing of one upright line."""
    return np.stack([np.full(4, x), np.linspace(-0.6, 0.6, 4)], axis=1)[None, None]


def test_equal_drawings_agree_whatever_the_order_and_direction_of_their_strokes():
    a = drawings(4)
    for b in (a, a[:, ::-1], a[:, :, ::-1], a[:, [1, 2, 0]]):
        result = compare_strokes(a, b)
        assert result.similarity == pytest.approx(1, abs=1e-9)
        assert result.chamfer == pytest.approx(0, abs=1e-12)
        assert (result.drawings, result.size, result.width) == (4, 64, 1 / 16)


@pytest.mark.parametrize("shift", [0.01, 0.2])
def test_two_parallel_lines_are_twice_their_distance_apart(shift):
    np.testing.assert_allclose(stroke_chamfers(straight(0.1), straight(0.1 + shift)), 2 * shift, rtol=1e-9)


def test_the_chamfer_distance_is_a_length():
    a, b = drawings(3), drawings(3, seed=1)
    np.testing.assert_allclose(stroke_chamfers(0.5 * a + 0.1, 0.5 * b + 0.1), 0.5 * stroke_chamfers(a, b), rtol=1e-9)


def test_the_farther_a_line_moves_the_less_similar_is_its_picture():
    moved = [float(stroke_similarities(straight(0.1), straight(0.1 + shift))[0]) for shift in (0, 0.01, 0.03, 0.06)]
    assert moved[0] == pytest.approx(1, abs=1e-12)
    assert (np.diff(moved) < -0.01).all()


def test_pairs_are_compared_each_with_its_own_and_averaged():
    a, b = drawings(5), drawings(5, seed=1)
    each = [compare_strokes(a[i : i + 1], b[i : i + 1]) for i in range(5)]
    whole = compare_strokes(a, b)
    assert whole.similarity == pytest.approx(np.mean([one.similarity for one in each]), abs=1e-12)
    assert whole.chamfer == pytest.approx(np.mean([one.chamfer for one in each]), abs=1e-12)
    for mean, (low, high) in ((whole.similarity, whole.similarity_interval), (whole.chamfer, whole.chamfer_interval)):
        assert low < mean < high
    swapped = compare_strokes(b, a)
    assert (swapped.similarity, swapped.chamfer) == pytest.approx((whole.similarity, whole.chamfer), abs=1e-12)


def test_a_line_drawn_by_one_stroke_or_by_two_is_nearly_the_same():
    halves = np.stack([np.full((2, 4), 0.1), np.linspace([-0.6, 0], [0, 0.6], 4, axis=1)], axis=-1)[None]
    result = compare_strokes(straight(0.1), halves)
    assert result.similarity == pytest.approx(1, abs=1e-9)
    assert 0 < result.chamfer < 1.2 / 32


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="must be as many drawings, given 2 and 3"):
        compare_strokes(drawings(2), drawings(3))
    with pytest.raises(ValueError, match=r"generated must be finite control points .*, given shape \(0, 3, 6, 2\)"):
        compare_strokes(drawings(0), drawings(0))
    with pytest.raises(ValueError, match="reference must be finite control points"):
        compare_strokes(drawings(2), np.full((2, 3, 6, 2), np.inf))
