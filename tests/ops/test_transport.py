"""Optimal transport against permutations, translations, one dimension and each other."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from geomflow.ops import _matching, nearest_assignment, sinkhorn_distance, sliced_wasserstein, transport
from geomflow.ops.assignment import search_assignment
from geomflow.ops.transport import directions, search_potentials
from tests.ops.clouds import KINDS, cloud


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


X, Y = rand(3, 40, 3), rand(3, 40, 3, seed=1)
LENGTHS = torch.tensor([40, 17, 0])
SHIFT = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)


def blobs(seed: int) -> torch.Tensor:
    """Three small clusters far apart with random shares: plain Sinkhorn needs thousands of steps."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(3, 3, generator=generator, dtype=torch.float64) * 2
    which = torch.randint(3, (1, 100), generator=generator)
    return centres[which] + 0.05 * torch.randn(1, 100, 3, generator=generator, dtype=torch.float64)


def line(x: torch.Tensor, y: torch.Tensor, **options) -> torch.Tensor:
    """Sliced distance along fixed lines, to compare calls."""
    lines = directions(7, x.shape[2], torch.Generator().manual_seed(0))
    return sliced_wasserstein(x, y, projections=lines, **options)


def assigned(x: torch.Tensor, y: torch.Tensor, **options) -> torch.Tensor:
    return nearest_assignment(x, y, **options).distance


OPS = [assigned, sinkhorn_distance, line]


class TestAssignment:
    @pytest.mark.parametrize("squared", [True, False])
    def test_no_permutation_is_cheaper(self, squared):
        x, y = X[:, :6], Y[:, :6]
        gaps = (x[:, :, None] - y[:, None]).norm(dim=-1).pow(2 if squared else 1)
        costs = torch.stack([gaps[:, range(6), order].mean(1) for order in itertools.permutations(range(6))])
        found = nearest_assignment(x, y, squared=squared)
        torch.testing.assert_close(found.distance, costs.amin(0))
        torch.testing.assert_close(gaps.gather(2, found.idx[..., None]).mean((1, 2)), costs.amin(0))

    def test_a_shuffled_cloud_is_found_again(self):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
        found = nearest_assignment(X, X[:, order])
        assert torch.equal(order[found.idx], torch.arange(40).expand(3, -1))
        assert (found.distance == 0).all()

    def test_a_translation_costs_its_square(self):
        found = nearest_assignment(X, X + SHIFT, squared=True)
        torch.testing.assert_close(found.distance, SHIFT.square().sum().expand(3))

    def test_ragged_batches_and_derivatives(self):
        lengths = torch.tensor([5, 4, 0])
        x, y = X[:, :5].clone().requires_grad_(), Y[:, :5].clone().requires_grad_()
        found = nearest_assignment(x, y, lengths, lengths)
        assert (found.idx[1, 4:] == -1).all()
        assert sorted(found.idx[1, :4].tolist()) == [0, 1, 2, 3]
        assert found.distance[2] == 0
        for squared in (True, False):

            def distance(x, y, squared=squared):
                return nearest_assignment(x, y, lengths, lengths, squared=squared).distance

            assert torch.autograd.gradcheck(distance, (x, y))
            assert torch.autograd.gradgradcheck(distance, (x, y))
        nearest_assignment(x, x.detach()).distance.sum().backward()
        assert (x.grad == 0).all()

    @pytest.mark.parametrize("squared", [True, False])
    @pytest.mark.parametrize("shift", [0.0, 10.0])
    def test_prices_change_the_time_only(self, squared, shift, monkeypatch):
        x, y = rand(2, 90, 3), rand(2, 90, 3, seed=1) * 0.5 + shift
        plain = nearest_assignment(x, y, squared=squared)
        monkeypatch.setattr(_matching, "PRICED", 1)
        priced = nearest_assignment(x, y, squared=squared)
        assert torch.equal(plain.idx, priced.idx)

    def test_prices_of_degenerate_clouds(self, monkeypatch):
        monkeypatch.setattr(_matching, "PRICED", 1)
        spot = torch.full((1, 9, 3), 0.5)
        assert sorted(nearest_assignment(spot, spot).idx[0].tolist()) == list(range(9))
        assert nearest_assignment(spot[:, :1], spot[:, :1] + 1).distance.item() == pytest.approx(math.sqrt(3))

    def test_sizes_may_differ_by_padding(self):
        x, y = X[:, :9].clone(), torch.full((3, 12, 3), math.nan, dtype=torch.float64)
        lengths = torch.tensor([9, 4, 0])
        y[:, :9] = Y[:, :9]
        found = nearest_assignment(x, y, lengths, lengths)
        for b, n in enumerate(lengths.tolist()):
            alone = nearest_assignment(X[b : b + 1, :n], Y[b : b + 1, :n])
            assert torch.equal(found.idx[b, :n], alone.idx[0])
            assert found.distance[b] == alone.distance[0]

    def test_the_operators_pass_torchs_checks(self):
        torch.library.opcheck(search_assignment, (X, Y, LENGTHS, LENGTHS, False, "auto"))
        cost, even = (X[:, :, None] - Y[:, None]).square().sum(-1), torch.zeros(3, 40, dtype=torch.float64)
        torch.library.opcheck(search_potentials, (cost, even, even, 0.01, 3))

    def test_errors_name_the_argument(self):
        with pytest.raises(ValueError, match=r"x and y must have equal sizes .* \[40, 17, 0\] and \[40, 40, 40\]"):
            nearest_assignment(X, Y, LENGTHS)
        broken = Y.clone()
        broken[0, 1, 2] = math.nan
        with pytest.raises(ValueError, match="y must be finite to be matched"):
            nearest_assignment(X, broken)
        with pytest.raises(ValueError, match="'kdtree' cannot do assignment"):
            nearest_assignment(X, Y, backend="kdtree")


def cheapest(x: torch.Tensor, y: torch.Tensor, squared: bool) -> float:
    """Mean cost of SciPy's assignment in float64."""
    cost = cdist(x.double().numpy(), y.double().numpy(), "sqeuclidean" if squared else "euclidean")
    return float(cost[linear_sum_assignment(cost)].mean())


def gap_to(x: torch.Tensor, y: torch.Tensor, idx: torch.Tensor, squared: bool) -> float:
    """Mean cost of a matching, which must be one, above the cheapest, in extents of the clouds."""
    assert torch.equal(idx.sort().values, torch.arange(len(x)))
    apart = (x.double() - y.double()[idx]).norm(dim=1)
    extent = (torch.cat([x, y]).amax(0) - torch.cat([x, y]).amin(0)).max().item() or 1.0
    found = (apart.square() if squared else apart).mean().item()
    return (found - cheapest(x, y, squared)) / extent ** (2 if squared else 1)


class TestAuction:
    @pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
    @pytest.mark.parametrize("squared", [True, False])
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_costs_what_scipys_does(self, kind, squared, device):
        rng = np.random.default_rng(0)
        for size in (1, 2, 15, 16, 17, 33, 300, 700):
            x, y = (torch.from_numpy(cloud(kind, rng, size)) for _ in range(2))
            idx = (
                nearest_assignment(x[None].to(device), y[None].to(device), squared=squared, backend="warp").idx[0].cpu()
            )
            assert abs(gap_to(x, y, idx, squared)) < 1e-9

    @pytest.mark.parametrize(
        ("size", "dimension", "shift"), [(2048, 3, 0.3), (1200, 2, 0.0), (600, 1, 40.0), (600, 3, 40.0)]
    )
    def test_clouds_of_several_levels_near_and_far(self, size, dimension, shift):
        x, y = rand(1, size, dimension)[0], rand(1, size, dimension, seed=1)[0] * 0.7 + shift
        idx = nearest_assignment(x[None], y[None]).idx[0]
        assert abs(gap_to(x, y, idx, False)) < 1e-9

    def test_ragged_batches_of_several_levels(self):
        x, y, lengths = rand(3, 1100, 3), rand(3, 1100, 3, seed=1), torch.tensor([1100, 0, 700])
        idx = nearest_assignment(x, y, lengths, lengths, backend="warp").idx
        for b, n in enumerate(lengths.tolist()):
            assert (idx[b, n:] == -1).all()
            assert not n or abs(gap_to(x[b, :n], y[b, :n], idx[b, :n], False)) < 1e-9

    def test_an_auction_that_is_given_up_is_left_to_the_reference(self, monkeypatch):
        monkeypatch.setattr(
            _matching, "_auction", lambda x, y, lengths, price, *_: (torch.full(price.shape, -1), price)
        )
        x, y = rand(2, 300, 3), rand(2, 300, 3, seed=1)
        found = nearest_assignment(x, y, backend="warp")
        assert torch.equal(found.idx, nearest_assignment(x, y, backend="reference").idx)

    def test_it_does_not_do_more_coordinates(self):
        with pytest.raises(ValueError, match="at most 3 coordinates, not 4"):
            nearest_assignment(rand(1, 9, 4), rand(1, 9, 4), backend="warp")


class TestSinkhorn:
    @pytest.mark.parametrize("blur", [0.02, 0.3, 3.0])
    @pytest.mark.parametrize("iterations", [3, 100])
    def test_a_translation_gives_its_square_whatever_the_blur(self, blur, iterations):
        found = sinkhorn_distance(X[:2], X[:2] + SHIFT, blur=blur, iterations=iterations)
        torch.testing.assert_close(found, SHIFT.square().sum().expand(2))

    @pytest.mark.parametrize("blur", [0.01, 0.05, 0.2])
    def test_the_default_steps_are_nearly_enough(self, blur):
        x, y = (torch.cat([blobs(seed), rand(1, 100, 3, seed=seed)]) for seed in (0, 1))
        converged = sinkhorn_distance(x, y, blur=blur, iterations=600)
        torch.testing.assert_close(sinkhorn_distance(x, y, blur=blur), converged, rtol=3e-3, atol=0)

    def test_each_term_is_approached_from_below(self):
        values = [sinkhorn_distance(X, Y, blur=0.03, iterations=n, debias=False) for n in (1, 10, 100, 400)]
        for less, more in itertools.pairwise(values):
            assert (less <= more + 1e-12).all()

    def test_the_potentials_solve_the_problem(self):
        """At the optimum exp((f + g - C) / eps) / (n m) is a coupling of both uniform distributions."""
        cost, even = (X[:, :, None] - Y[:, None]).square().sum(-1), torch.full((3, 40), -math.log(40.0)).double()
        f, g = search_potentials(cost, even, even, 0.1, 200)
        coupling = ((f[:, :, None] + g[:, None] - cost) / 0.1).exp() / 1600
        for side in (1, 2):
            torch.testing.assert_close(coupling.sum(side), even.exp(), rtol=1e-6, atol=0)

    def test_it_is_a_divergence(self):
        assert (sinkhorn_distance(X, X, LENGTHS, LENGTHS) == 0).all()
        forth, back = sinkhorn_distance(X, Y), sinkhorn_distance(Y, X)
        torch.testing.assert_close(forth, back, rtol=1e-4, atol=0)
        assert (forth > 0).all()

    def test_it_tends_to_the_exact_cost(self):
        exact = nearest_assignment(X, Y, squared=True).distance
        errors = [
            (sinkhorn_distance(X, Y, blur=blur, iterations=300) / exact - 1).abs().max() for blur in (0.2, 0.05, 0.01)
        ]
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 5e-3

    def test_without_debiasing_a_large_blur_couples_all_with_all(self):
        everything = (X[:, :, None] - Y[:, None]).square().sum(-1).mean((1, 2))
        torch.testing.assert_close(sinkhorn_distance(X, Y, blur=300.0, debias=False), everything, rtol=1e-4, atol=0)
        assert sinkhorn_distance(X[:, :0], Y).tolist() == [0, 0, 0]

    def test_padding_and_broken_points_do_not_count(self):
        broken = X.clone()
        broken[0, 5] = math.inf
        whole = torch.cat([X[:1, :5], X[:1, 6:]], dim=1)
        torch.testing.assert_close(sinkhorn_distance(broken[:1], Y[:1]), sinkhorn_distance(whole, Y[:1]))
        ragged = sinkhorn_distance(X, Y, LENGTHS)
        torch.testing.assert_close(ragged[1], sinkhorn_distance(X[1:2, :17], Y[1:2])[0])
        assert ragged[2] == 0

    def test_the_gradient_is_that_of_the_converged_value(self):
        x, y = X[:2, :4].clone().requires_grad_(), Y[:2, :3].clone().requires_grad_()
        lengths = torch.tensor([4, 2]), torch.tensor([3, 3])

        def divergence(x, y):
            return sinkhorn_distance(x, y, *lengths, blur=1.0, iterations=20)

        assert torch.autograd.gradcheck(divergence, (x, y), atol=1e-5)

    def test_errors_name_the_argument(self):
        with pytest.raises(ValueError, match="blur must be a positive length, given 0"):
            sinkhorn_distance(X, Y, blur=0.0)
        with pytest.raises(ValueError, match="iterations must be at least 1"):
            sinkhorn_distance(X, Y, iterations=0)


class TestSliced:
    def test_one_dimension_is_exact_for_different_sizes(self):
        lengths = torch.tensor([40, 17, 1]), torch.tensor([3, 40, 25])
        found = sliced_wasserstein(X[..., :1], Y[..., :1], *lengths, projections=4, power=1.0)
        expected = [wasserstein_distance(X[b, : lengths[0][b], 0], Y[b, : lengths[1][b], 0]) for b in range(3)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_a_translation_is_seen_along_each_line(self):
        lines = directions(50, 3, torch.Generator().manual_seed(7)).double()
        found = sliced_wasserstein(X, X + SHIFT, projections=50, generator=torch.Generator().manual_seed(7))
        torch.testing.assert_close(found, (lines * SHIFT).sum(1).square().mean().sqrt().expand(3), rtol=1e-6, atol=0)
        assert torch.equal(found, sliced_wasserstein(X, X + SHIFT, projections=lines))

    def test_copies_of_every_point_change_nothing(self):
        """Steps of 1 / n and of 1 / (2 n) end at the same places: the uniform distributions are the same."""
        torch.testing.assert_close(line(X, Y.repeat(1, 2, 1)), line(X, Y))
        assert (line(X, X.repeat(1, 3, 1)) < 1e-12).all()

    def test_many_lines_see_a_third_of_the_square(self):
        """E (u . v)^2 = |v|^2 / 3 for u uniform on the sphere; five standard errors of its mean over 20,000 lines."""
        found = sliced_wasserstein(X[:1], X[:1] + SHIFT, projections=20_000, generator=torch.Generator().manual_seed(0))
        square = SHIFT.square().sum()
        error = square * math.sqrt(4 / 45 / 20_000)
        assert abs(found[0] ** 2 - square / 3) < 5 * error

    def test_it_bounds_the_exact_distance_from_below(self):
        exact = nearest_assignment(X, Y, squared=True).distance.sqrt()
        assert (sliced_wasserstein(X, Y) < exact).all()

    def test_empty_and_equal_clouds(self):
        x = X.clone().requires_grad_()
        found = sliced_wasserstein(x, X, LENGTHS, LENGTHS)
        found.sum().backward()
        assert (found == 0).all()
        assert (x.grad == 0).all()
        assert (sliced_wasserstein(X[:, :0], Y) == 0).all()

    @pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
    def test_derivatives(self, power):
        x, y = X[:2, :6].clone().requires_grad_(), Y[:2, :5].clone().requires_grad_()
        lengths = torch.tensor([6, 3]), torch.tensor([5, 4])

        def distance(x, y):
            generator = torch.Generator().manual_seed(0)
            return sliced_wasserstein(x, y, *lengths, projections=5, power=power, generator=generator)

        assert torch.autograd.gradcheck(distance, (x, y))

    @pytest.mark.usefixtures("unchecked_shapes")
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"power": 0.5}, "power must be at least 1, given 0.5"),
            ({"projections": 0}, "projections must be at least 1"),
            ({"projections": torch.ones(4, 2)}, r"projections must be directions \(L, 3\), given shape \(4, 2\)"),
            ({"backend": "kdtree"}, "'kdtree' cannot do sliced_wasserstein"),
        ],
    )
    def test_errors_name_the_argument(self, options, message):
        with pytest.raises(ValueError, match=message):
            sliced_wasserstein(X, Y, **options)


@pytest.mark.parametrize("op", OPS)
class TestAll:
    @settings(max_examples=5, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 12))
    def test_the_order_of_points_does_not_matter(self, op, seed, size):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.rand(2, 1, size, 3, generator=generator, dtype=torch.float64)
        order = torch.randperm(size, generator=generator)
        torch.testing.assert_close(op(x[:, order], y), op(x, y))

    def test_padding_neither_counts_nor_moves(self, op):
        lengths = torch.tensor([40, 17, 0])
        x, y = X.clone(), Y.clone()
        for b, n in enumerate(lengths.tolist()):
            x[b, n:], y[b, n:] = math.nan, 1e30
        x.requires_grad_(), y.requires_grad_()
        found = op(x, y, x_lengths=lengths, y_lengths=lengths)
        torch.testing.assert_close(found[1], op(X[1:2, :17], Y[1:2, :17])[0])
        assert found[2] == 0
        found.sum().backward()
        for grad in (x.grad, y.grad):
            assert grad.isfinite().all()
            assert (grad[1, 17:] == 0).all()
            assert (grad[1, :17] != 0).any()

    def test_half_precision_and_strides(self, op):
        half = op(X.half(), Y.half())
        assert half.dtype == torch.float32
        assert torch.equal(half, op(X.half().float(), Y.half().float()))
        torch.testing.assert_close(op(X.mT.contiguous().mT, Y.flip(0).flip(0)), op(X, Y))

    def test_autocast_changes_nothing(self, op):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = op(X.float(), Y.float())
        assert torch.equal(found, op(X.float(), Y.float()))

    def test_one_point_each(self, op):
        x, y = X[:, :1].clone().requires_grad_(), Y[:, :1]
        found = op(x, y)
        found.sum().backward()
        assert x.grad.isfinite().all()
        if op is not line:
            gap = (X[:, 0] - Y[:, 0]).norm(dim=1)
            torch.testing.assert_close(found, gap if op is assigned else gap.square())

    def test_clouds_that_coincide_have_no_gradient(self, op):
        x = X.clone().requires_grad_()
        op(x, X).sum().backward()
        assert (x.grad.abs() < 1e-3).all() if op is sinkhorn_distance else (x.grad == 0).all()


COMPILED = """
import torch
from geomflow.ops import *
from geomflow.ops.transport import directions

def everything(x, y, lengths, lines):
    return (
        nearest_assignment(x, y, lengths, lengths).distance
        + sinkhorn_distance(x, y, lengths, iterations=3)
        + sliced_wasserstein(x, y, None, lengths, projections=lines)
    )

torch.manual_seed(0)
x, y = torch.rand(2, 2, 9, 3)
lengths, lines, found = torch.tensor([9, 4]), directions(6, 3), []
for function in (everything, torch.compile(everything, fullgraph=True, backend="aot_eager")):
    point = x.clone().requires_grad_()
    value = function(point, y, lengths, lines)
    value.sum().backward()
    found.append((value.detach(), point.grad))
torch.testing.assert_close(found[0], found[1])
"""


@pytest.mark.slow
def test_compiled_equals_eager():
    """In a process without jaxtyping's import hook, as for users."""
    root = Path(transport.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
