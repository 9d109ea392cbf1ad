"""Chamfer and Hausdorff distance against loops, closed forms and each other."""

import math

import numpy as np
import pytest
import torch

from geomflow import metrics
from geomflow.ops import chamfer_distance, hausdorff_distance


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


X, Y = rand(3, 40, 3), rand(3, 30, 3, seed=1)
LENGTHS = torch.tensor([40, 13, 1]), torch.tensor([30, 7, 4])
NORMALS = tuple(torch.nn.functional.normalize(rand(3, n, 3, seed=n) - 0.5, dim=-1) for n in (40, 30))


def loops(power: int = 2) -> list[tuple[float, float]]:
    """Both directions' means for every cloud."""
    out = []
    for b in range(3):
        gaps = torch.cdist(X[b, : LENGTHS[0][b]].double(), Y[b, : LENGTHS[1][b]].double()).pow(power)
        out.append((float(gaps.amin(1).mean()), float(gaps.amin(0).mean())))
    return out


@pytest.mark.parametrize("backend", ["reference", "kdtree", "warp"])
@pytest.mark.parametrize("squared", [True, False])
def test_both_directions_are_summed(backend, squared):
    expected = loops(2 if squared else 1)
    loss, none = chamfer_distance(X, Y, *LENGTHS, batch_reduction=None, squared=squared, backend=backend)
    assert none is None
    np.testing.assert_allclose(loss, [sum(both) for both in expected], rtol=1e-5)
    one_way = chamfer_distance(X, Y, *LENGTHS, batch_reduction="sum", single_directional=True, squared=squared)[0]
    np.testing.assert_allclose(one_way, sum(forth for forth, _ in expected), rtol=1e-5)


def test_weights_and_reductions():
    both = [sum(pair) for pair in loops()]
    weights = torch.tensor([1.0, 0.0, 3.0])
    mean = chamfer_distance(X, Y, *LENGTHS, weights=weights)[0]
    np.testing.assert_allclose(mean, (both[0] + 3 * both[2]) / 4, rtol=1e-5)
    (forth, back), _ = chamfer_distance(X, Y, *LENGTHS, batch_reduction=None, point_reduction=None)
    total = chamfer_distance(X, Y, *LENGTHS, batch_reduction="sum", point_reduction="sum")[0]
    torch.testing.assert_close(total, forth.sum() + back.sum())
    assert (forth[1, 13:] == 0).all()


def test_normals_are_compared_with_the_nearest_points():
    nearest = torch.cdist(X, Y).argmin(2)
    expected = 1 - (NORMALS[0] * NORMALS[1].gather(1, nearest[..., None].expand(-1, -1, 3))).sum(-1)
    found = chamfer_distance(X, Y, None, None, *NORMALS, single_directional=True, abs_cosine=False)[1]
    torch.testing.assert_close(found, expected.mean())
    same = chamfer_distance(X, X, None, None, NORMALS[0], -NORMALS[0])[1]
    torch.testing.assert_close(same, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_the_numpy_metrics_agree():
    for b in range(3):
        a, c = (part[b, : n[b]].double() for part, n in zip((X, Y), LENGTHS, strict=True))
        ours = chamfer_distance(a[None], c[None], squared=False)[0]
        assert float(ours) == pytest.approx(metrics.chamfer(a.numpy(), c.numpy()))
        assert float(hausdorff_distance(a[None], c[None])) == pytest.approx(metrics.hausdorff(a.numpy(), c.numpy()))


def test_first_and_second_derivatives():
    inputs = [X.double()[:2, :8].requires_grad_(), Y.double()[:2, :6].requires_grad_()]
    lengths = torch.tensor([8, 5]), torch.tensor([6, 3])
    for squared in (True, False):

        def distance(x, y, squared=squared):
            return chamfer_distance(x, y, *lengths, squared=squared)[0]

        assert torch.autograd.gradcheck(distance, inputs)
        assert torch.autograd.gradgradcheck(distance, inputs)
    assert torch.autograd.gradcheck(lambda x, y: hausdorff_distance(x, y, *lengths), inputs)


def test_normals_of_padding_have_zero_gradient():
    normals = NORMALS[0].clone()
    normals[1, 13:] = math.nan
    normals.requires_grad_()
    chamfer_distance(X, Y, *LENGTHS, normals, NORMALS[1])[1].backward()
    assert (normals.grad[1, 13:] == 0).all()
    assert normals.grad.isfinite().all()


def test_clouds_that_coincide_have_zero_gradient_not_nan():
    x = X.clone().requires_grad_()
    loss = chamfer_distance(x, X, squared=False)[0] + hausdorff_distance(x, X).sum()
    loss.backward()
    assert loss.item() == 0
    assert (x.grad == 0).all()


def test_empty_and_broken_clouds():
    assert (hausdorff_distance(X, Y, LENGTHS[0], torch.tensor([0, 7, 4])) == 0).tolist() == [True, False, False]
    broken = X.clone()
    broken[0, 5] = math.nan
    whole = torch.cat([X[:1, :5], X[:1, 6:]], dim=1)
    for squared in (True, False):
        found = chamfer_distance(broken[:1], Y[:1], squared=squared)[0]
        torch.testing.assert_close(found, chamfer_distance(whole, Y[:1], squared=squared)[0])


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_reduction": "mean", "point_reduction": None}, "batch_reduction must be None where point_reduction is"),
        ({"x_normals": NORMALS[0]}, "x_normals and y_normals must be given both or neither"),
        ({"weights": torch.ones(2)}, r"weights must have shape \(3,\), given \(2,\)"),
        ({"weights": -torch.ones(3)}, "weights must not be negative"),
        ({"x_normals": NORMALS[0], "y_normals": NORMALS[1], "point_reduction": "max"}, "must come without normals"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        chamfer_distance(X, Y, **options)
