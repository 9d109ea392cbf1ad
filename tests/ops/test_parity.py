"""Every backend against naive loops, on clouds made to break it."""

import math
import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geomflow.ops import ball_query, knn_points, sample_farthest_points
from geomflow.ops.batches import length_mask
from geomflow.warp_runtime import wp
from tests.ops.clouds import EXACT, KINDS, cloud, naive_farthest, naive_knn, searches

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
EXAMPLES = int(os.environ.get("GEOMFLOW_TEST_EXAMPLES", "60"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


def assert_same_neighbours(kind: str, gaps: np.ndarray, found, distance: np.ndarray, index: np.ndarray) -> None:
    """Equal distances, each that of the point it names; equal indices too, unless distances differ by rounding only."""
    np.testing.assert_allclose(found.dists.cpu(), distance, rtol=1e-5)
    idx = found.idx.cpu().numpy()
    assert ((idx < 0) == (index < 0)).all()
    assert all(len(set(row)) == len(row) for row in idx.reshape(-1, idx.shape[2]).tolist() if -1 not in row)
    assert kind not in EXACT or (idx == index).all()
    named = np.take_along_axis(gaps, np.maximum(idx, 0), axis=2) if gaps.shape[2] else distance
    np.testing.assert_allclose(np.where(idx < 0, np.inf, named), distance, rtol=1e-5)


def gaps_of(p1: torch.Tensor, p2: torch.Tensor, norm: int = 2) -> np.ndarray:
    """Lengths of all differences, squared for norm 2, in float64."""
    difference = (p1[:, :, None].double() - p2[:, None].double()).cpu()
    return (difference.abs().sum(-1) if norm == 1 else difference.square().sum(-1)).numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("norm", [2, 1])
@pytest.mark.parametrize("backend", ["reference", "kdtree", "warp"])
@many
@given(search=searches(), k=st.integers(1, 20))
def test_neighbours_are_those_of_naive_loops(backend, norm, device, search, k):
    kind, *clouds = search
    if backend == "kdtree" and device == "cuda":
        return
    found = knn_points(*(part.to(device) for part in clouds), norm=norm, K=k, pad_distance=math.inf, backend=backend)
    assert_same_neighbours(kind, gaps_of(*clouds[:2], norm), found, *naive_knn(*clouds, k, norm))


@pytest.mark.skipif(not wp.config.enable_cpu_blocks, reason="run by test_kernels in Warp's debug mode with CPU blocks")
@many
@given(search=searches(most=300), k=st.integers(1, 20), norm=st.sampled_from([1, 2]))
def test_tiles_find_the_neighbours_of_naive_loops(search, k, norm):
    from geomflow.ops.neighbours import KNN
    from geomflow.ops.warp import knn_by_tiles

    kind, p1, p2, *lengths = search
    if p1.numel() and p2.numel():
        found = KNN(*knn_by_tiles(p1, p2, *lengths, k, norm), None)
        assert_same_neighbours(kind, gaps_of(p1, p2, norm), found, *naive_knn(p1, p2, *lengths, k, norm))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backend", ["reference", "warp"])
@many
@given(search=searches(), k=st.integers(1, 60), radius=st.sampled_from([0.0, 0.3, 1.0, 1.5, 100.0]))
def test_balls_hold_the_first_points_nearer_than_the_radius(backend, device, search, k, radius):
    _, p1, p2, lengths1, lengths2 = search
    found = ball_query(*(part.to(device) for part in search[1:]), K=k, radius=radius, backend=backend)
    distance, index = naive_knn(p1, p2, lengths1, lengths2, max(1, p2.shape[1]))
    for b, i in np.ndindex(*p1.shape[:2]):
        inside = sorted(n for d, n in zip(distance[b, i], index[b, i], strict=True) if d < np.float32(radius) ** 2)[:k]
        assert found.idx[b, i].tolist() == inside + [-1] * (k - len(inside))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backend", ["reference", "warp"])
@many
@given(search=searches(), k=st.integers(1, 50), start=st.integers(0, 40))
def test_farthest_points_are_the_greedy_sequence(backend, device, search, k, start):
    kind, _, points, _, lengths = search
    valid = length_mask(lengths, points.shape[1]) & points.isfinite().all(-1)
    found = sample_farthest_points(
        points.to(device), lengths.to(device), k, start_idx=start, backend=backend
    ).idx.tolist()
    for b, rows in enumerate(valid):
        names = rows.nonzero()[:, 0].tolist()
        if not names:
            assert found[b] == [-1] * k
            continue
        first = names.index(start) if start in names else 0
        greedy = naive_farthest(points[b][rows].numpy(), k, first)
        expected = [names[n] if n >= 0 else -1 for n in greedy]
        assert [n < 0 for n in found[b]] == [n < 0 for n in expected]
        if found[b] != expected:
            assert kind not in EXACT
            assert_greedy(points[b].double().numpy(), [n for n in found[b] if n >= 0], names)


def assert_greedy(points: np.ndarray, chosen: list[int], names: list[int]) -> None:
    """Every sample is, to rounding, as far from those before it as any point is, and none is taken twice."""
    assert len(set(chosen)) == len(chosen)
    for step in range(1, len(chosen)):
        reach = np.square(points[names][:, None] - points[chosen[:step]]).sum(-1).min(1)
        assert np.square(points[chosen[step]] - points[chosen[:step]]).sum(-1).min() >= reach.max() * (1 - 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["kdtree", "warp"])
def test_trees_of_many_levels(kind, backend):
    rng = np.random.default_rng(0)
    points = torch.from_numpy(np.stack([cloud(kind, rng, 6000) for _ in range(2)]))
    queries, lengths = points[:, :150], (torch.tensor([150, 70]), torch.tensor([6000, 3333]))
    expected = knn_points(queries, points, *lengths, K=12, pad_distance=math.inf, backend="reference")
    found = knn_points(queries, points, *lengths, K=12, pad_distance=math.inf, backend=backend)
    assert_same_neighbours(kind, gaps_of(queries, points), found, expected.dists.numpy(), expected.idx.numpy())


@pytest.mark.parametrize("kind", ["uniform", "copies", "clusters", "one spot"])
def test_large_clouds_are_asked_along_a_curve(kind):
    """Above `kdtree.LARGE` points the order of the questions changes, and crowded clouds go to another tree."""
    points = torch.from_numpy(cloud(kind, np.random.default_rng(1), 40_000))[None]
    found, other = (knn_points(points, points, K=3, backend=backend) for backend in ("kdtree", "warp"))
    torch.testing.assert_close(found.dists, other.dists, rtol=1e-5, atol=0)
    assert kind not in EXACT or torch.equal(found.idx, other.idx)
    few = points[:, ::2000]
    expected = knn_points(few, points, K=3, backend="reference")
    for some in (found.idx[:, ::2000], knn_points(few, points, K=3).idx):
        assert_same_neighbours(
            kind, gaps_of(few, points), expected._replace(idx=some), expected.dists.numpy(), expected.idx.numpy()
        )


@pytest.mark.parametrize("kind", ["uniform", "plane", "copies", "clusters", "outliers"])
def test_farthest_points_of_a_large_cloud(kind):
    points = torch.from_numpy(np.stack([cloud(kind, np.random.default_rng(2), 5000) for _ in range(2)]))
    lengths = torch.tensor([5000, 1234])
    found, expected = (
        sample_farthest_points(points, lengths, 300, start_idx=7, backend=backend).idx
        for backend in ("warp", "reference")
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dimension", [1, 4, 8])
def test_doubles_and_other_dimensions_on_trees(dimension):
    points = torch.rand((2, 400, dimension), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, expected = (knn_points(points, points, K=5, backend=name) for name in ("kdtree", "reference"))
    assert torch.equal(found.idx, expected.idx)
    torch.testing.assert_close(found.dists, expected.dists)


@pytest.mark.parametrize("k", [1, 4])
def test_a_large_cloud_on_one_spot_takes_no_time(k):
    """A kd-tree alone would compare all with all, 10^10 pairs."""
    spot = torch.full((1, 100_000, 3), 0.25)
    assert torch.equal(knn_points(spot, spot, K=k).idx, torch.arange(k).expand(1, 100_000, -1))


def test_distances_survive_a_huge_offset():
    """Explicit differences: |a|^2 + |b|^2 - 2 a.b would lose everything here."""
    points = torch.rand((1, 3000, 3), generator=torch.Generator().manual_seed(0)).double()
    moved = (1e6 + points).float()
    for backend in ("reference", "kdtree", "warp"):
        found = knn_points(moved, moved, K=4, backend=backend)
        gap = moved[0].double()[:, None] - moved[0].double()[found.idx[0]]
        torch.testing.assert_close(found.dists[0].double(), gap.square().sum(-1))
