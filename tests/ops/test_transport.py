"""Optimal transport against permutations, translations, one dimension and each other."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from geomflow.ops import nearest_assignment, sinkhorn_distance, sliced_wasserstein
from geomflow.ops.transport import directions, search_assignment


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


X, Y = rand(3, 40, 3), rand(3, 40, 3, seed=1)
LENGTHS = torch.tensor([40, 17, 0])
SHIFT = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)


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
        lengths = torch.tensor([7, 4, 0])
        x, y = X[:, :7].clone().requires_grad_(), Y[:, :7].clone().requires_grad_()
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

    def test_the_custom_op_passes_torchs_checks(self):
        torch.library.opcheck(search_assignment, (X, Y, LENGTHS, False))

    def test_errors_name_the_argument(self):
        with pytest.raises(ValueError, match=r"x and y must have equal sizes .* \[40, 17, 0\] and \[40, 40, 40\]"):
            nearest_assignment(X, Y, LENGTHS)
        broken = Y.clone()
        broken[0, 1, 2] = math.nan
        with pytest.raises(ValueError, match="y must be finite to be matched"):
            nearest_assignment(X, broken)
        with pytest.raises(ValueError, match="nearest_assignment"):
            nearest_assignment(X, Y, backend="warp")


class TestSinkhorn:
    @pytest.mark.parametrize("blur", [0.02, 0.3, 3.0])
    def test_a_translation_gives_its_square_whatever_the_blur(self, blur):
        found = sinkhorn_distance(X[:2], X[:2] + SHIFT, blur=blur, iterations=600)
        torch.testing.assert_close(found, SHIFT.square().sum().expand(2), rtol=2e-3, atol=0)

    def test_it_is_a_divergence(self):
        assert (sinkhorn_distance(X, X, LENGTHS, LENGTHS).abs() < 1e-12).all()
        forth, back = sinkhorn_distance(X, Y), sinkhorn_distance(Y, X)
        torch.testing.assert_close(forth, back)
        assert (forth > 0).all()

    def test_it_tends_to_the_exact_cost(self):
        exact = nearest_assignment(X, Y, squared=True).distance
        errors = [
            (sinkhorn_distance(X, Y, blur=blur, iterations=2000) / exact - 1).abs().max() for blur in (0.2, 0.05, 0.01)
        ]
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 5e-3

    def test_without_debiasing_a_large_blur_couples_all_with_all(self):
        everything = (X[:, :, None] - Y[:, None]).square().sum(-1).mean((1, 2))
        torch.testing.assert_close(sinkhorn_distance(X, Y, blur=300.0, debias=False), everything, rtol=1e-4, atol=0)

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
            return sinkhorn_distance(x, y, *lengths, blur=0.5, iterations=100)

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

    @pytest.mark.parametrize("power", [1.5, 2.0])
    def test_derivatives(self, power):
        x, y = X[:2, :6].clone().requires_grad_(), Y[:2, :5].clone().requires_grad_()
        lengths = torch.tensor([6, 3]), torch.tensor([5, 4])

        def distance(x, y):
            generator = torch.Generator().manual_seed(0)
            return sliced_wasserstein(x, y, *lengths, projections=5, power=power, generator=generator)

        assert torch.autograd.gradcheck(distance, (x, y))


@pytest.mark.parametrize("op", [sinkhorn_distance, sliced_wasserstein])
def test_half_precision_and_strides(op):
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator} if op is sliced_wasserstein else {}
    half = op(X.half(), Y.half(), **options)
    generator.manual_seed(0)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, op(X.half().float(), Y.half().float(), **options))
    generator.manual_seed(0)
    strided = op(X.mT.contiguous().mT, Y.flip(0).flip(0), **options)
    generator.manual_seed(0)
    torch.testing.assert_close(strided, op(X, Y, **options))
