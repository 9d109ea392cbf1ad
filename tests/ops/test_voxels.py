"""Voxels against a loop over the points, against linear functions, and against finite differences."""

import subprocess
import sys

import pytest
import torch

from geomflow.ops.voxels import devoxelize, voxelize

R = 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clouds(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, points and lengths: within the cube and outside, on borders of cells, padded, and not finite."""
    points = torch.rand(3, 40, 3, generator=seeded(), dtype=dtype) * 2.6 - 1.3
    points[0, :6] = torch.tensor(
        [[1, 1, 1], [-1, -1, -1], [0, 0.5, -0.5], [1, -1, 0], [0.99999997, 0, 0], [1.0001, 0, 0]]
    )
    points[1, 0, 1], points[1, 1, 2] = torch.nan, torch.inf
    features = torch.randn(3, 40, 2, generator=seeded(1), dtype=dtype)
    features[1, 0] = torch.nan
    return features, points, torch.tensor([40, 25, 0])


def centers(resolution: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Centres of the cells (R, R, R, 3), axes x, y, z."""
    along = (torch.arange(resolution, dtype=dtype) * 2 + 1) / resolution - 1
    return torch.stack(torch.meshgrid(along, along, along, indexing="ij"), dim=-1)


def linear_grid(resolution: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A grid (1, 2, R, R, R) of two linear functions, and their slopes (2, 3) and constants (2,)."""
    slopes, constants = torch.tensor([[1.0, -2, 0.5], [0.3, 0.7, 5]], dtype=dtype), torch.tensor([0.1, -1], dtype=dtype)
    return (centers(resolution, dtype) @ slopes.T + constants).movedim(-1, 0)[None], slopes, constants


def by_loop(features: torch.Tensor, points: torch.Tensor, lengths: torch.Tensor, resolution: int) -> torch.Tensor:
    grid = torch.zeros(len(points), features.shape[2], resolution, resolution, resolution, dtype=features.dtype)
    counts = torch.zeros(len(points), resolution, resolution, resolution)
    for b, length in enumerate(lengths.tolist()):
        for feature, point in zip(features[b, :length], points[b, :length], strict=True):
            if point.isfinite().all() and point.abs().max() <= 1:
                i, j, k = (min(int((float(x) + 1) / 2 * resolution), resolution - 1) for x in point)
                grid[b, :, i, j, k] += feature
                counts[b, i, j, k] += 1
    return grid / counts.clamp(min=1)[:, None]


@pytest.mark.parametrize("resolution", [1, 2, 3, 5])
def test_voxels_are_the_mean_of_the_points_in_each_cell(resolution):
    features, points, lengths = clouds()
    assert torch.allclose(
        voxelize(features, points, resolution, lengths), by_loop(features, points, lengths, resolution)
    )


def test_counts_times_means_add_up_to_the_features_inside():
    points = torch.rand(2, 500, 3, generator=seeded(), dtype=torch.float64) * 2.2 - 1.1
    features = torch.randn(2, 500, 3, generator=seeded(1), dtype=torch.float64)
    shares = voxelize(torch.eye(500, dtype=torch.float64).expand(2, -1, -1), points, R)
    counts = (1 / torch.where(shares > 0, shares, 1)).amax(1, keepdim=True) * (shares.sum(1, keepdim=True) > 0)
    inside = (points.abs() <= 1).all(-1, keepdim=True)
    assert torch.allclose(
        (counts * voxelize(features, points, R)).sum((2, 3, 4)), torch.where(inside, features, 0).sum(1)
    )


def test_the_gradient_of_a_mean_is_one_over_the_count_and_padding_has_none():
    features, points, lengths = clouds()
    features.requires_grad_()
    voxelize(features, points, 1, lengths).sum().backward()
    inside = (points.abs() <= 1).all(-1) & (torch.arange(40) < lengths[:, None])
    expected = inside / inside.sum(1, keepdim=True).clamp(min=1)
    assert torch.allclose(features.grad, expected[..., None].expand(-1, -1, 2))


def test_padding_has_no_influence_on_voxels():
    features, points, lengths = clouds()
    before = voxelize(features, points, R, lengths)
    points[1, 25:], features[1, 25:], points[2], features[2] = 0, torch.nan, torch.nan, torch.inf
    assert torch.equal(voxelize(features, points, R, lengths), before)
    assert not before[2].any()


def test_the_center_of_a_cell_has_the_mean_of_the_cell():
    features, points, lengths = clouds(torch.float64)
    grid = voxelize(features, points, R, lengths)
    found = devoxelize(grid, centers(R, torch.float64).reshape(1, -1, 3).expand(3, -1, -1))
    assert torch.allclose(found, grid.flatten(2).transpose(1, 2), atol=1e-12)


@pytest.mark.parametrize("resolution", [2, 3, 8])
def test_linear_functions_are_reproduced_between_the_centers(resolution):
    grid, slopes, constants = linear_grid(resolution)
    points = (torch.rand(1, 300, 3, generator=seeded(), dtype=torch.float64) * 2 - 1) * (1 - 1 / resolution)
    assert torch.allclose(devoxelize(grid, points), points @ slopes.T + constants, atol=1e-12)


def test_beyond_the_centers_the_value_is_that_of_the_nearest_place_among_them():
    grid, _, _ = linear_grid(R)
    points = torch.randn(1, 100, 3, generator=seeded(), dtype=torch.float64) * 3
    assert torch.allclose(devoxelize(grid, points), devoxelize(grid, points.clamp(1 / R - 1, 1 - 1 / R)), atol=1e-12)


def test_padding_and_points_that_are_not_finite_get_zeros_and_no_gradient():
    _, points, lengths = clouds()
    grid, points = torch.randn(3, 2, R, R, R, generator=seeded(), requires_grad=True), points.requires_grad_()
    found = devoxelize(grid, points, lengths)
    found.square().sum().backward()
    absent = (torch.arange(40) >= lengths[:, None]) | ~points.isfinite().all(-1)
    assert not found[absent].any()
    assert not points.grad[absent].any()
    assert not grid.grad[2].any()
    assert points.grad.isfinite().all()
    assert grid.grad.isfinite().all()


def test_gradients_agree_with_finite_differences():
    points = torch.rand(2, 6, 3, generator=seeded(), dtype=torch.float64).mul(1.6).sub(0.8).requires_grad_()
    grid = torch.randn(2, 2, 3, 3, 3, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    features = torch.randn(2, 6, 2, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([6, 4])
    assert torch.autograd.gradcheck(lambda grid, points: devoxelize(grid, points, lengths), (grid, points))
    assert torch.autograd.gradcheck(lambda features: voxelize(features, points, 3, lengths), (features,))
    assert torch.autograd.gradgradcheck(lambda features: voxelize(features, points, 3, lengths), (features,))
    assert not voxelize(features.detach(), points, 3).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    features, points, lengths = clouds()
    features, points = features.to(dtype), points.to(dtype)
    grid = voxelize(features, points, R, lengths)
    assert grid.dtype == torch.float32
    assert torch.equal(grid, voxelize(features.float(), points.float(), R, lengths))
    found = devoxelize(grid.to(dtype), points, lengths)
    assert torch.equal(found, devoxelize(grid.to(dtype).float(), points.float(), lengths))


def test_autocast_changes_nothing():
    features, points, lengths = clouds()
    grid = voxelize(features, points, R, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(voxelize(features, points, R, lengths), grid)
        assert devoxelize(grid, points, lengths).dtype == torch.float32


def test_the_layout_in_memory_does_not_matter():
    features, points, lengths = clouds()
    strided = points.transpose(0, 2).contiguous().transpose(0, 2)
    grid = voxelize(features, points, R, lengths)
    assert torch.equal(voxelize(features.transpose(0, 1).contiguous().transpose(0, 1), strided, R, lengths), grid)
    other = grid.transpose(1, 4).contiguous().transpose(1, 4)
    assert torch.equal(devoxelize(other, strided, lengths), devoxelize(grid, points, lengths))
    assert grid.is_contiguous()


def test_nothing_gives_nothing():
    assert voxelize(torch.zeros(2, 0, 3), torch.zeros(2, 0, 3), 2).shape == (2, 3, 2, 2, 2)
    assert voxelize(torch.zeros(0, 5, 3), torch.zeros(0, 5, 3), 2).shape == (0, 3, 2, 2, 2)
    assert devoxelize(torch.zeros(2, 3, 2, 2, 2), torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    assert devoxelize(torch.zeros(0, 3, 2, 2, 2), torch.zeros(0, 4, 3)).shape == (0, 4, 3)


def test_errors_name_the_argument():
    features, points, lengths = clouds()
    grid = torch.zeros(3, 2, R, R, R)
    with pytest.raises(ValueError, match="resolution must be at least 1, given 0"):
        voxelize(features, points, 0)
    with pytest.raises(ValueError, match=r"backend 'warp' cannot do voxelize: .*what can: reference"):
        voxelize(features, points, R, backend="warp")
    with pytest.raises(ValueError, match=r"backend must be auto, .* given 'cuda'"):
        devoxelize(grid, points, backend="cuda")
    with pytest.raises(TypeError, match=r"grid and points must have one dtype, given torch.float32 and torch.float64"):
        devoxelize(grid, points.double())
    with pytest.raises(ValueError, match="lengths of points must lie between 0 and 40"):
        devoxelize(grid, points, lengths + 1)


UNHOOKED = """
import torch
from geomflow.ops.voxels import devoxelize, voxelize

def refused(call, *words):
    try:
        call()
    except (ValueError, TypeError) as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(words)

refused(lambda: voxelize(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2), 2), "points", "(1, 2, 2)")
refused(lambda: devoxelize(torch.zeros(1, 2, 3, 3, 2), torch.zeros(1, 2, 3)), "grid", "(1, 2, 3, 3, 2)")
refused(lambda: devoxelize(torch.zeros(2, 2, 3, 3, 3), torch.zeros(1, 2, 3)), "grid", "(2, 2, 3, 3, 3)")
refused(lambda: voxelize(torch.zeros(1, 3, 3), torch.zeros(1, 2, 3), 2), "features", "(1, 2) on cpu, given (1, 3)")
refused(lambda: voxelize(torch.zeros(1, 2, 3, dtype=int), torch.zeros(1, 2, 3), 2), "features", "torch.int64")

def both(features, points, lengths):
    grid = voxelize(features, points, 4, lengths)
    return grid, devoxelize(grid, points, lengths)

def run(call):
    torch.manual_seed(0)
    inputs = torch.randn(2, 30, 3, requires_grad=True), torch.rand(2, 30, 3).requires_grad_()
    results = call(*inputs, torch.tensor([30, 20]))
    return *results, *torch.autograd.grad(sum(result.square().sum() for result in results), inputs)

compiled = run(torch.compile(both, fullgraph=True, backend="aot_eager"))
assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(compiled, run(both), strict=True))
"""


@pytest.mark.slow
def test_compiled_code_agrees_and_shapes_are_checked_without_jaxtyping():
    subprocess.run([sys.executable, "-c", UNHOOKED], check=True, timeout=300)
