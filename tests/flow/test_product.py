"""Parts of a state with laws of their own: each moves as it would alone, and they keep pace."""

import math

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap, Formulation, LossModule, TimePairs
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.product import product
from tests.flow.cases import bare
from tests.flow.curved import SPHERE, jumps, random_points
from tests.flow.oracles import gaussian

EDM = shelves.load("formulations", "edm")


def random_batch(count: int = 40, points: int = 7) -> FlowBatch:
    """Clouds of positions with unit normals, and times."""
    data, noise = torch.randn(2, count, points, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data[..., 3:] = SPHERE.project(data[..., 3:])
    t, r = (0.98 * torch.rand(2, count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).sort(0).values
    return FlowBatch(data, noise, t, r + 0.01)


def both(path_of: Formulation = EDM) -> Formulation:
    """Positions by EDM, normals on the sphere."""
    return product([(3, path_of), (3, Geodesic(path_of.path, manifold=SPHERE))])


@pytest.mark.parametrize("name", ["edm", "u_prediction", "ddim"])
def test_progress_runs_from_zero_to_one_at_its_pace(name: str) -> None:
    geodesic = Geodesic(shelves.load("formulations", name).path, manifold=SPHERE)
    t, h = torch.linspace(0, 1, 21, dtype=torch.float64), 1e-6
    done = geodesic.progress(t)
    assert done[0] == 0
    assert abs(done[-1] - 1) < 1e-12
    assert (done.diff() > 0).all()
    slope = (geodesic.progress(t[1:-1] + h) - geodesic.progress(t[1:-1] - h)) / (2 * h)
    assert (geodesic.pace(t[1:-1]) - slope).abs().max() < 1e-6
    if name == "u_prediction":
        assert (done - t).abs().max() < 1e-15


def test_conditional_velocities_are_those_of_the_path() -> None:
    """x_t moves at instantaneous_target times the pace, by finite differences; it begins at noise and ends at data."""
    batch, h = jumps(SPHERE), 1e-6
    for path in (EDM.path, shelves.load("formulations", "u_prediction").path):
        geodesic = Geodesic(path, manifold=SPHERE)
        ahead, behind = (geodesic.x_t(batch.data, batch.noise, batch.t + step) for step in (h, -h))
        x = geodesic.x_t(batch.data, batch.noise, batch.t)
        velocity = geodesic.velocity(geodesic.instantaneous_target(batch.data, batch.noise, batch.t), x, batch.t)
        assert ((ahead - behind) / (2 * h) - velocity).abs().max() < 1e-6
        ends = [geodesic.x_t(batch.data, batch.noise, torch.full_like(batch.t, end)) for end in (0.0, 1.0)]
        assert (ends[0] - batch.noise).abs().max() < 1e-12
        assert (ends[1] - batch.data).abs().max() < 1e-12


def test_parts_move_as_they_would_alone() -> None:
    batch, whole = random_batch(), both()
    parts = EDM, Geodesic(EDM.path, manifold=SPHERE)
    x = whole.x_t(batch.data, batch.noise, batch.t)
    output = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    network = FlowMap(lambda x, t, r: output, whole)
    m, landing = network.cumulative_field(x, batch.t, batch.r), network(x, batch.t, batch.r)
    for part, own in zip(parts, (slice(3), slice(3, 6)), strict=True):
        alone = FlowMap(lambda x, t, r, own=own: output[..., own], part)
        assert torch.equal(x[..., own], part.x_t(batch.data[..., own], batch.noise[..., own], batch.t))
        assert torch.equal(m[..., own], alone.cumulative_field(x[..., own], batch.t, batch.r))
        assert torch.equal(landing[..., own], alone(x[..., own], batch.t, batch.r))
        assert torch.equal(whole.velocity(m, x, batch.t)[..., own], part.velocity(m[..., own], x[..., own], batch.t))
    far = 0.5 * m  # arcs shorter than half of the circle are found again
    assert (whole.field(whole.jump(far, x, batch.t, batch.r), x, batch.t, batch.r) - far).abs().max() < 1e-7
    assert (landing[..., 3:].norm(dim=-1) - 1).abs().max() < 1e-12
    found = whole.field(x, x, batch.t, batch.t, instant=m)  # an empty jump has the field that it is told
    assert torch.equal(found, m)


def test_one_part_is_that_formulation() -> None:
    """A product of nothing but EDM trains and samples as EDM does."""
    torch.manual_seed(0)
    network = shelves.load("networks", "pointwise", channels=3, width=16, depth=1)
    torch.nn.init.normal_(network.out.weight)
    data, found = torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(0)), []
    chain = {"split": "chain", "parts": 4, "huber": 0.02}
    for formulation in (EDM, product([(3, EDM)])):
        loss = LossModule(FlowMap(network, formulation), shelves.load("objectives", "semigroup", **chain), TimePairs())
        value = loss(data, generator=torch.Generator().manual_seed(1))[0]
        slope = torch.autograd.grad(value, network.out.weight)[0]
        found.append((value, slope, loss.flow_map.sample(data, 3)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_with_linear_jumps_the_semigroup_on_manifolds_is_the_flat_one() -> None:
    """The geodesic's target is the average of fields, whether EDM is asked itself or as the one part of a product."""
    batch, m = random_batch(), torch.randn(6, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = []
    for name, formulation in (
        ("semigroup", EDM),
        ("geodesic_semigroup", EDM),
        ("geodesic_semigroup", product([(6, EDM)])),
    ):
        flow_map = FlowMap(lambda x, t, r: (x @ m + (r - t)[:, None, None]).tanh(), formulation)
        objective = shelves.load("objectives", name, split="midpoint")
        found.append(objective(flow_map, batch, flow_map, None).target)
    assert torch.equal(found[0], found[1])
    assert (found[0] - found[2]).abs().max() < 1e-9


class ExactParts:
    """A Gaussian in the plane and a single direction, each with its exact cumulative field, beside each other."""

    def __init__(self) -> None:
        self.flat, self.point = bare("edm"), random_points(SPHERE, 1, 9)
        self.curved = Geodesic(self.flat.path, manifold=SPHERE)
        self.map = gaussian().exact_map(self.flat.path)

    def __call__(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """Both fields."""
        own, normal = x[:, :2], x[:, 2:]
        jumping = (t != r)[:, None]
        later = torch.where(t == r, (t + 0.1).clamp(max=1), r)
        moved = self.flat.field(self.map(own, t, later), own, t, later)
        field = torch.where(jumping, moved, gaussian().instantaneous(self.flat, own, t))
        rest = SPHERE.log(normal, self.point.expand_as(normal)) / (1 - self.curved.progress(t))[:, None]
        return torch.cat([field, rest], dim=1)

    def flow_map(self) -> FlowMap:
        """The exact flow map of both."""
        return FlowMap(self, product([(2, self.flat), (3, self.curved)]))


def test_exact_parts_do_not_depend_on_the_steps_and_satisfy_chains() -> None:
    exact = ExactParts()
    flow_map, noise = exact.flow_map(), torch.randn(50, 5, dtype=torch.float64)
    once = flow_map.sample(noise, 1)
    assert (once - flow_map.sample(noise, 7)).abs().max() < 1e-8
    assert (once[:, 2:] - exact.point).abs().max() < 1e-12
    t = torch.full((64,), 0.3, dtype=torch.float64)
    data = torch.cat([torch.randn(64, 2, dtype=torch.float64), exact.point.expand(64, 3)], dim=1)
    batch = FlowBatch(data, torch.randn(64, 5, dtype=torch.float64), t, t + 0.2)
    gaps = []
    for parts in (8, 32):
        chain = shelves.load("objectives", "semigroup", split="chain", parts=parts)
        regression = chain(flow_map, batch, flow_map, torch.Generator().manual_seed(0))
        gaps.append((regression.prediction - regression.target).abs().mean())
        assert regression.weight is not None
        assert regression.weight.shape == (64, 5)
    assert gaps[1] < gaps[0] / 4
    assert gaps[1] < 0.01
    semigroup = shelves.load("objectives", "geodesic_semigroup")(flow_map, batch, flow_map, torch.Generator())
    assert (semigroup.prediction - semigroup.target).abs().max() < 1e-7


def test_what_needs_linear_jumps_is_refused() -> None:
    batch = jumps(SPHERE)
    flow_map = FlowMap(lambda x, t, r: 0 * x, Geodesic(manifold=SPHERE))
    wrong = FlowMap(flow_map.network, product([(3, Geodesic(manifold=SPHERE))]))
    for name in ("semigroup", "eulerian", "lagrangian", "alpha", "consistency"):
        for one, known in (
            (
                flow_map,
                "Geodesic .*; on manifolds train with geodesic_lagrangian, geodesic_eulerian, geodesic_semigroup",
            ),
            (
                wrong,
                "Product has no linear jumps; on manifolds train with geodesic_semigroup, or semigroup with split=",
            ),
        ):
            with pytest.raises(TypeError, match=known):
                shelves.load("objectives", name)(one, batch, one, torch.Generator())
    for name in ("geodesic_lagrangian", "geodesic_eulerian"):
        with pytest.raises(TypeError, match="formulation must be Geodesic for this objective, given Product"):
            shelves.load("objectives", name)(wrong, batch, wrong, torch.Generator())
    with pytest.raises(ValueError, match=r"gamma must be 0 where states lie on a manifold, given 0\.5"):
        flow_map.sample(batch.noise, 2, gamma=0.5)
    with pytest.raises(ValueError, match="predicts must be 'velocity' on a manifold, given 'data'"):
        Geodesic(predicts="data", manifold=SPHERE)
    with pytest.raises(
        ValueError, match=r"parts must be at least one, each of at least one channel, given widths \(\)"
    ):
        product([])
    with pytest.raises(ValueError, match=r"given widths \(3, 0\)"):
        product([(3, EDM), (0, EDM)])
    with pytest.raises(ValueError, match=r"parts must be as wide as their manifolds, given 4 channels for Sphere"):
        product([(3, EDM), (4, Geodesic(EDM.path, manifold=SPHERE))])
    with pytest.raises(ValueError, match=r"parts must share a path, given KarrasPath\(.*\) and LinearPath\(\)"):
        product([(3, EDM), (3, Geodesic(manifold=SPHERE))])
    with pytest.raises(ValueError, match=r"states must have channels \(3, 3\) on the last axis, given \(40, 7, 5\)"):
        both().start(random_batch().noise[..., :5])


def test_noise_on_the_sphere_keeps_its_unit_length_through_any_network() -> None:
    """An untrained network's output, however large, moves along the sphere: 1e-6 in float32, at every step."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 3)
    flow_map = FlowMap(lambda x, t, r: 20 * network(x), Geodesic(manifold=SPHERE))
    path = flow_map.sample(torch.randn(1000, 3), 16, return_path=True)
    assert (path.norm(dim=-1) - 1).abs().max() < 1e-6
    assert (path[1:] - path[:-1]).norm(dim=-1).mean() > 0.1
    back = flow_map.invert(path[-1], 64, "heun")
    assert (back.norm(dim=-1) - 1).abs().max() < 1e-6
    assert math.isfinite(float(back.sum()))
