"""Point-set distances against brute force, closed forms and their sampling floors."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.distance import cdist

from geomflow.geometry.surface import SurfaceSamples, sample_surface
from geomflow.metrics import (
    chamfer,
    chamfer_floor,
    emd,
    f_score,
    hausdorff,
    match,
    normal_consistency,
    point_to_surface,
    sinkhorn,
)

TAU = 0.4


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(70, 3)), rng.normal(size=(50, 3)) + 0.2


def square_sample(count: int, seed: int, side: float = 2.0) -> np.ndarray:
    """Uniform points on a square of the given side in the plane z = 0."""
    points = np.random.default_rng(seed).uniform(0, side, size=(count, 3))
    points[:, 2] = 0
    return points


def sphere_sample(count: int, seed: int) -> np.ndarray:
    """Uniform points on the unit sphere, area 4 pi, without a boundary."""
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_every_distance_equals_brute_force(pair):
    a, b = pair
    d = cdist(a, b)
    forward, backward = d.min(axis=1), d.min(axis=0)
    precision, recall = (forward <= TAU).mean(), (backward <= TAU).mean()
    assert chamfer(a, b) == pytest.approx(forward.mean() + backward.mean(), rel=1e-12)
    assert chamfer(a, b, squared=True) == pytest.approx((forward**2).mean() + (backward**2).mean(), rel=1e-12)
    assert f_score(a, b, TAU) == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-12)
    assert hausdorff(a, b) == pytest.approx(max(forward.max(), backward.max()), rel=1e-12)


@pytest.mark.parametrize("distance", [chamfer, hausdorff, lambda a, b: f_score(a, b, TAU)])
def test_symmetric_and_blind_to_order(pair, distance):
    a, b = pair
    rng = np.random.default_rng(1)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-12)
    assert distance(rng.permutation(a), rng.permutation(b)) == pytest.approx(distance(a, b), rel=1e-12)


def test_a_set_is_at_no_distance_from_itself(pair):
    a, _ = pair
    assert chamfer(a, a) == hausdorff(a, a) == 0
    assert f_score(a, a, 1e-6) == 1


def test_units_of_the_two_conventions(pair):
    a, b = pair
    assert chamfer(3 * a, 3 * b) == pytest.approx(3 * chamfer(a, b), rel=1e-12)
    assert chamfer(3 * a, 3 * b, squared=True) == pytest.approx(9 * chamfer(a, b, squared=True), rel=1e-12)


def test_hand_example():
    a, b = np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([[0.0, 0, 0]])
    assert chamfer(a, b) == 0.5
    assert chamfer(2 * a, b, squared=True) == 2.0
    assert hausdorff(a, b) == 1.0
    assert f_score(a, b, 0.5) == pytest.approx(2 / 3)
    assert f_score(a, b + 9, 0.5) == 0.0


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("count", [2048, 8192])
def test_chamfer_of_two_samples_of_a_sphere_is_the_floor(count, squared):
    values = [chamfer(sphere_sample(count, 2 * k), sphere_sample(count, 2 * k + 1), squared) for k in range(20)]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    floor = chamfer_floor(4 * np.pi, count, squared)
    assert abs(np.mean(values) - floor) < 4 * error + 1e-3 * floor
    assert error < 0.01 * floor


def test_floor_of_a_square_has_only_a_boundary_term():
    count = 20_000
    values = [chamfer(square_sample(count, 2 * k), square_sample(count, 2 * k + 1)) for k in range(5)]
    assert np.mean(values) / chamfer_floor(4.0, count) == pytest.approx(1, abs=0.02)


def test_floors_are_the_stated_formulas():
    assert chamfer_floor(4.0, 100) == 0.2
    assert chamfer_floor(4.0, 100, squared=True) == pytest.approx(8 / (100 * np.pi))


def test_f_score_of_two_samples_is_the_stated_probability():
    count, tau = 5000, 0.04
    values = [f_score(sphere_sample(count, 2 * k), sphere_sample(count, 2 * k + 1), tau) for k in range(10)]
    assert np.mean(values) == pytest.approx(1 - np.exp(-(tau**2) * count / 4), abs=0.005)


def test_parallel_planes_are_at_their_gap():
    a = square_sample(3000, 0)
    assert chamfer(a, a + np.array([0, 0, 0.01])) == pytest.approx(0.02)
    assert chamfer(a, a + np.array([0, 0, 0.01]), squared=True) == pytest.approx(2e-4)


def test_normal_consistency_of_a_smooth_surface_of_a_turn_and_of_noise():
    sphere = trimesh.creation.icosphere(subdivisions=5)
    one, two = sample_surface(sphere, 20_000, 0), sample_surface(sphere, 20_000, 1)
    assert normal_consistency(one, two) > 0.999
    assert normal_consistency(one, SurfaceSamples(two.points, -two.normals)) == normal_consistency(one, two)
    plane = square_sample(500, 0)
    up, tilted = np.tile([0.0, 0, 1], (500, 1)), np.tile([0.0, 0.6, 0.8], (500, 1))
    assert normal_consistency(SurfaceSamples(plane, up), SurfaceSamples(plane, tilted)) == pytest.approx(0.8)
    noise = SurfaceSamples(one.points, sphere_sample(20_000, 5))
    assert normal_consistency(noise, two) == pytest.approx(0.5, abs=0.01)


def test_emd_and_sinkhorn_of_a_translation():
    cloud, move = sphere_sample(300, 0), np.array([0.3, -0.2, 0.1])
    assert emd(cloud, cloud + move) == pytest.approx(np.linalg.norm(move), rel=1e-9)
    assert sinkhorn(cloud, cloud + move) == pytest.approx(move @ move, rel=1e-3)
    assert sinkhorn(cloud, cloud) == pytest.approx(0, abs=1e-9)
    assert sinkhorn(cloud, cloud[:200]) > 0


def test_points_are_at_their_exact_distance_from_a_surface():
    mesh, points = (
        trimesh.creation.box(extents=(2, 2, 2)),
        np.array([[0, 0, 1.5], [2, 2, 2], [0.25, 0, 0], [1, 0.3, 0.2]]),
    )
    np.testing.assert_allclose(point_to_surface(points, mesh), [0.5, np.sqrt(3), 0.75, 0], atol=1e-6)


def test_float32_points_are_enough(pair):
    a, b = pair
    assert chamfer(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(chamfer(a, b), rel=1e-6)


def test_matches_name_the_neighbours(pair):
    a, b = pair
    pairs = match(a, b)
    assert np.allclose(np.linalg.norm(a - b[pairs.forward_indices], axis=1), pairs.forward)
    assert np.allclose(np.linalg.norm(b - a[pairs.backward_indices], axis=1), pairs.backward)


def test_bad_points_are_named(pair):
    a, b = pair
    with pytest.raises(
        ValueError, match=r"^a must be points of shape \(n, 3\) with n at least 1, given shape \(0, 3\)"
    ):
        chamfer(a[:0], b)
    with pytest.raises(ValueError, match=r"^b must be finite"):
        hausdorff(a, b * [[np.nan, 1, 1]])
    with pytest.raises(ValueError, match="tau must be a positive distance, not 0"):
        f_score(a, b, 0.0)
    with pytest.raises(ValueError, match="area and count must be positive"):
        chamfer_floor(0.0, 10)
