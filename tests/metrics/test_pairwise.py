"""Matrices of distances against double loops and SciPy, at their floors, and begun again where they stopped."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from geomflow.metrics import chamfer, chamfer_floor, emd, pairwise, pairwise_chamfer, pairwise_emd, sampling_floors


def shapes(count: int, seed: int, points: int = 60) -> np.ndarray:
    """Random ellipsoids (count, points, 3)."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, points, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    return directions * rng.uniform(0.2, 1, size=(count, 1, 3))


def spheres(count: int, seed: int, points: int) -> np.ndarray:
    """Samples (count, points, 3) of the unit sphere, area 4 pi."""
    directions = np.random.default_rng(seed).normal(size=(count, points, 3))
    return directions / np.linalg.norm(directions, axis=2, keepdims=True)


@pytest.mark.parametrize("squared", [True, False])
def test_pairwise_equals_the_double_loop(squared):
    a, b = shapes(5, 0), shapes(4, 1, points=33)
    naive = np.array([[chamfer(p, q, squared) for q in b] for p in a])
    assert np.allclose(pairwise_chamfer(a, b, squared), naive, rtol=1e-12, atol=0)


def test_a_set_against_itself_is_symmetric_and_equals_the_double_loop():
    a = shapes(6, 0)
    matrix = pairwise_chamfer(a, a)
    naive = np.array([[chamfer(p, q, squared=True) for q in a] for p in a])
    assert (matrix == matrix.T).all()
    assert (np.diag(matrix) == 0).all()
    assert np.allclose(matrix, naive, rtol=1e-12, atol=1e-15)
    assert np.allclose(matrix, pairwise_chamfer(a, a.copy()), rtol=1e-12, atol=1e-15)


def test_pairwise_is_blind_to_point_order():
    a, b = shapes(3, 0), shapes(3, 1)
    shuffled = np.random.default_rng(0).permutation(a, axis=1)
    assert np.allclose(pairwise_chamfer(a, b), pairwise_chamfer(shuffled, b), rtol=1e-12, atol=0)


def test_emd_equals_scipys_assignment_and_is_symmetric():
    a, b = shapes(4, 0, 200), shapes(3, 1, 200)
    costs = [[cdist(p, q) for q in b] for p in a]
    exact = np.array([[cost[linear_sum_assignment(cost)].mean() for cost in row] for row in costs])
    np.testing.assert_allclose(pairwise_emd(a, b), exact, rtol=1e-9)
    np.testing.assert_allclose(pairwise_emd(b, a), exact.T, rtol=1e-9)
    assert emd(a[0], b[0]) == pytest.approx(exact[0, 0], rel=1e-9)


def test_emd_within_a_set_is_that_of_two_sets():
    a = shapes(5, 0, 150)
    within = pairwise_emd(a, a)
    assert (within == within.T).all()
    np.testing.assert_allclose(within, pairwise_emd(a, a.copy()), atol=1e-9)
    moved = a[:1] + np.array([0.3, 0, 0])
    assert pairwise_emd(a[:1], moved)[0, 0] == pytest.approx(0.3, rel=1e-9)


def test_emd_is_no_less_than_half_of_chamfer_and_blind_to_order():
    a, b = shapes(3, 0, 100), shapes(3, 1, 100)
    found = pairwise_emd(a, b)
    assert (found >= pairwise_chamfer(a, b, squared=False) / 2 - 1e-12).all()
    np.testing.assert_allclose(found, pairwise_emd(np.random.default_rng(0).permutation(a, axis=1), b), rtol=1e-9)


@pytest.mark.parametrize("squared", [True, False])
def test_samples_of_one_surface_are_at_the_floor(squared):
    """sqrt(A / n) unsquared and 2 A / (pi n) squared, within four standard errors of the mean over pairs."""
    a, b = spheres(12, 0, 2048), spheres(12, 1, 2048)
    values = pairwise_chamfer(a, b, squared)
    floor = chamfer_floor(4 * np.pi, 2048, squared)
    error = values.std(ddof=1) / np.sqrt(12)
    assert abs(values.mean() - floor) < 4 * error + 1e-3 * floor
    assert error < 0.02 * floor


def test_floors_measured_within_a_sample_are_those_of_the_area():
    floors = sampling_floors(spheres(10, 0, 2048))
    assert floors.mean() == pytest.approx(chamfer_floor(4 * np.pi, 2048, squared=True), rel=0.01)
    assert floors.std() < 0.04 * floors.mean()


def test_floors_count_copies_of_points_once():
    sphere = spheres(1, 0, 1000)
    padded = np.concatenate([sphere, sphere[:, :500]], axis=1)
    np.testing.assert_allclose(sampling_floors(padded), sampling_floors(sphere))


def test_a_matrix_goes_on_where_it_stopped(tmp_path, monkeypatch):
    a, b = shapes(6, 0), shapes(5, 1)
    whole, rows = pairwise_chamfer(a, b), []
    row_of = pairwise._mean_distances

    def stopping(*sets):
        row = row_of(*sets)

        def counted(i):
            if len(rows) == 7:
                raise KeyboardInterrupt
            rows.append(i)
            return row(i)

        return counted

    monkeypatch.setattr(pairwise, "_mean_distances", stopping)
    with pytest.raises(KeyboardInterrupt):
        pairwise_chamfer(a, b, cache=tmp_path)
    assert len(rows) == 7
    monkeypatch.setattr(pairwise, "_mean_distances", row_of)
    assert (pairwise_chamfer(a, b, cache=tmp_path) == whole).all()
    monkeypatch.setattr(pairwise, "_mean_distances", lambda *_: lambda i: pytest.fail(f"row {i} is known"))
    assert (pairwise_chamfer(a, b, cache=tmp_path) == whole).all()


def test_a_damaged_file_is_made_anew(tmp_path):
    a = shapes(4, 0)
    whole = pairwise_chamfer(a, a, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    for length in (0, 100, file.stat().st_size - 40):
        file.write_bytes(file.read_bytes()[:length])
        assert (pairwise_chamfer(a, a, cache=tmp_path) == whole).all()


def test_other_shapes_or_another_order_are_another_matrix(tmp_path):
    a, b = shapes(3, 0), shapes(3, 1)
    for one, other in ((a, b), (a[::-1].copy(), b), (b, a), (a, b + 1e-9)):
        np.testing.assert_array_equal(pairwise_chamfer(one, other, cache=tmp_path), pairwise_chamfer(one, other))
        squared = pairwise_chamfer(one, other, squared=False, cache=tmp_path)
        np.testing.assert_array_equal(squared, pairwise_chamfer(one, other, squared=False))


def test_collapsed_shapes_are_measured_too():
    spots = np.zeros((2, 300, 3)) + np.array([0.0, 1.0])[:, None, None]
    np.testing.assert_allclose(pairwise_chamfer(spots, spots), [[0, 6], [6, 0]])
    np.testing.assert_allclose(pairwise_emd(spots, spots), np.sqrt([[0, 3], [3, 0]]))


def test_bad_input_is_named():
    a = shapes(2, 0)
    with pytest.raises(ValueError, match=r"a_sets must have shape \(shapes, points, 3\), .* given \(0, 60, 3\)"):
        pairwise_chamfer(a[:0], a)
    with pytest.raises(ValueError, match=r"b_sets must be finite, .* in shapes \[1\]"):
        pairwise_chamfer(a, a * np.array([1, np.nan])[:, None, None])
    with pytest.raises(ValueError, match="as many points per shape, given 60 and 59"):
        pairwise_emd(a, a[:, :59])
    with pytest.raises(ValueError, match="at least 2 points per shape"):
        sampling_floors(a[:, :1])
