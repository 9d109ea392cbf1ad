"""Expected points with normals: Bayes' rule over neighbours of all that is seen, on the sphere for the normals."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from geomflow import shelves
from geomflow.datasets._part_mean import PartMean
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.product import Product, product


def points_with_normals() -> Product:
    """Positions by EDM, normals on the sphere."""
    flat = shelves.load("formulations", "edm", sigma_data=1.0)
    return product([(3, flat), (3, Geodesic(flat.path, manifold=shelves.load("manifolds", "sphere")))])


def ball(count: int, seed: int) -> Tensor:
    """Points of a unit sphere, each with its normal."""
    normals = F.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=1)
    return torch.cat([normals, normals], dim=1)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_the_mean_over_candidates_is_that_over_many(sigma: float) -> None:
    """1,500 candidates give the mean of 15,000 others; the point that was drawn is far from it."""
    formulation = points_with_normals()
    mean, data = PartMean(formulation), ball(24, 0)
    noise, ratio = torch.randn(24, 6, generator=torch.Generator().manual_seed(1)), torch.full((24,), sigma)
    z = formulation.evidence(data, noise, ratio)
    found = [mean(z, ratio, data, ball(count, count)[None].repeat(24, 1, 1)) for count in (1500, 15_000)]
    error, drawn = ((one - found[1]).square().mean().sqrt() for one in (found[0], data))
    assert error < drawn / 5
    assert (found[0][:, 3:].norm(dim=1) - 1).abs().max() < 1e-5


def test_normals_tell_of_positions_and_positions_of_normals() -> None:
    """Two sheets in one place, facing apart: the normal's state says which one; the expectation is not their mean."""
    formulation = points_with_normals()
    up = torch.tensor([[0.0, 0, 0, 0, 0, 1]])
    down, ratio = -up, torch.full((1,), 0.1)
    z = formulation.evidence(up, torch.tensor([[0.0, 0, 0, 1, 0, 0]]), ratio)
    found = PartMean(formulation)(z, ratio, up, torch.cat([up, down])[None])
    assert (found - up).abs().max() < 1e-4
    apart = torch.tensor([[0.0, 0, 1, 0, 0, 1], [0, 0, -1, 0, 0, -1]])
    noise = torch.tensor([[0.0, 0, 0, 1, 0, 0]])
    seen = formulation.evidence(apart[:1], noise, ratio)
    seen[:, :3] = 0  # nothing to be told by positions
    found = PartMean(formulation)(seen, ratio, apart[:1], apart[None])
    assert (found[:, :3] - apart[:1, :3]).abs().max() < 1e-4


def test_the_mean_is_bayes_rule_written_out() -> None:
    """Positions weigh by a Gaussian, normals by sin(theta) / sin(angle), theta the angle of their noise, under pi."""
    formulation, own, near = points_with_normals(), ball(1, 0), ball(60, 1)
    ratio = torch.full((1,), 0.8)
    z = formulation.evidence(own, torch.randn(1, 6, generator=torch.Generator().manual_seed(2)), ratio)
    rows = torch.cat([own, near]).double()
    first, last = 1 / 81, 1 / 1.002  # the share 1 / (1 + sigma) at both ends of EDM's path
    left = (last - 1 / 1.8) / (last - first)
    angle = (rows[:, 3:] @ z[0, 3:].double()).clamp(-1, 1).acos()
    theta = angle / left
    room = torch.where(theta < torch.pi, theta.sin() / angle.sin(), 0)
    weights = (-(rows[:, :3] - z[0, :3]).square().sum(1) / (2 * 0.8**2)).exp() * room
    weights = weights / weights.sum()
    towards = rows[:, 3:] - angle.cos()[:, None] * z[0, 3:]
    mean = (weights * angle) @ F.normalize(towards, dim=1)
    end = mean.norm().cos() * z[0, 3:] + mean.norm().sin() * F.normalize(mean, dim=0)
    found = PartMean(formulation)(z, ratio, own, near[None])[0]
    assert (found - torch.cat([weights @ rows[:, :3], end])).abs().max() < 1e-4
    assert 0.05 < float(weights.max()) < 0.9


def test_noise_on_the_far_side_of_a_flat_face_leaves_it_to_the_positions() -> None:
    """Rounding puts every normal of the face beyond half a turn; the mean is then that of the points around."""
    formulation, up = points_with_normals(), torch.tensor([0.0, 0, 1])
    own, near = torch.tensor([[0.1, 0, 0, *up]]), torch.tensor([[[-0.1, 0, 0, *up], [0.0, 0, 0, *up]]])
    ratio = torch.full((1,), 0.5)
    z = torch.tensor([[0.0, 0, 0, 0, 0, -1]])  # no noise leads here
    found = PartMean(formulation)(z, ratio, own, near)
    assert torch.isfinite(found).all()
    assert (found[0, :3]).abs().max() < 1e-6
    assert (found[0, 3:] - up).abs().max() < 1e-5
