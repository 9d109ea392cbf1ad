"""Pointwise: points do not see each other, times count once per cloud, and forward-mode derivatives pass."""

import pytest
import torch
from torch.autograd.functional import jacobian

from geomflow.networks import pointwise


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = pointwise.make(channels=5, width=32, depth=2).double()
    with torch.no_grad():  # as after training: no layer is zero
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def inputs(clouds: int = 3, points: int = 7):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(clouds, points, 5, generator=generator, dtype=torch.float64)
    t, r = torch.rand(2, clouds, generator=generator, dtype=torch.float64)
    return x, t, r


def test_a_point_depends_on_itself_alone(network):
    x, t, r = inputs(1, 4)
    slope = jacobian(lambda cloud: network(cloud, t, r)[0], x)[:, :, 0]  # (point, channel, point, channel)
    own = torch.einsum("pcpd->pcd", slope)
    assert own.abs().min() > 0
    others = slope.clone()
    for point in range(4):
        others[point, :, point] = 0
    assert (others == 0).all()


def test_a_cloud_is_the_same_as_its_points_one_by_one(network):
    x, t, r = inputs()
    alone = network(x.reshape(-1, 1, 5), t.repeat_interleave(7), r.repeat_interleave(7))
    torch.testing.assert_close(network(x, t, r), alone.view_as(x))


def test_times_are_embedded_once_per_cloud(network):
    seen = []
    network.time.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape)))
    network(*inputs(2, 500))
    assert seen == [(2, 32)]


def test_both_times_count(network):
    x, t, r = inputs()
    assert not torch.allclose(network(x, t, r), network(x, t, t))
    assert not torch.allclose(network(x, t, r), network(x, r, r))


def test_forward_mode_equals_differences(network):
    x, t, r = inputs()
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    direction = (tangent, torch.ones_like(t), torch.zeros_like(r))
    _, slope = torch.func.jvp(network, (x, t, r), direction)
    step = 1e-6
    ahead, behind = (network(x + s * tangent, t + s, r) for s in (step, -step))
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), atol=1e-5, rtol=1e-5)


def test_sizes_reach_from_a_fifth_of_a_million_to_five_and_a_half():
    small, large = (
        sum(weight.numel() for weight in pointwise.make(3, **options).parameters())
        for options in ({"width": 96, "depth": 3}, {"width": 512, "depth": 5})
    )
    assert small < 250_000
    assert 4_500_000 < large < 6_500_000


def test_conditions_are_refused(network):
    x, t, r = inputs()
    with pytest.raises(ValueError, match="condition must be None"):
        network(x, t, r, condition=t)
