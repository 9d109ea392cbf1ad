"""Strokes against what is known of B-splines in closed form, and their pictures against areas."""

import numpy as np
import pytest

from geomflow.geometry.strokes import (
    evaluate_strokes,
    fit_strokes,
    picture_similarity,
    rasterize_strokes,
    resample_line,
    stroke_basis,
)


def random_strokes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, 2))


@pytest.mark.parametrize("count", [4, 5, 6, 11])
def test_the_basis_is_a_partition_of_unity_of_which_only_the_outer_functions_reach_the_ends(count):
    basis = stroke_basis(count, 57)
    assert (basis >= 0).all()
    np.testing.assert_allclose(basis.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(basis[[0, -1]], np.eye(count)[[0, -1]], atol=1e-14)


def test_with_four_control_points_the_basis_is_bernstein_s():
    u = np.linspace(0, 1, 33)
    bernstein = np.stack([(1 - u) ** 3, 3 * u * (1 - u) ** 2, 3 * u**2 * (1 - u), u**3], axis=1)
    np.testing.assert_allclose(stroke_basis(4, 33), bernstein, atol=1e-14)


@pytest.mark.parametrize("count", [4, 6, 9])
def test_control_points_at_the_greville_abscissae_give_the_parameter_itself(count):
    knots = np.concatenate([np.zeros(3), np.linspace(0, 1, count - 2), np.ones(3)])
    greville = np.array([knots[i + 1 : i + 4].mean() for i in range(count)])
    points = evaluate_strokes(np.stack([greville, 1 - greville], axis=1)[None], 21)[0]
    np.testing.assert_allclose(points[:, 0], np.linspace(0, 1, 21), atol=1e-14)
    np.testing.assert_allclose(points.sum(axis=1), 1, atol=1e-14)


def test_the_second_derivative_has_no_jump_at_the_knots():
    samples = 3 * 400 + 1  # six control points: knots at 1/3 and 2/3
    second = np.diff(evaluate_strokes(random_strokes(1, 6), samples)[0], 2, axis=0) * (samples - 1) ** 2
    assert np.abs(np.diff(second, axis=0)).max() < 0.01 * np.abs(second).max()


def test_evaluating_and_fitting_go_along_with_affine_maps():
    control_points, points = random_strokes(3, 6), random_strokes(3, 20, seed=1)
    matrix, shift = np.array([[1.5, -0.7], [0.2, 0.4]]), np.array([3.0, -1.0])
    for act in (lambda p: evaluate_strokes(p, 17), lambda p: fit_strokes(p, 6)):
        for given in (control_points, points):
            np.testing.assert_allclose(act(given @ matrix + shift), act(given) @ matrix + shift, atol=1e-12)


@pytest.mark.parametrize(("count", "samples"), [(4, 4), (6, 6), (6, 33), (9, 12)])
def test_a_stroke_is_recovered_from_its_own_points(count, samples):
    control_points = random_strokes(2, 3, count)
    np.testing.assert_allclose(fit_strokes(evaluate_strokes(control_points, samples), count), control_points, atol=1e-9)


def test_a_fit_meets_the_ends_and_leaves_what_no_inner_control_point_could_mend():
    points = random_strokes(4, 40)
    fitted = fit_strokes(points, 7)
    np.testing.assert_array_equal(fitted[:, [0, -1]], points[:, [0, -1]])
    left = points - evaluate_strokes(fitted, 40)
    np.testing.assert_allclose(stroke_basis(7, 40)[:, 1:-1].T @ left, 0, atol=1e-12)


def test_a_line_is_divided_into_equal_lengths_wherever_its_points_are():
    angles = np.sort(np.random.default_rng(0).uniform(0, np.pi, 5000))
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = resample_line(arc, 9)
    np.testing.assert_array_equal(points[[0, -1]], arc[[0, -1]])
    turned = np.diff(np.arctan2(points[:, 1], points[:, 0]))
    np.testing.assert_allclose(turned, np.ptp(angles) / 8, rtol=1e-5)


def mean_area(line, width: float, size: int = 32) -> float:
    """Area of a line's picture, averaged over where it lies among the pixels."""
    shifts = np.stack(np.meshgrid(*[np.arange(10) / 10] * 2), axis=-1).reshape(-1, 2) * 2 / size
    pictures = [rasterize_strokes((line + shift)[None], size, width) for shift in shifts]
    return float(np.mean(pictures)) * 4


@pytest.mark.parametrize("width", [0.02, 0.05, 0.13])
@pytest.mark.parametrize("degrees", [0, 17, 45, 90])
def test_a_straight_line_covers_its_length_times_its_width(width, degrees):
    line = np.outer([-0.5, 0.5], [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    ends = mean_area(0.2 * line, width) - 0.2 * width
    assert mean_area(line, width) - ends == pytest.approx(width, rel=0.01)


@pytest.mark.parametrize("width", [0.1, 0.3])
def test_a_dot_is_a_disc_whose_edge_is_one_pixel_soft(width):
    assert mean_area(np.zeros((2, 2)), width) == pytest.approx(np.pi * (width**2 / 4 + 1 / 16**2 / 12), rel=0.01)


def test_x_goes_right_and_y_down_and_a_pixel_s_row_is_filled_by_a_line_along_it():
    line = np.array([[[-0.5, -0.875], [1.5, -0.875]]])  # centre of row 0 of 8, from the middle of columns 1 and 2
    expected = np.zeros((8, 8))
    expected[0, 2:], expected[0, 1] = 1, 0.5 - 0.5 + 0.5
    np.testing.assert_allclose(rasterize_strokes(line, 8, 0.25), expected, atol=1e-12)
    np.testing.assert_allclose(rasterize_strokes(line[..., ::-1], 8, 0.25), expected.T, atol=1e-12)


def test_a_picture_of_strokes_is_the_brightest_of_the_pictures_of_each_and_turns_with_them():
    lines = evaluate_strokes(random_strokes(3, 5), 20)
    whole = rasterize_strokes(lines, 40)
    np.testing.assert_array_equal(whole, np.max([rasterize_strokes(line[None], 40) for line in lines], axis=0))
    assert whole.max() == 1
    assert whole.min() == 0
    turned = lines[..., ::-1] * [1, -1]  # a quarter turn: right becomes up
    np.testing.assert_allclose(rasterize_strokes(turned, 40), np.rot90(whole), atol=1e-9)


def test_a_picture_is_what_brute_force_finds():
    lines, size, width = evaluate_strokes(random_strokes(2, 4), 30), 24, 0.2
    fine = np.concatenate([resample_line(line, 20_000) for line in lines])
    for row, column in np.random.default_rng(0).integers(size, size=(60, 2)):
        centre = np.array([2 * column + 1, 2 * row + 1]) / size - 1
        distance = np.linalg.norm(fine - centre, axis=1).min()
        low, high = max(distance - 1 / size, -width / 2), min(distance + 1 / size, width / 2)
        expected = max(0, high - low) * size / 2
        assert rasterize_strokes(lines, size, width)[row, column] == pytest.approx(expected, abs=1e-3)


def test_similarity_is_one_for_equal_pictures_symmetric_and_known_for_constant_ones():
    a, b = (rasterize_strokes(evaluate_strokes(random_strokes(2, 5, seed=seed), 20), 32) for seed in (0, 1))
    assert picture_similarity(a, a) == pytest.approx(1, abs=1e-12)
    assert picture_similarity(a, b) == pytest.approx(picture_similarity(b, a), abs=1e-12)
    assert picture_similarity(a, b) < 0.8
    grey = picture_similarity(np.full((16, 16), 0.2), np.full((16, 16), 0.6))
    assert grey == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), abs=1e-9)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: stroke_basis(3, 5), "at least 4 control points and 2 samples, given 3 and 5"),
        (lambda: evaluate_strokes(random_strokes(1, 4), 1), "at least 4 control points and 2 samples, given 4 and 1"),
        (lambda: fit_strokes(random_strokes(2, 5), 6), "at least as many as the 6 control points, given 5"),
        (lambda: resample_line(np.ones((3, 2)), 5), "a positive length, given 3 points of length 0"),
        (lambda: rasterize_strokes(random_strokes(1, 4), 0), "must be positive, given size 0 and width 0.0625"),
        (lambda: rasterize_strokes(random_strokes(1, 4), 8, -1.0), "must be positive, given size 8 and width -1.0"),
        (lambda: rasterize_strokes(np.full((1, 2, 2), np.nan), 8), r"finite lines .*, given shape \(1, 2, 2\)"),
        (lambda: rasterize_strokes(random_strokes(2, 1), 8), r"at least 2 points, given shape \(2, 1, 2\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
