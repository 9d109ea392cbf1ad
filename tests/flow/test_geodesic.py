"""Flow maps on manifolds: exact flows satisfy every law, mutants do not, states stay where they belong."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap
from geomflow.flow.derivative import along_arrival, along_flow
from geomflow.flow.expectation import expected
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.path import LinearPath
from geomflow.manifolds.sphere import Sphere
from tests.flow.curved import (
    CIRCLE,
    FLOWS,
    OTHER,
    ROTATIONS,
    SPHERE,
    FinitePoints,
    climbing,
    jumps,
    random_points,
    spinning,
)

LAWS = {
    "geodesic_semigroup": {},
    "geodesic_lagrangian": {},
    "geodesic_eulerian": {"tangent": "predicted"},
}
every_flow = pytest.mark.parametrize("name", FLOWS)
every_law = pytest.mark.parametrize("law", LAWS)


def gap(law: str, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap | None = None) -> Tensor:
    """How far prediction and target of a law are apart, row by row."""
    objective = shelves.load("objectives", law, **LAWS[law])
    regression = objective(flow_map, batch, target_map or flow_map, torch.Generator().manual_seed(0))
    return (regression.prediction - regression.target).detach().norm(dim=1)


@every_flow
@every_law
def test_exact_flows_satisfy_the_laws(name: str, law: str) -> None:
    flow = FLOWS[name]()
    assert gap(law, flow.flow_map(), jumps(flow.manifold)).max() < 1e-9


@every_flow
def test_exact_flows_do_not_depend_on_the_steps(name: str) -> None:
    flow = FLOWS[name]()
    noise = random_points(flow.manifold, 32, 5)
    once = flow.flow_map()(noise, 0.0, 0.9)
    for steps in (2, 5, 16):
        grid = [0.9 * k / steps for k in range(steps + 1)]
        assert (flow.flow_map().sample(noise, times=grid) - once).abs().max() < 1e-11


@every_flow
def test_the_ode_leads_to_the_flow_map(name: str) -> None:
    """Heun's steps along geodesics are of second order: four times the steps, a sixteenth of the error."""
    flow = FLOWS[name]()
    noise = random_points(flow.manifold, 32, 5)
    exact, flow_map = flow.psi(noise, torch.zeros(32).double(), torch.full((32,), 0.6).double()), flow.flow_map()
    errors = [(flow_map.integrate(noise, 0.0, 0.6, steps) - exact).abs().max() for steps in (8, 32)]
    assert errors[1] < 2e-3
    assert errors[1] < errors[0] / 10 or errors[0] < 1e-12


@dataclasses.dataclass(frozen=True)
class ChordLog(Sphere):
    """A sphere whose log is a plain difference, put into the tangent space."""

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """No angle."""
        return self.tangent(x, y - x)


@dataclasses.dataclass(frozen=True)
class LineExp(Sphere):
    """A sphere whose exp walks straight on and then comes back down."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """No geodesic."""
        return self.project(x + v)


@every_law
@pytest.mark.parametrize("mutant", ["sign", "exp", "log", "instant"])
def test_the_laws_see_mutants(mutant: str, law: str) -> None:
    """A reversed field, straight lines in place of geodesics, a field that ignores its arrival."""
    flow = climbing(SPHERE)
    maps = {
        "sign": FlowMap(lambda x, t, r: flow(x, t, 2 * t - r), Geodesic(manifold=SPHERE)),
        "exp": FlowMap(flow, Geodesic(manifold=LineExp(3))),
        "log": FlowMap(dataclasses.replace(flow, manifold=ChordLog(3)), Geodesic(manifold=SPHERE)),
        "instant": FlowMap(lambda x, t, r: flow.velocity(x, t), Geodesic(manifold=SPHERE)),
    }
    assert gap(law, maps[mutant], jumps(SPHERE)).max() > 1e-2


def test_the_semigroup_needs_the_geodesic_and_not_the_average_of_fields() -> None:
    """What flat space allows - a plain difference to the landing, the mean of two fields - fails on the sphere."""
    flow, batch = spinning(), jumps(SPHERE)
    flow_map, s = flow.flow_map(), (batch.t + batch.r) / 2
    x = flow_map.formulation.x_t(batch.data, batch.noise, batch.t)
    m, span = flow_map.cumulative_field(x, batch.t, batch.r), (batch.r - batch.t)[:, None]
    between = flow_map(x, batch.t, s)
    landing = flow_map(between, s, batch.r)
    average = (flow_map.cumulative_field(x, batch.t, s) + flow_map.cumulative_field(between, s, batch.r)) / 2
    assert ((landing - x) / span - m).abs().max() > 1e-2
    assert (average - m).abs().max() > 1e-2


def test_the_derivatives_need_the_differential_of_exp() -> None:
    """Without it, the flat equations m + (r - t) d_r m = v(psi) and m = v + (r - t) D m fail on the sphere."""
    flow, batch = spinning(), jumps(SPHERE)
    flow_map, span = flow.flow_map(), (batch.r - batch.t)[:, None]
    x = flow_map.formulation.x_t(batch.data, batch.noise, batch.t)
    m, arriving = along_arrival(flow_map, x, batch.t, batch.r)
    landing = flow_map(x, batch.t, batch.r)
    assert (m + span * arriving - flow.velocity(landing, batch.r)).norm(dim=1).max() > 1e-2
    velocity = flow.velocity(x, batch.t)
    _, slope = along_flow(flow_map, x, batch.t, batch.r, velocity)
    assert (m - velocity - span * SPHERE.tangent(x, slope)).norm(dim=1).max() > 1e-2


@every_law
def test_in_flat_space_the_laws_are_those_of_u_prediction(law: str) -> None:
    """Prediction minus target, and the gradient of the loss, are the Euclidean objective's."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()

    def network(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        return layers(torch.cat([x, t[:, None], r[:, None]], 1))

    flat = shelves.load("manifolds", "euclidean")
    batch, found = jumps(flat), []
    for formulation, name in (
        (Geodesic(manifold=flat), law),
        (shelves.load("formulations", "u_prediction"), law.removeprefix("geodesic_")),
    ):
        flow_map, objective = FlowMap(network, formulation), shelves.load("objectives", name)
        regression = objective(flow_map, batch, flow_map, torch.Generator().manual_seed(0))
        gradient = torch.autograd.grad(regression.squared_error().mean(), list(layers.parameters()))
        found.append(torch.cat([(regression.prediction - regression.target).flatten(), *map(torch.flatten, gradient)]))
    assert (found[0] - found[1]).abs().max() < 1e-10


def test_the_eulerian_gradient_is_that_of_the_arriving_velocity() -> None:
    """What is trained, B m, changes with m as the end of the jump does: by finite differences of exp."""
    flow, batch = spinning(), jumps(SPHERE, 16)
    push = torch.zeros((), dtype=torch.float64, requires_grad=True)
    flow_map = FlowMap(lambda x, t, r: flow(x, t, r) + push * OTHER, Geodesic(manifold=SPHERE))
    regression = shelves.load("objectives", "geodesic_eulerian")(flow_map, batch, flow_map, None)
    side = torch.randn(16, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slope = torch.autograd.grad((regression.prediction * side).sum(), push)[0]
    x, h = flow_map.formulation.x_t(batch.data, batch.noise, batch.t), 1e-6
    span, m = (batch.r - batch.t)[:, None], flow_map.cumulative_field(x, batch.t, batch.r).detach()
    change = h * SPHERE.tangent(x, OTHER.expand_as(x))
    ends = [SPHERE.exp(x, span * field) for field in (m + change, m - change)]
    assert abs(float(slope - ((ends[0] - ends[1]) / (2 * h * span) * side).sum())) < 1e-7
    assert regression.target.grad_fn is None


def test_the_circles_flow_makes_the_wrapped_cauchy_distribution() -> None:
    """The exact map takes uniform noise to what has E[cos k a] = rho^k, rho = tanh(1 / 2), in any number of steps."""
    noise = torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for steps in (1, 3):
        sample = climbing(CIRCLE).flow_map().sample(noise, steps)
        angle = torch.atan2(sample[:, 1], sample[:, 0])
        for k in (1, 2, 3):
            assert abs(float((k * angle).cos().mean()) - math.tanh(0.5) ** k) < 0.01
            assert abs(float((k * angle).sin().mean())) < 0.01


@pytest.mark.parametrize("coordinates", [2, 3, 4])
def test_the_expected_velocity_of_finitely_many_points(coordinates: int) -> None:
    """Conditional velocities average to the closed form: E <v_c - v, f> = 0 for tangent f of state and time."""
    manifold = shelves.load("manifolds", "sphere", coordinates=coordinates)
    points, count = random_points(manifold, 3, 3), 40_000
    law = FinitePoints(points, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    data = points[torch.multinomial(law.shares, count, True, generator=generator)]
    noise = torch.randn(count, coordinates, generator=generator, dtype=torch.float64)
    t = 0.9 * torch.rand(count, generator=generator, dtype=torch.float64)
    formulation = Geodesic(manifold=manifold)
    x, conditional = formulation.x_t(data, noise, t), formulation.instantaneous_target(data, noise, t)
    expected = law.velocity(x, t)
    error = conditional - expected
    assert error.norm(dim=1).mean() > 0.3
    axes = [manifold.tangent(x, axis.expand_as(x)) for axis in torch.eye(coordinates, dtype=torch.float64)]
    for function in [*axes, *(t[:, None] * x[:, :1] * axis for axis in axes), expected]:
        value = (function * error).sum(1)
        assert value.mean().abs() < 4 * value.std() / count**0.5
        biased = (function * (conditional - 1.2 * expected)).sum(1)
    assert biased.mean().abs() > 10 * biased.std() / count**0.5


@pytest.mark.parametrize("coordinates", [3, 4])
def test_expected_data_make_the_expected_velocity(coordinates: int) -> None:
    """With the likelihoods of all points, the pair behind a state passes it at the velocity of the closed form."""
    manifold = shelves.load("manifolds", "sphere", coordinates=coordinates)
    points, formulation = random_points(manifold, 5, 3), Geodesic(manifold=manifold)
    law = FinitePoints(points, torch.full((5,), 0.2, dtype=torch.float64))

    def expectation(z: Tensor, ratio: Tensor, own: Tensor) -> Tensor:
        here, there = (part.clone() for part in torch.broadcast_tensors(z[:, None], points[None]))
        weights = formulation.log_likelihood(here, there, ratio).softmax(dim=1)
        return manifold.exp(z, (weights[..., None] * manifold.log(here, there)).sum(1))

    batch = jumps(manifold, 200)
    batch = dataclasses.replace(batch, data=points[torch.arange(200) % 5], t=batch.t + 0.01)
    made = expected(batch, formulation, expectation)
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    assert (formulation.x_t(made.data, made.noise, batch.t) - x).abs().max() < 1e-9
    velocity = formulation.instantaneous_target(made.data, made.noise, batch.t)
    assert (velocity - law.velocity(x, batch.t)).abs().max() < 1e-7


def test_rotations_have_room_as_haars_measure_says() -> None:
    """The likelihood of a state on SO(3) is that of quaternions on the sphere, at half the angles."""
    x, y = random_points(ROTATIONS, 300, 0), random_points(ROTATIONS, 300, 1)
    ratio = torch.linspace(0.5, 5, 300, dtype=torch.float64)
    x = ROTATIONS.exp(y, (ratio / (1 + ratio))[:, None] * ROTATIONS.log(y, x))
    found = Geodesic(manifold=ROTATIONS).log_likelihood(x, y, ratio)
    angle = ROTATIONS.distance(x, y)
    assert (found.exp() - ((angle * (1 + 1 / ratio) / 2).sin() / (angle / 2).sin()) ** 2).abs().max() < 1e-6


class RootPath(LinearPath):
    """A path that there is on the clock alone."""

    def sigma(self, t: Tensor) -> Tensor:
        """No number behind the clock."""
        return (1 - t).sqrt()


@pytest.mark.parametrize("name", ["spinning", "climbing", "turning"])
def test_the_field_of_an_empty_jump_is_the_instantaneous_one(name: str) -> None:
    """Ever shorter jumps tend to it, h by h; at r = t value and derivatives are those of the velocity's closed form."""
    flow = FLOWS[name]()
    formulation, x = Geodesic(manifold=flow.manifold), random_points(flow.manifold, 32, 5)
    t = torch.linspace(0, 1, 32, dtype=torch.float64)  # both ends of the clock among them

    def field(x: Tensor, r: Tensor) -> Tensor:
        return formulation.field(flow.psi(x, t, r), x, t, r, instant=flow.velocity(x, t))

    velocity = flow.velocity(x, t)
    gaps = [(field(x, t - h) - velocity).abs().max() for h in (1e-2, 1e-3)]
    assert gaps[1] < gaps[0] / 8
    assert gaps[0] < 0.1
    mixed = torch.where(torch.arange(32) % 2 == 0, t, t - 1e-2)
    assert torch.equal(field(x, mixed)[::2], velocity[::2])
    torch.testing.assert_close(field(x, mixed)[1::2], field(x, t - 1e-2)[1::2], rtol=0, atol=0)

    along, side = (random_points(flow.manifold, 32, seed) for seed in (6, 7))
    along = flow.manifold.tangent(x, along)
    forward = torch.func.jvp(field, (x, t), (along, torch.ones_like(t)))[1]
    closed = torch.func.jvp(lambda x: flow.velocity(x, t), (x,), (along,))[1]
    assert (forward - closed).abs().max() < 1e-12
    exact = torch.func.vjp(lambda x: flow.velocity(x, t), x)[1](side)[0]
    for path in (formulation.path, RootPath()):
        empty = Geodesic(path, manifold=flow.manifold).field
        ours = torch.func.vjp(lambda x, empty=empty: empty(x, x, t, t, flow.velocity(x, t)), x)[1](side)[0]
        assert (ours - exact).abs().max() < 1e-12


def test_the_semigroup_of_instants_is_the_instantaneous_field() -> None:
    """Rows with r = t among jumps have a target, that field; jumps keep theirs."""
    flow, batch = spinning(), jumps(SPHERE)
    mixed = dataclasses.replace(batch, r=torch.where(torch.arange(64) % 2 == 0, batch.t, batch.r))
    objective = shelves.load("objectives", "geodesic_semigroup", split="midpoint")
    found = objective(flow.flow_map(), mixed, flow.flow_map(), None).target
    x = flow.flow_map().formulation.x_t(batch.data, batch.noise, batch.t)
    assert (found[::2] - flow.velocity(x, batch.t)[::2]).abs().max() < 1e-12
    assert torch.equal(found[1::2], objective(flow.flow_map(), batch, flow.flow_map(), None).target[1::2])


def test_likelihoods_in_many_dimensions_do_not_vanish() -> None:
    """Room on the sphere in 20 coordinates, a sine to the power 18, is beyond float32 but its logarithm is not."""
    manifold = shelves.load("manifolds", "sphere", coordinates=20)
    x = random_points(manifold, 50, 0)
    y = manifold.exp(x, 1e-3 * manifold.tangent(x, random_points(manifold, 50, 1)))
    ratio, formulation = torch.full((50,), 1e-3, dtype=torch.float64), Geodesic(manifold=manifold)
    exact, single = (
        formulation.log_likelihood(x, y, ratio),
        formulation.log_likelihood(x.float(), y.float(), ratio.float()),
    )
    angle = manifold.distance(x, y)
    far = angle * (1 + 1e-3) / 1e-3
    assert (exact - 18 * (far.sin() / angle.sin()).log()).abs().max() < 1e-6
    assert (single - exact).abs().max() < 0.02
