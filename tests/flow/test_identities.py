"""The three identities on exact fields, and mutants of them that must fail: the suite can tell right from wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap
from tests.flow.cases import bare, every, exact, jump_batch, load, mean_pairs
from tests.flow.oracles import gaussian, three_gaussians

pytestmark = pytest.mark.usefixtures("unchecked_shapes")  # thousands of small steps

QUICK = ("u_prediction", "x1_prediction", "ddim", "ddim-noise")
"""Cases whose maps 60 Runge-Kutta steps integrate well enough."""
STEP = 1e-5
"""Half the span of a central difference."""


@dataclass(frozen=True)
class Jump:
    """An exact flow map, states and exact velocities at t, the times of a jump, and the field's derivatives."""

    flow_map: FlowMap
    x: Tensor
    velocity: Tensor
    t: Tensor
    r: Tensor

    def slope(self, x: float = 0, t: float = 0, r: float = 0) -> Tensor:
        """Derivative of the cumulative field along (x velocity, t, r), by a central difference in double precision."""
        after, before = (
            self.flow_map.cumulative_field(self.x + x * h * self.velocity, self.t + t * h, self.r + r * h)
            for h in (STEP, -STEP)
        )
        return (after - before) / (2 * STEP)


def jump(name: str) -> Jump:
    """A long jump of the exact map of a mixture, from noise-to-signal ratio 9 to 1/9."""
    mixture = three_gaussians()
    flow_map = exact(name, mixture, 60 if name in QUICK else 120)
    batch = jump_batch(flow_map.formulation, mixture, 40, (9.0, 1 / 9))
    x = flow_map.formulation.x_t(batch.data, batch.noise, batch.t)
    return Jump(flow_map, x, mixture.velocity(flow_map.formulation.path, x, batch.t), batch.t, batch.r)


def worst(residual: Tensor) -> float:
    """Largest absolute value."""
    return float(residual.abs().max())


@every
def test_eulerian_identity_and_its_mutants(name: str) -> None:
    """m = m_t + H D m, D along (v, 1, 0)."""
    case = jump(name)
    formulation = case.flow_map.formulation
    height = formulation.field_gain(case.t, case.r)[:, None]
    by_state, by_time = height * case.slope(x=1), height * case.slope(t=1)
    change = case.flow_map.cumulative_field(case.x, case.t, case.r) - case.flow_map.instantaneous_field(case.x, case.t)
    mutants = {
        "wrong sign": change + by_state + by_time,
        "tangent (v, 0, 0)": change - by_state,
        "tangent (0, 1, 0)": change - by_time,
        "no correction": change,
    }
    assert worst(change - by_state - by_time) < 1e-5
    for mutant, residual in mutants.items():
        assert worst(residual) > (0.03 if formulation.predicts == "noise" else 0.5), mutant


@every
def test_lagrangian_identity_and_its_mutants(name: str) -> None:
    """m = m_r(psi) - (P / p(r)) d_r m."""
    case = jump(name)
    flow_map, x, t, r = case.flow_map, case.x, case.t, case.r
    by_arrival = (flow_map.formulation.coefficients(t, r)[0] / flow_map.formulation.rates(r)[0])[:, None]
    by_arrival = by_arrival * case.slope(r=1)
    m, there = flow_map.cumulative_field(x, t, r), flow_map.instantaneous_field(flow_map(x, t, r), r)
    mutants = {
        "wrong sign": m - there - by_arrival,
        "no correction": m - there,
        "no jump": m - flow_map.instantaneous_field(x, r) + by_arrival,
    }
    assert worst(m - there + by_arrival) < 1e-5
    for mutant, residual in mutants.items():
        assert worst(residual) > 0.15, mutant


@every
def test_semigroup_identity_and_its_mutants(name: str) -> None:
    """m(x, t, r) = (1 - lam) m(x, t, s) + lam m(psi, s, r)."""
    case = jump(name)
    flow_map, x, t, r = case.flow_map, case.x, case.t, case.r
    s = t + 0.3 * (r - t)
    lam = flow_map.formulation.lam(t, s, r)[:, None]
    whole, first, between = flow_map.cumulative_field(x, t, r), flow_map.cumulative_field(x, t, s), flow_map(x, t, s)
    second = flow_map.cumulative_field(between, s, r)
    mutants = {
        "wrong lam": lam * first + (1 - lam) * second,
        "no jump": (1 - lam) * first + lam * flow_map.cumulative_field(x, s, r),
        "swapped times": (1 - lam) * first + lam * flow_map.cumulative_field(between, r, s),
    }
    assert worst(whole - (1 - lam) * first - lam * second) < 1e-5
    for mutant, value in mutants.items():
        assert worst(whole - value) > 1e-2, mutant


@every
def test_velocity_space_identity(name: str) -> None:
    """U = v + (r - t) D U for the mean velocity U = (psi - x) / (r - t)."""
    case = jump(name)
    flow_map, span = case.flow_map, (case.r - case.t)[:, None]

    def mean_velocity(x: Tensor, t: Tensor) -> Tensor:
        return (flow_map(x, t, case.r) - x) / (case.r - t)[:, None]

    after, before = (mean_velocity(case.x + h * case.velocity, case.t + h) for h in (STEP, -STEP))
    mean, along = mean_velocity(case.x, case.t), (after - before) / (2 * STEP)
    assert worst((mean - case.velocity - span * along) / case.velocity.abs().max()) < 1e-5


LOSSES: dict[str, Callable[[FlowMap], tuple[str, dict]]] = {
    "eulerian": lambda _: ("eulerian", {}),
    "eulerian, printed": lambda _: ("eulerian", {"target": "paper", "cap": float("inf")}),
    "eulerian, predicted tangent": lambda _: ("eulerian", {"tangent": "predicted"}),
    "lagrangian": lambda _: ("lagrangian", {}),
    "semigroup": lambda _: ("semigroup", {}),
    "distillation, lagrangian": lambda teacher: ("distillation", {"teacher": teacher}),
    "distillation, eulerian": lambda teacher: ("distillation", {"teacher": teacher, "kind": "eulerian"}),
}


@every
@pytest.mark.parametrize("law", LOSSES)
@pytest.mark.parametrize("derivative", ["jvp", "difference"])
def test_each_loss_is_satisfied_by_the_exact_field(name: str, law: str, derivative: str) -> None:
    """The objectives' own code, fed the exact field and noiseless pairs, asks for what is there."""
    mixture = gaussian()
    flow_map = exact(name, mixture)
    batch = mean_pairs(flow_map.formulation, mixture, jump_batch(flow_map.formulation, mixture, 16))
    objective, options = LOSSES[law](flow_map)
    if objective == "semigroup" and derivative == "difference":
        pytest.skip("the semigroup has no derivative")
    if objective != "semigroup":
        options = {**options, "derivative": derivative}
    found = shelves.load("objectives", objective, **options)(flow_map, batch, flow_map, None)
    error = (found.prediction - found.target).abs().max()
    assert error < (1e-5 if derivative == "jvp" else 2e-2)


@every
def test_a_velocity_is_a_teacher_too(name: str) -> None:
    """Distillation from the closed-form velocity, and from the teacher's own ODE solution, is satisfied as well."""
    mixture = gaussian()
    flow_map = exact(name, mixture)
    path, batch = flow_map.formulation.path, jump_batch(flow_map.formulation, mixture, 16)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return mixture.velocity(path, x, t)

    for kind, tolerance in (("lagrangian", 1e-5), ("eulerian", 1e-5), ("direct", 2e-2)):
        law = shelves.load("objectives", "distillation", teacher=velocity, kind=kind, steps=64)
        found = law(flow_map, batch, flow_map, None)
        assert (found.prediction - found.target).abs().max() < tolerance, kind


@every
def test_discrete_steps_converge_to_the_exact_field(name: str) -> None:
    """The error of a first step along the pair is of second order, and so is that of the whole alpha target."""
    mixture = gaussian()
    flow_map = exact(name, mixture)
    batch = mean_pairs(flow_map.formulation, mixture, jump_batch(flow_map.formulation, mixture, 16))
    errors = []
    for last in (0.1, 0.05):
        law = shelves.load("objectives", "alpha", last=last)
        found = law(flow_map, batch, flow_map, None)
        errors.append(float((found.prediction - found.target).abs().max()))
    assert errors[0] / errors[1] > 2.5
    assert law(flow_map, replace(batch, progress=0.0), flow_map, None).target.allclose(
        flow_map.formulation.instantaneous_target(batch.data, batch.noise, batch.t)
    )


def posterior(name: str, level: float, count: int = 4000) -> tuple[Tensor, Tensor, Tensor]:
    """Many pairs (data, noise) of one x_t of the Gaussian at a noise-to-signal ratio, and their time."""
    target, path = gaussian(), bare(name).path
    t = path.time(torch.tensor([level], dtype=torch.float64))
    a, b = path.signal(t)[0], path.sigma(t)[0]
    x = a * torch.tensor([[0.3, 0.2]], dtype=torch.float64) + b * torch.tensor([[0.5, -0.4]], dtype=torch.float64)
    normal = torch.randn(count, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    mean, _ = target.expectations(path, x, t)
    data = mean + target.stds * b / ((a * target.stds) ** 2 + b**2).sqrt() * normal
    return data, (x - a * data) / b, t.repeat(count)


@every
def test_targets_are_unbiased(name: str) -> None:
    """Averaged over the pairs of one x_t, the target is the exact field, within four standard errors."""
    flow_map = exact(name, gaussian())
    data, noise, t = posterior(name, 5.0)
    batch = FlowBatch(data, noise, t, flow_map.formulation.path.time(torch.full_like(t, 0.5)))
    found = shelves.load("objectives", "eulerian")(flow_map, batch, flow_map, None)
    difference = found.target - found.prediction
    assert (difference.mean(0).abs() < 4 * difference.std(0) / len(t) ** 0.5 + 1e-5).all()


def test_printed_target_is_noisier_by_the_square_of_q() -> None:
    """EDM from sigma 80 to 0.05: the printed target's deviation is 1 / Q = 1600 times that of the default."""
    flow_map = exact("edm", gaussian())
    data, noise, t = posterior("edm", 80.0)
    batch = FlowBatch(data, noise, t, flow_map.formulation.path.time(torch.full_like(t, 0.05)))
    spread = {}
    for target in ("velocity", "paper"):
        law = shelves.load("objectives", "eulerian", target=target, cap=float("inf"))
        spread[target] = float(law(flow_map, batch, flow_map, None).target.std(0).mean())
    assert spread["paper"] / spread["velocity"] == pytest.approx(1600, rel=1e-3)


def test_data_predictions_are_one_function_of_scaled_state_and_ratio() -> None:
    """In z = x / a, rho = b / a the cumulative denoisers of x1-prediction, EDM and DDIM agree."""
    mixture = three_gaussians()
    generator = torch.Generator().manual_seed(2)
    z = 3 * torch.randn(50, 2, generator=generator, dtype=torch.float64)
    found = []
    for name in ("x1_prediction", "edm", "ddim", "ddim-linear"):
        flow_map = exact(name, mixture, 500)
        path = flow_map.formulation.path
        t, r = (path.time(torch.full((50,), ratio, dtype=torch.float64)) for ratio in (5.0, 0.5))
        found.append(flow_map.cumulative_field(z * path.signal(t)[:, None], t, r))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-8)


@every
def test_field_inverts_the_jump(name: str) -> None:
    formulation, mixture = load(name), three_gaussians()
    batch = jump_batch(formulation, mixture)
    m, x = batch.data, batch.noise
    landing = formulation.jump(m, x, batch.t, batch.r)
    torch.testing.assert_close(formulation.field(landing, x, batch.t, batch.r), m, rtol=1e-9, atol=1e-9)
