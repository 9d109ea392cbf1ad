"""Objectives: the exact field satisfies them, mutants do not, and no gradient enters a target."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap, Formulation, Identity
from tests.flow.oracles import ExactField, three_gaussians

every = pytest.mark.parametrize("name", shelves.names("formulations"))
SPLITS = ["random", "midpoint", "dyadic"]


def bare(name: str) -> Formulation:
    """A formulation of the shelf without preconditioner."""
    return replace(shelves.load("formulations", name), preconditioner=Identity())


def exact(name: str) -> FlowMap:
    """The exact flow map of a mixture."""
    formulation, mixture = bare(name), three_gaussians()
    return FlowMap(
        ExactField(mixture, formulation, lambda x, t, r: mixture.integrate(formulation.path, x, t, r)), formulation
    )


def jumps(flow_map: FlowMap, count: int = 64) -> FlowBatch:
    """Jumps from noise-to-signal ratio 5 to 0.5."""
    generator = torch.Generator().manual_seed(0)
    data = three_gaussians().draw(count, generator)
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    t, r = flow_map.formulation.path.time(torch.tensor([5.0, 0.5], dtype=torch.float64))
    return FlowBatch(data, noise, t.expand(count), r.expand(count))


class Small(nn.Module):
    """A small trainable network."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2)).double()

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: Tensor | None = None) -> Tensor:
        """Any function of x, t, r."""
        return self.layers(torch.cat([x, t[:, None], r[:, None]], 1))


@every
@pytest.mark.parametrize("split", SPLITS)
def test_exact_field_satisfies_the_semigroup(name: str, split: str) -> None:
    flow_map = exact(name)
    objective = shelves.load("objectives", "semigroup", split=split)
    regression = objective(flow_map, jumps(flow_map), flow_map, torch.Generator().manual_seed(1))
    assert (regression.prediction - regression.target).abs().max() < 1e-6


@every
def test_mutants_of_the_semigroup_fail(name: str) -> None:
    """The exact law holds to 1e-6; a wrong share, a missing jump and swapped times miss by more than 1e-2."""
    flow_map = exact(name)
    formulation, batch = flow_map.formulation, jumps(flow_map)
    x, t, r = formulation.x_t(batch.data, batch.noise, batch.t), batch.t, batch.r
    s = t + 0.3 * (r - t)
    lam = formulation.lam(t, s, r)[:, None]
    whole, first = flow_map.cumulative_field(x, t, r), flow_map.cumulative_field(x, t, s)
    between = flow_map(x, t, s)
    second = flow_map.cumulative_field(between, s, r)
    mutants = {
        "share of the other part": lam * first + (1 - lam) * second,
        "no jump": (1 - lam) * first + lam * flow_map.cumulative_field(x, s, r),
        "swapped times": (1 - lam) * first + lam * flow_map.cumulative_field(between, r, s),
    }
    assert (whole - (1 - lam) * first - lam * second).abs().max() < 1e-6
    for mutant, value in mutants.items():
        assert (whole - value).abs().max() > 1e-2, mutant


@every
def test_instantaneous_minimiser_is_the_exact_field(name: str) -> None:
    """The error's expected gradient vanishes at the exact field: residuals are uncorrelated with functions of x."""
    formulation, mixture = bare(name), three_gaussians()
    flow_map = FlowMap(lambda x, t, r: mixture.instantaneous(formulation, x, t), formulation)
    batch = jumps(flow_map, 100_000)
    regression = shelves.load("objectives", "instantaneous")(flow_map, batch, flow_map, None)
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    residual = regression.prediction - regression.target
    for probe in (torch.ones_like(x), x / x.std(), (x / x.std()).sin()):
        product = probe * residual
        assert product.mean().abs() < 4 * product.std() / product.numel() ** 0.5


@every
@pytest.mark.parametrize(
    ("objective", "options"), [("instantaneous", {}), *(("semigroup", {"split": s}) for s in SPLITS)]
)
def test_no_gradient_enters_a_target(name: str, objective: str, options: dict) -> None:
    flow_map, average = FlowMap(Small(), bare(name)), FlowMap(Small(seed=1), bare(name))
    batch, law = jumps(flow_map), shelves.load("objectives", objective, **options)
    own = law(flow_map, batch, flow_map, torch.Generator().manual_seed(2))
    averaged = law(flow_map, batch, average, torch.Generator().manual_seed(2))
    assert not own.target.requires_grad
    assert own.prediction.requires_grad
    averaged.squared_error().sum().backward()
    assert all(weight.grad is None for weight in average.parameters())
    assert all(weight.grad is not None for weight in flow_map.parameters())
    assert torch.equal(own.prediction, averaged.prediction)
    assert torch.equal(own.target, averaged.target) == (objective == "instantaneous")


def test_dyadic_jumps_are_dyadic() -> None:
    """Intervals [j, j + 1] / 2^k inside the clock, k from 0 to the finest."""
    seen: list[Tensor] = []

    def network(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        seen.append(torch.stack([t, r]))
        return x

    times = torch.rand(2, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(0).values
    times[:, 0] = torch.tensor([0.0, 1.0])
    data = torch.zeros(500, 2, dtype=torch.float64)
    flow_map = FlowMap(network, bare("u_prediction"))
    law = shelves.load("objectives", "semigroup", split="dyadic", finest=4)
    law(flow_map, FlowBatch(data, data, times[0], times[1]), flow_map, None)
    (_, s), (_, _), (t, r) = seen
    level = -(r - t).log2()
    assert torch.equal(level, level.round())
    assert level.min() == 0
    assert level.max() == 4
    assert torch.equal(t * 2**level, (t * 2**level).round())
    assert torch.equal(s, (t + r) / 2)
    assert t.min() >= 0
    assert r.max() <= 1


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="finest must not be negative, given -1"):
        shelves.load("objectives", "semigroup", finest=-1)
