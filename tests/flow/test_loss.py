"""LossModule: an exact split, a seed that decides everything, the announced weights, no NaN at the clock's ends."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomflow import shelves
from geomflow.flow import ErrorWeight, FlowBatch, FlowMap, LossModule, Objective, Regression, TimePairs
from tests.flow.cases import bare, every, load
from tests.flow.oracles import ExactField, gaussian


class Small(nn.Module):
    """A small network that takes a condition."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: dict[str, Tensor] | None = None) -> Tensor:
        """Any function of x, t, r and the condition."""
        shift = 0 if condition is None else condition["shift"]
        return self.layers(torch.cat([x, t[:, None], r[:, None]], 1)) + shift


@dataclass
class Spy:
    """The semigroup objective, remembering its batches and regressions."""

    batches: list[FlowBatch] = field(default_factory=list)
    regressions: list[Regression] = field(default_factory=list)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The semigroup's regression."""
        self.batches.append(batch)
        self.regressions.append(shelves.load("objectives", "semigroup")(flow_map, batch, target_map, generator))
        return self.regressions[-1]


def module(name: str, objective: Objective | None = None, **options: Any) -> LossModule:
    """A loss module of a small network, with the semigroup objective unless told otherwise."""
    flow_map = FlowMap(Small(), load(name))
    return LossModule(flow_map, objective or shelves.load("objectives", "semigroup"), **options)


def points(count: int = 16) -> Tensor:
    """Some data."""
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(5))


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


@every
def test_split_is_exact_and_the_mean_is_over_all_rows(name: str) -> None:
    spy = Spy()
    loss = module(name, objective=spy, time_pairs=TimePairs(instantaneous_share=0.75))
    value, logs = loss(points(), generator=seeded())
    (batch,), (regression,) = spy.batches, spy.regressions
    assert len(batch.data) == 4
    assert torch.equal(batch.data, points()[12:])
    assert (batch.t < batch.r).all()
    torch.testing.assert_close(logs["objective"], regression.squared_error().mean().detach())
    weight = loss.flow_map.formulation.preconditioner.weight
    generator, formulation = seeded(), loss.flow_map.formulation
    noise = torch.randn(16, 2, generator=generator)[:12]
    t = loss.time_pairs.draw(16, formulation.path, 1.0, generator)[0][:12]
    instants = loss.flow_map.instantaneous_field(formulation.x_t(points()[:12], noise, t), t)
    errors = (instants - formulation.instantaneous_target(points()[:12], noise, t)).square().mean(1)
    both = (weight(t) * errors).sum() + (weight(batch.t) * regression.squared_error()).sum()
    torch.testing.assert_close(value, both / 16)


@every
def test_warm_up_is_the_plain_weighted_loss(name: str) -> None:
    """With instants only the loss is weight(t) ||m(x_t, t, t) - m_c||^2, recomputed here by hand."""
    loss = module(name)
    value, logs = loss(points(), progress=0.0, generator=seeded())
    generator, formulation = seeded(), loss.flow_map.formulation
    noise = torch.randn(16, 2, generator=generator)
    t, _ = loss.time_pairs.draw(16, formulation.path, 0.0, generator)
    field_ = loss.flow_map.cumulative_field(formulation.x_t(points(), noise, t), t, t)
    error = (field_ - formulation.instantaneous_target(points(), noise, t)).square().mean(1)
    torch.testing.assert_close(value, (formulation.preconditioner.weight(t) * error).mean())
    torch.testing.assert_close(logs["instantaneous"], error.mean().detach())
    assert set(logs) == {"loss", "instantaneous"}


@every
def test_seed_decides_everything(name: str) -> None:
    loss = module(name)
    first = loss(points(), generator=seeded(1))[0]
    torch.rand(7)
    assert loss(points(), generator=seeded(1))[0] == first
    assert loss(points(), generator=seeded(2))[0] != first


def test_robust_errors_are_those_of_points() -> None:
    """sqrt(w |d|^2 + c^2) - c of each point: about sqrt(w) |d| if large, w |d|^2 / (2 c) if small."""
    far = torch.zeros(2, 3, 4)
    far[:, 0, 0] = 3000.0
    far[:, 1, 2] = 1e-3
    weight = torch.tensor([1.0, 4.0])
    found = Regression(far, torch.zeros_like(far), huber=0.5).error(weight)
    wanted = (weight.sqrt() * 3000 - 0.5 + weight * 1e-6 / (2 * 0.5)) / 3
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    plain = Regression(far, torch.zeros_like(far)).error(weight)
    torch.testing.assert_close(plain, weight * (9e6 + 1e-6) / 12)


@every
def test_adaptive_weight_uses_the_very_error_it_weighs(name: str) -> None:
    """With p = 1 each sample contributes e / (e + c), and its gradient is that of e over the same constant."""
    spy, pairs = Spy(), TimePairs(instantaneous_share=0.0, warm_up=0.0, full_span=0.0)
    loss = module(name, objective=spy, time_pairs=pairs, weight=ErrorWeight(adaptive_power=1.0, adaptive_floor=0.1))
    value, _ = loss(points(), generator=seeded())
    weight = loss.flow_map.formulation.preconditioner.weight(spy.batches[0].t)
    error = weight * spy.regressions[0].squared_error()
    torch.testing.assert_close(value, (error / (error + 0.1)).mean())
    constant = 1 / (error.detach() + 0.1)
    weights = list(loss.parameters())
    wanted = torch.autograd.grad((error * constant).mean(), weights, retain_graph=True)
    for mine, other in zip(torch.autograd.grad(value, weights), wanted, strict=True):
        torch.testing.assert_close(mine, other)


@every
@pytest.mark.parametrize(
    "objective",
    ["semigroup", "eulerian", "lagrangian", "alpha", "consistency", "progressive", "teach-lagrangian", "teach-direct"],
)
def test_no_nan_at_the_ends_of_the_clock(name: str, objective: str) -> None:
    @dataclass(frozen=True)
    class Ends(TimePairs):
        """All pairs of the two ends and the middle, those with r = t first."""

        warm_up: float = 0.0
        full_span: float = 0.0

        def draw(self, *args: object, **options: object) -> tuple[Tensor, Tensor]:
            """Six pairs."""
            return torch.tensor([0.0, 0.5, 1.0, 0.0, 0.0, 0.5]), torch.tensor([0.0, 0.5, 1.0, 0.5, 1.0, 1.0])

    item, _, kind = objective.replace("teach", "distillation").partition("-")
    options = {"teacher": FlowMap(Small(), load(name)), "kind": kind} if kind else {}
    loss = module(name, shelves.load("objectives", item, **options), time_pairs=Ends())
    value, _ = loss(points(6), progress=0.3, generator=seeded())
    value.backward()
    assert value.isfinite()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in loss.parameters())


@every
def test_conditions_are_split_with_the_rows(name: str) -> None:
    condition = {"shift": points(16)}
    spy = Spy()
    module(name, objective=spy)(points(), condition=condition, generator=seeded())
    assert torch.equal(spy.batches[0].condition["shift"], points(16)[8:])


@every
def test_exact_field_beats_its_neighbours(name: str) -> None:
    """The exact flow map has zero jump error, and disturbing it raises both parts of the loss."""
    formulation = bare(name)
    mixture = gaussian()
    exact = ExactField(mixture, formulation, mixture.exact_map(formulation.path))
    data, parts = mixture.draw(2000, seeded()), {}
    for tilt in (0.0, 0.2):
        flow_map = FlowMap(lambda x, t, r, tilt=tilt: exact(x, t, r) + tilt * (x + r[:, None]).sin(), formulation)
        parts[tilt] = LossModule(flow_map, shelves.load("objectives", "semigroup"))(data, generator=seeded())[1]
    assert parts[0.0]["objective"] < 1e-12
    assert parts[0.2]["objective"] > 1e-4
    assert parts[0.2]["instantaneous"] > parts[0.0]["instantaneous"]


def test_target_map_makes_the_targets() -> None:
    loss, average = module("edm"), FlowMap(lambda x, t, r: x, shelves.load("formulations", "edm"))
    own, averaged = (loss(points(), generator=seeded(), target_map=which)[1] for which in (None, average))
    assert own["instantaneous"] == averaged["instantaneous"]
    assert own["objective"] != averaged["objective"]
    assert not any("target" in name for name in loss.state_dict())


def test_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data must hold at least one sample, given shape \(0, 2\)"):
        module("edm")(torch.zeros(0, 2))
