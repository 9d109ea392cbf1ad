"""What is promised around the search: gradients, gathering, interpolation, errors."""

import math

import pytest
import torch

from geomflow import ops
from geomflow.ops import ball_query, group_points, knn_gather, knn_points, sample_farthest_points, three_interpolate
from geomflow.ops.neighbours import search_ball, search_knn


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


A, B = rand(2, 30, 3), rand(2, 25, 3, seed=1)
LENGTHS = torch.tensor([30, 11]), torch.tensor([25, 6])


@pytest.mark.parametrize("norm", [1, 2])
def test_distances_have_first_and_second_derivatives(norm):
    a, b = A[:, :9].double().requires_grad_(), B[:, :7].double().requires_grad_()
    lengths = torch.tensor([9, 4]), torch.tensor([7, 2])

    def distances(a, b):
        return knn_points(a, b, *lengths, norm=norm, K=4, return_nn=True)[::2]

    assert torch.autograd.gradcheck(distances, (a, b))
    assert torch.autograd.gradgradcheck(distances, (a, b))


def test_the_gradient_of_a_squared_distance_is_twice_the_difference():
    a = A.clone().requires_grad_()
    dists, idx, nearest = knn_points(a, B, return_nn=True)
    dists.sum().backward()
    torch.testing.assert_close(a.grad, 2 * (A - nearest[:, :, 0].detach()))
    torch.testing.assert_close(nearest[:, :, 0], B.gather(1, idx.expand(-1, -1, 3)))


def test_padding_and_broken_points_have_zero_gradient():
    a, b = A.clone(), B.clone()
    a[0, 3], b[1, 2, 1] = math.nan, math.inf
    a.requires_grad_()
    b.requires_grad_()
    dists, idx, _ = knn_points(a, b, *LENGTHS, K=8)
    dists.sum().backward()
    assert (a.grad[1, 11:] == 0).all()
    assert (b.grad[1, 6:] == 0).all()
    assert (a.grad[0, 3] == 0).all()
    assert (b.grad[1, 2] == 0).all()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()
    assert (idx[0, 3] == -1).all()
    assert not (idx[1] == 2).any()


def test_one_padding_rule():
    found = knn_points(A, B, *LENGTHS, K=9, return_nn=True, pad_distance=math.inf)
    missing = torch.ones(2, 30, 9, dtype=torch.bool)
    missing[0], missing[1, :11, :6] = False, False
    assert torch.equal(found.idx < 0, missing)
    assert torch.equal(found.dists.isinf(), missing)
    assert (found.knn[missing] == 0).all()
    assert (knn_points(A, B, *LENGTHS, K=9).dists[missing] == 0).all()
    assert torch.equal(knn_gather(B, found.idx), found.knn)


@pytest.mark.parametrize("shapes", [((2, 0), (2, 5)), ((2, 5), (2, 0)), ((0, 5), (0, 5)), ((2, 0), (2, 0))])
def test_empty_clouds(shapes):
    (b, p), (_, q) = shapes
    found = knn_points(torch.rand(b, p, 3), torch.rand(b, q, 3), K=2, return_nn=True)
    assert found.knn.shape == (b, p, 2, 3)
    assert (found.idx == -1).all()
    assert (ball_query(torch.rand(b, p, 3), torch.rand(b, q, 3), K=2).idx == -1).all()
    assert (sample_farthest_points(torch.rand(b, p, 3), K=2).idx.shape) == (b, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_in_float32(dtype):
    a, b = A.to(dtype), B.to(dtype)
    found, expected = knn_points(a, b, K=5), knn_points(a.float(), b.float(), K=5)
    assert found.dists.dtype == torch.float32
    assert torch.equal(found.idx, expected.idx)
    assert torch.equal(found.dists, expected.dists)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(knn_points(A, B, K=5).dists, knn_points(A, B, K=5, backend="reference").dists)
        assert knn_points(A.clone().requires_grad_(), B, K=5).dists.dtype == torch.float32


@pytest.mark.parametrize("backend", ["reference", "kdtree", "warp"])
def test_strided_inputs(backend):
    wide = rand(2, 3, 40, seed=3)
    turned = wide.transpose(1, 2)
    found, expected = (knn_points(p[:, ::2], p, K=4, backend=backend) for p in (turned, turned.contiguous()))
    assert torch.equal(found.idx, expected.idx)
    broadcast = turned[:1].expand(3, -1, -1)
    assert torch.equal(
        knn_points(broadcast, broadcast, K=2, backend=backend).idx[2],
        expected.idx.new_tensor(knn_points(turned[:1], turned[:1], K=2).idx[0].tolist()),
    )


def test_ball_distances_and_neighbours_agree_with_their_indices():
    a = A.double().requires_grad_()
    found = ball_query(a, B.double(), *LENGTHS, K=6, radius=0.4)
    there = found.idx >= 0
    assert there.any()
    assert (~there).any()
    assert (found.dists[there] < 0.4**2).all()
    torch.testing.assert_close(found.dists, ((a[:, :, None] - found.knn).square().sum(-1) * there))
    assert torch.autograd.gradcheck(lambda a: ball_query(a, B.double(), *LENGTHS, K=6, radius=0.4).dists, a)


def test_groups_are_relative_to_their_centres():
    idx = knn_points(A, B, *LENGTHS, K=9).idx
    grouped = group_points(B, idx, A)
    assert (grouped[idx < 0] == 0).all()
    torch.testing.assert_close((grouped + A[:, :, None])[idx >= 0], group_points(B, idx)[idx >= 0])


def test_interpolation_weighs_by_inverse_squared_distance():
    p2, features = (
        torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]]]),
        torch.tensor([[[1.0], [2], [4], [100]]]),
    )
    d = torch.tensor([0.25, 0.5, 0.5])
    expected = (features[0, :3, 0] / d).sum() / (1 / d).sum()
    found = three_interpolate(torch.tensor([[[0.5, 0.0, 0.0]]]), p2, features)
    d = torch.tensor([0.25, 0.25, 1.25])
    torch.testing.assert_close(found[0, 0, 0], (features[0, :3, 0] / d).sum() / (1 / d).sum())
    assert not torch.isclose(found[0, 0, 0], expected)
    assert torch.equal(three_interpolate(p2, p2, features), features)


def test_interpolation_reproduces_constants_and_has_derivatives():
    constant = torch.full((2, 25, 4), 3.0)
    there = (torch.arange(30) < LENGTHS[0][:, None])[..., None]
    torch.testing.assert_close(three_interpolate(A, B, constant, *LENGTHS), 3.0 * there.expand(-1, -1, 4))
    inputs = [t.double().requires_grad_() for t in (A, B, rand(2, 25, 2, seed=5))]
    assert torch.autograd.gradcheck(lambda a, b, f: three_interpolate(a, b, f, *LENGTHS), inputs)


DIFFERENTIABLE = {
    "knn": lambda a: knn_points(a, B.double(), *LENGTHS, K=3).dists,
    "ball": lambda a: ball_query(a, B.double(), *LENGTHS, K=3, radius=0.5).dists,
    "farthest": lambda a: sample_farthest_points(a, LENGTHS[0], 7).points,
    "interpolate": lambda a: three_interpolate(a, B.double(), B.double(), *LENGTHS),
    "chamfer": lambda a: ops.chamfer_distance(a, B.double(), *LENGTHS, squared=False)[0],
    "hausdorff": lambda a: ops.hausdorff_distance(a, B.double(), *LENGTHS),
    "assignment": lambda a: ops.nearest_assignment(a, A.flip(1).double(), LENGTHS[0], LENGTHS[0]).distance,
    "sinkhorn": lambda a: ops.sinkhorn_distance(a, B.double(), *LENGTHS, iterations=20),
    "normals": lambda a: ops.estimate_normals(a, LENGTHS[0], 12),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_forward_and_reverse_derivatives_agree(name):
    along = rand(2, 30, 3, seed=9, dtype=torch.float64) - 0.5
    value, tangent = torch.func.jvp(DIFFERENTIABLE[name], (A.double(),), (along,))
    _, pull = torch.func.vjp(DIFFERENTIABLE[name], A.double())
    weight = rand(*value.shape, seed=10, dtype=torch.float64)
    assert tangent.abs().max() > 0
    torch.testing.assert_close((tangent * weight).sum(), (pull(weight)[0] * along).sum())


def test_a_row_that_is_not_there_is_none():
    x = torch.arange(6.0).view(2, 3, 1)
    assert knn_gather(x, torch.tensor([[[4, 2]], [[-1, 0]]])).flatten().tolist() == [0, 2, 0, 3]


def test_empty_clouds_stay_in_the_graph():
    empty = torch.zeros(2, 0, 3, requires_grad=True)
    (sample_farthest_points(empty, K=3).points.sum() + knn_points(A, empty, return_nn=True).knn.sum()).backward()
    assert empty.grad.shape == empty.shape


def test_custom_ops_pass_torchs_checks():
    for backend in ("reference", "kdtree", "warp"):
        torch.library.opcheck(search_knn, (A, B, *LENGTHS, 3, 2, backend))
    for backend in ("reference", "warp"):
        torch.library.opcheck(search_ball, (A, B, *LENGTHS, 3, 0.2, backend))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: knn_points(A[0], B), r"p1 must have shape \(batch, points, coordinates\), given \(30, 3\)"),
        (lambda: knn_points(A, B[:1]), r"p1 and p2 must have equal batch sizes and coordinates, given"),
        (lambda: knn_points(A, B[..., :2]), r"equal batch sizes and coordinates"),
        (lambda: knn_points(A, B, K=0), "K must be at least 1, given 0"),
        (lambda: knn_points(A, B, torch.tensor([31, 2])), r"lengths of p1 must lie between 0 and 30, given \[31, 2\]"),
        (lambda: knn_points(A, B, None, torch.tensor([1])), r"lengths of p2 must have shape \(2,\), given \(1,\)"),
        (lambda: knn_points(A, B.to("meta")), "must be on one device, given cpu and meta"),
        (lambda: knn_points(A, B, backend="cuda"), "backend must be auto, reference, kdtree, warp, given 'cuda'"),
        (lambda: knn_points(A, B, K=65, backend="warp"), "at most 64 neighbours, not 65.*what can: reference, kdtree"),
        (lambda: ball_query(A, B, backend="kdtree"), "cannot do ball: it has no such function"),
        (lambda: knn_points(A.double(), B.double(), backend="warp"), "kernels are float32, not torch.float64"),
        (lambda: three_interpolate(A, B, A), "features must have the rows of p2"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_dtypes_must_agree():
    with pytest.raises(TypeError, match=r"p1 and p2 must have one dtype, given torch.float32 and torch.float64"):
        knn_points(A, B.double())
