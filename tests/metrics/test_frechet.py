"""Frechet distance: closed forms, invariances, the optimal coupling, and the interval's coverage by simulation."""

import numpy as np
import pytest

from geomflow.metrics import frechet
from geomflow.metrics.frechet import Gaussian, frechet_distance, frechet_floor, frechet_interval, gaussian_of


def rotation(d: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def law(d: int, seed: int) -> Gaussian:
    """A Gaussian whose covariance has eigenvalues from about 0.05 to 5 in a frame of its own."""
    rng, frame = np.random.default_rng(seed), rotation(d, seed + 100)
    return Gaussian(rng.normal(size=d), (frame * np.exp(rng.normal(size=d))) @ frame.T)


def moved(gaussian: Gaussian, linear: np.ndarray) -> Gaussian:
    return Gaussian(linear @ gaussian.mean, linear @ gaussian.covariance @ linear.T)


def diagonal_pair(d: int, change: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Deviations of two laws, the shift between them, and their distance in closed form."""
    rng = np.random.default_rng(seed)
    one = np.exp(0.7 * rng.normal(size=d))
    two, shift = one * np.exp(change * rng.normal(size=d)), change * rng.normal(size=d)
    return one, two, shift, float((shift**2).sum() + ((one - two) ** 2).sum())


def test_diagonal_covariances_have_their_closed_form():
    one, two, shift, expected = diagonal_pair(7, 0.5)
    a, b = Gaussian(np.zeros(7), np.diag(one**2)), Gaussian(shift, np.diag(two**2))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_commuting_covariances_have_their_closed_form():
    one, two, shift, expected = diagonal_pair(7, 0.5)
    frame = rotation(7, 1)
    a, b = Gaussian(np.zeros(7), (frame * one**2) @ frame.T), Gaussian(frame @ shift, (frame * two**2) @ frame.T)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_in_the_plane_covariances_that_do_not_commute_have_theirs(seed):
    # a 2 x 2 matrix M has tr(M^1/2)^2 = tr(M) + 2 det(M)^1/2
    a, b = law(2, seed), law(2, seed + 50)
    product = a.covariance @ b.covariance
    cross = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    apart = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance) + np.trace(b.covariance)
    assert frechet_distance(a, b) == pytest.approx(apart - 2 * cross, rel=1e-11)


def test_no_linear_coupling_is_cheaper_and_the_optimal_map_attains_it():
    d, a, b = 5, law(5, 0), law(5, 1)
    roots = frechet._root(a.covariance), frechet._root(b.covariance)

    def cost(linear: np.ndarray) -> float:  # E |x - y|^2 with y = m2 + linear (x - m1)
        gap = np.eye(d) - linear
        return float(((a.mean - b.mean) ** 2).sum() + np.trace(gap @ a.covariance @ gap.T))

    distance = frechet_distance(a, b)
    others = [roots[1] @ rotation(d, seed) @ np.linalg.inv(roots[0]) for seed in range(200)]
    assert min(map(cost, others)) > distance
    best = frechet._optimal_map(a.covariance, b.covariance)
    assert np.allclose(best @ a.covariance @ best.T, b.covariance, atol=1e-12)
    assert cost(best) == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize("linear", [rotation(6, 3), np.eye(6)[np.random.default_rng(0).permutation(6)]])
def test_rotations_and_permutations_change_nothing(linear):
    a, b = law(6, 0), law(6, 1)
    assert frechet_distance(moved(a, linear), moved(b, linear)) == pytest.approx(frechet_distance(a, b), rel=1e-12)


def test_symmetric_quadratic_in_scale_and_its_root_a_metric():
    a, b, c = law(6, 0), law(6, 1), law(6, 2)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)
    assert frechet_distance(moved(a, 3 * np.eye(6)), moved(b, 3 * np.eye(6))) == pytest.approx(
        9 * frechet_distance(a, b), rel=1e-12
    )
    ab, bc, ac = (frechet_distance(*pair) ** 0.5 for pair in ((a, b), (b, c), (a, c)))
    assert ac <= ab + bc


def test_equal_moments_are_at_zero_and_a_shift_counts_its_square():
    flat = np.random.default_rng(0).normal(size=(20, 3)) @ np.random.default_rng(1).normal(size=(3, 9))
    shift = np.arange(9.0)
    for gaussian in (law(9, 0), gaussian_of(flat)):
        assert 0 <= frechet_distance(gaussian, gaussian) < 1e-12
        shifted = Gaussian(gaussian.mean + shift, gaussian.covariance)
        assert frechet_distance(gaussian, shifted) == pytest.approx((shift**2).sum(), rel=1e-12)


def test_moments_are_the_unbiased_ones():
    features = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]])
    found = gaussian_of(features)
    assert found.mean.tolist() == [2, 2]
    assert np.allclose(found.covariance, [[4, 3], [3, 3]])
    assert gaussian_of(features[:, :1]).covariance.tolist() == [[4]]


def test_influence_is_the_derivative_by_a_little_more_weight_on_one_vector():
    rng = np.random.default_rng(0)
    x, other, step = rng.normal(size=(30, 4)) ** 3, law(4, 1), 1e-5

    def distance(weights: np.ndarray) -> float:
        mean = weights @ x / weights.sum()
        centred = x - mean
        return frechet_distance(Gaussian(mean, (centred.T * weights) @ centred / weights.sum()), other)

    more = [(distance(1 + step * one) - distance(1 - step * one)) * 30 / (2 * step) for one in np.eye(30)]
    moments = Gaussian(x.mean(axis=0), np.cov(x, rowvar=False, bias=True))
    influence = frechet._influence(x, moments, other)
    assert np.allclose(more, influence - influence.mean(), rtol=1e-5, atol=1e-6)


def trials(d: int, n: int, m: int, change: float, count: int, seed: int):
    """Samples of two Gaussian laws whose distance is known, over and over."""
    one, two, shift, expected = diagonal_pair(d, change)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.normal(size=(n, d)) * one, rng.normal(size=(m, d)) * two + shift, expected


@pytest.mark.parametrize(("d", "n", "m", "change"), [(4, 100, 200, 0.5), (4, 200, 200, 0.1), (16, 200, 300, 0.2)])
def test_the_interval_holds_the_distance_at_the_stated_rate(d, n, m, change):
    inside, above, centred = [], [], []
    for a, b, expected in trials(d, n, m, change, 200, seed=1):
        found = frechet_interval(a, b)
        inside.append(found.low <= expected <= found.high)
        centred.append(found.estimate - expected)
        above.append(frechet_distance(gaussian_of(a), gaussian_of(b)) - expected)
    assert 0.91 <= np.mean(inside) <= 0.99
    assert abs(np.mean(centred)) < 0.15 * np.mean(above)


def test_between_equal_laws_it_holds_zero_and_is_at_most_twice_as_wide_as_needed():
    found = [frechet_interval(a, b) for a, b, _ in trials(6, 150, 150, 0.0, 150, seed=2)]
    assert np.mean([interval.low == 0 for interval in found]) >= 0.98
    spread = np.std([interval.estimate for interval in found])
    reach = np.mean([interval.high - interval.estimate for interval in found]) / 1.96
    assert spread < reach < 2 * spread


def test_a_percentile_bootstrap_would_miss_the_distance():
    rng, inside = np.random.default_rng(0), []
    for a, b, expected in trials(16, 200, 200, 0.2, 20, seed=3):
        drawn = [frechet._distance(rng.choice(a, 200), rng.choice(b, 200)) for _ in range(50)]
        inside.append(np.quantile(drawn, 0.025) <= expected)
    assert np.mean(inside) < 0.2


def test_lower_levels_are_narrower_and_the_seed_decides():
    a, b, _ = next(trials(4, 100, 100, 0.5, 1, seed=0))
    wide, narrow = frechet_interval(a, b), frechet_interval(a, b, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide == frechet_interval(a, b)
    assert wide.estimate != frechet_interval(a, b, seed=1).estimate


def test_features_that_never_vary_or_repeat_others_do_no_harm():
    a, b, _ = next(trials(4, 100, 100, 0.5, 1, seed=0))
    with_constant = [np.concatenate([x, np.ones((100, 1))], axis=1) for x in (a, b)]
    assert np.allclose(frechet_interval(a, b), frechet_interval(*with_constant), rtol=1e-6)
    with_copies = [np.concatenate([x, x], axis=1) for x in (a, b)]  # all deviations in d dimensions, sqrt(2) as long
    assert np.allclose(2 * np.array(frechet_interval(a, b)), frechet_interval(*with_copies), rtol=1e-6)


def gaussian_floor(variances: np.ndarray, n: int, m: int) -> float:
    """Expected distance of two samples of a Gaussian law, to first order in 1 / n and 1 / m.

    The distance of covariances S and S + E is sum_ij E_ij^2 / (s_i + s_j) / 2, and sampling gives E_ij the variance
    s_i s_j (1 + [i = j]) (1 / n + 1 / m).
    """
    sums = variances[:, None] + variances
    shape = ((variances[:, None] * variances) / sums).sum() + variances.sum() / 2
    return (variances.sum() + shape / 2) * (1 / n + 1 / m)


@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (500, 4000)])
def test_the_floor_of_a_gaussian_is_its_closed_form(n, m):
    variances = np.exp(np.random.default_rng(0).normal(size=6))
    pool = np.random.default_rng(1).normal(size=(20_000, 6)) * np.sqrt(variances)
    assert frechet_floor(pool, n, m, draws=200) == pytest.approx(gaussian_floor(variances, n, m), rel=0.05)


def test_the_floor_is_scaled_where_the_law_is_known_by_few_samples():
    variances = np.exp(np.random.default_rng(0).normal(size=6))
    rng = np.random.default_rng(1)
    found = [frechet_floor(rng.normal(size=(600, 6)) * np.sqrt(variances), 2000, 1000) for _ in range(40)]
    assert np.mean(found) == pytest.approx(gaussian_floor(variances, 2000, 1000), rel=0.1)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: gaussian_of(x[:1]), r"features must have shape \(n, d\) with n at least 2, given \(1, 3\)"),
        (lambda x: gaussian_of(x[0]), r"features must have shape .* given \(3,\)"),
        (lambda x: gaussian_of(x + np.nan), "features must be finite, given NaN or infinite numbers"),
        (lambda x: frechet_distance(law(2, 0), law(3, 0)), r"of one d, given \(2, 2, 2\) and \(3, 3, 3\)"),
        (lambda x: frechet_distance(law(2, 0), Gaussian(np.full(2, np.nan), np.eye(2))), "moments must be finite"),
        (lambda x: frechet_interval(x, x[:, :2]), r"of one d, given \(3, 3, 3\) and \(2, 2, 2\)"),
        (lambda x: frechet_interval(x, x[:19]), r"b_features must have shape .* at least 20, given \(19, 3\)"),
        (lambda x: frechet_interval(x, x, level=1), "level must be between 0 and 1, not 1"),
        (lambda x: frechet_floor(x, 1, 5), "counts must be at least 2 and draws at least 1, given 1, 5 and 10"),
        (lambda x: frechet_floor(x, 2, 9000), "40 features are too few for parts in the ratio of 2 to 9000"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).normal(size=(40, 3)))
