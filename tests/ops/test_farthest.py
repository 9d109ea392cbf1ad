"""Farthest point sampling: what holds of every sequence."""

import math

import numpy as np
import pytest
import torch

from geomflow.ops import sample_farthest_points
from geomflow.ops.farthest import search_farthest

POINTS = torch.rand((3, 500, 3), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([500, 20, 0])


@pytest.mark.parametrize("backend", ["reference", "warp"])
class TestBothBackends:
    def test_a_shorter_sample_is_the_beginning_of_a_longer_one(self, backend):
        short, long = (sample_farthest_points(POINTS, LENGTHS, k, backend=backend).idx for k in (10, 60))
        assert torch.equal(short, long[:, :10])

    def test_each_sample_is_nearer_to_the_others_than_the_one_before(self, backend):
        chosen, _ = sample_farthest_points(POINTS, K=50, backend=backend)
        gaps = torch.cdist(chosen.double(), chosen.double())
        reach = torch.stack([gaps[:, k, :k].amin(1) for k in range(1, 50)], dim=1)
        assert (reach[:, 1:] <= reach[:, :-1] + 1e-7).all()

    def test_the_whole_cloud_is_a_permutation_even_of_copies(self, backend):
        copies = POINTS[:, :1].expand(-1, 40, -1)
        assert torch.equal(sample_farthest_points(copies, K=40, backend=backend).idx, torch.arange(40).expand(3, -1))
        whole = sample_farthest_points(POINTS, LENGTHS, 500, backend=backend).idx
        assert torch.equal(whole.sort(1).values[0], torch.arange(500))
        assert sorted(whole[1, :20].tolist()) == list(range(20))
        assert (whole[1, 20:] == -1).all()
        assert (whole[2] == -1).all()

    def test_counts_and_starts_of_their_own(self, backend):
        found = sample_farthest_points(POINTS, LENGTHS, [4, 7, 2], start_idx=torch.tensor([9, 19, 0]), backend=backend)
        assert found.idx[:, 0].tolist() == [9, 19, -1]
        assert (found.idx >= 0).sum(1).tolist() == [4, 7, 0]
        torch.testing.assert_close(found.points[0, 0], POINTS[0, 9])
        assert (found.points[0, 4:] == 0).all()

    def test_a_start_that_is_no_point_gives_way_to_the_first_that_is(self, backend):
        broken = POINTS.clone()
        broken[0, :3] = math.nan
        found = sample_farthest_points(broken, LENGTHS, 5, start_idx=1, backend=backend).idx
        assert found[:, 0].tolist() == [3, 1, -1]
        assert not torch.isin(torch.arange(3), sample_farthest_points(broken, K=500, backend=backend).idx[0]).any()


@pytest.mark.parametrize("k", [np.int64(3), torch.tensor(3), [3, 3, 3]])
def test_counts_of_any_kind(k, unchecked_shapes):
    assert torch.equal(sample_farthest_points(POINTS, LENGTHS, k).idx, sample_farthest_points(POINTS, LENGTHS, 3).idx)


def test_random_starts_are_points_and_follow_the_generator():
    draws = [
        sample_farthest_points(
            POINTS, LENGTHS, 1, random_start_point=True, generator=torch.Generator().manual_seed(seed)
        ).idx[:, 0]
        for seed in (*range(40), 0)
    ]
    assert torch.equal(draws[0], draws[-1])
    starts = torch.stack(draws)
    assert starts[:, 0].unique().numel() > 30
    assert set(starts[:, 1].tolist()) <= set(range(20))
    assert (starts[:, 2] == -1).all()


def test_samples_carry_gradients_to_their_points_only():
    points = POINTS.clone().requires_grad_()
    chosen, idx = sample_farthest_points(points, LENGTHS, 6)
    chosen.sum().backward()
    counted = torch.zeros(3, 500)
    counted[0, idx[0]], counted[1, idx[1]] = 1, 1
    assert torch.equal(points.grad, counted[..., None].expand(-1, -1, 3))


def test_the_custom_op_passes_torchs_checks():
    valid = torch.ones(3, 500, dtype=torch.bool)
    for backend in ("reference", "warp"):
        torch.library.opcheck(search_farthest, (POINTS, valid, torch.tensor([0, 1, 2]), 4, backend))


@pytest.mark.usefixtures("unchecked_shapes")
def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="K must be at least 1, given 0"):
        sample_farthest_points(POINTS, K=0)
    with pytest.raises(ValueError, match=r"start_idx must be one number or one per cloud \(3,\)"):
        sample_farthest_points(POINTS, K=2, start_idx=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="backend 'kdtree' cannot do farthest"):
        sample_farthest_points(POINTS, K=2, backend="kdtree")
