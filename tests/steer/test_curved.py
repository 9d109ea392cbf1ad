"""Steering of flow maps on manifolds: what draws from a law there, and what would leave the manifold and is refused."""

import math

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowMap, Geodesic
from geomflow.steer import ascend, guide, langevin, tilt


def noise(count: int) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def uniform() -> FlowMap:
    """Directions that stay uniform; tilted by exp(a z) they have the mean coth a - 1 / a."""
    return FlowMap(lambda x, t, r: 0 * x, Geodesic(manifold=shelves.load("manifolds", "sphere")))


def height(data: Tensor) -> Tensor:
    return data[:, 2]


def test_tilting_on_a_sphere_weighs_particles_and_refuses_noise_that_would_leave_it():
    chance = torch.Generator().manual_seed(1)
    found = tilt(uniform(), height, noise(20_000), 3, strength=2.0, churn=0.0, generator=chance)
    torch.testing.assert_close(found.data.norm(dim=1), torch.ones(20_000, dtype=torch.float64))
    assert found.data[:, 2].mean() == pytest.approx(1 / math.tanh(2) - 1 / 2, abs=0.01)
    with pytest.raises(ValueError, match=r"churn must be 0 where states lie on a manifold, given 1\.0"):
        tilt(uniform(), height, noise(4), 3)


def test_what_steers_in_the_noise_stays_on_the_sphere():
    """Langevin draws from the tilted law; the search turns every noise to the pole."""
    chance = torch.Generator().manual_seed(1)
    found = langevin(uniform(), height, noise(4000), 40, strength=2.0, fresh=0.9, generator=chance)
    torch.testing.assert_close(found.data.norm(dim=1), torch.ones(4000, dtype=torch.float64))
    assert found.data[:, 2].mean() == pytest.approx(1 / math.tanh(2) - 1 / 2, abs=0.02)
    top = ascend(uniform(), height, noise(50), rounds=32, angle=0.1)
    assert top.data[:, 2].min() > math.cos(0.1)


def test_guidance_which_moves_states_in_straight_lines_is_refused_on_manifolds():
    with pytest.raises(ValueError, match="guide moves states in straight lines, not on manifolds"):
        guide(uniform(), height, noise(4))
