"""Objectives: the exact field satisfies them, mutants do not, and no gradient enters a target."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap
from tests.flow.cases import bare, every, exact, jump_batch, load
from tests.flow.oracles import three_gaussians

SPLITS = ["random", "midpoint", "dyadic"]


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
    flow_map = exact(name, three_gaussians())
    objective = shelves.load("objectives", "semigroup", split=split)
    batch = jump_batch(flow_map.formulation, three_gaussians())
    regression = objective(flow_map, batch, flow_map, torch.Generator().manual_seed(1))
    assert (regression.prediction - regression.target).abs().max() < 1e-6


@every
def test_exact_field_satisfies_its_chains(name: str) -> None:
    """Heun's 64 steps leave a gap that falls with their number; x1 and u meet clean data, where the field is steep."""
    flow_map, generator, mixture = exact(name, three_gaussians()), torch.Generator().manual_seed(1), three_gaussians()
    formulation = flow_map.formulation
    instants = FlowMap(lambda x, t, r: mixture.instantaneous(formulation, x, t), formulation)
    batch = jump_batch(formulation, mixture)
    gaps = []
    for parts in (16, 64):
        regression = shelves.load("objectives", "semigroup", split="chain", parts=parts)(
            flow_map, batch, instants, generator
        )
        gaps.append((regression.prediction - regression.target).abs().median())
    assert gaps[1] < 0.02
    assert gaps[1] < gaps[0] / 3


def test_chains_are_remembered_and_taken_up_again() -> None:
    flow_map = FlowMap(Small(), bare("edm"))
    batch = jump_batch(flow_map.formulation, three_gaussians())

    def law() -> nn.Module:
        return shelves.load("objectives", "semigroup", split="chain", parts=4, uses=2)

    calls: list[int] = []
    flow_map.network.register_forward_hook(lambda *_: calls.append(1))
    first, generator = law(), torch.Generator().manual_seed(1)
    counts = []
    for _ in range(4):
        calls.clear()
        first(flow_map, batch, flow_map, generator)
        counts.append(len(calls))
    assert counts == [8, 1, 8, 1]  # the jump, and every other time 4 steps of Heun: 7 calls
    second = law()
    second.load_state_dict(first.state_dict())
    one, two = (obj(flow_map, batch, flow_map, torch.Generator().manual_seed(3)) for obj in (first, second))
    assert torch.equal(one.target, two.target)
    with pytest.raises(ValueError, match="chains are remembered without conditions"):
        first(flow_map, replace(batch, condition=batch.t), flow_map, generator)


def test_the_last_draws_stay_on_the_chain_and_data_may_have_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws next to 1, which float32 rounds up when it adds them, pick the chain's last step, which has a length."""
    monkeypatch.setattr("geomflow.objectives._chain.uniform", lambda count, *_: torch.full((count,), 1 - 2**-24))
    flow_map = FlowMap(Small(), bare("edm"))
    law = shelves.load("objectives", "semigroup", split="chain", huber=0.1)
    found = law(flow_map, jump_batch(flow_map.formulation, three_gaussians()), flow_map, None)
    assert found.target.isfinite().all()
    assert found.error(torch.ones(len(found.target))).shape == (len(found.target),)


@every
def test_instantaneous_minimiser_is_the_exact_field(name: str) -> None:
    """The error's expected gradient vanishes at the exact field: residuals are uncorrelated with functions of x."""
    formulation, mixture = bare(name), three_gaussians()
    flow_map = FlowMap(lambda x, t, r: mixture.instantaneous(formulation, x, t), formulation)
    batch = jump_batch(formulation, mixture, 100_000)
    regression = shelves.load("objectives", "instantaneous")(flow_map, batch, flow_map, None)
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    residual = regression.prediction - regression.target
    for probe in (torch.ones_like(x), x / x.std(), (x / x.std()).sin()):
        product = probe * residual
        assert product.mean().abs() < 4 * product.std() / product.numel() ** 0.5


LAWS = [
    ("instantaneous", {}),
    *(("semigroup", {"split": split}) for split in [*SPLITS, "chain"]),
    ("eulerian", {}),
    ("eulerian", {"target": "paper", "tangent": "predicted"}),
    ("eulerian", {"derivative": "difference"}),
    ("lagrangian", {}),
    ("alpha", {}),
    ("consistency", {}),
    ("progressive", {"levels": 1}),
]


@every
@pytest.mark.parametrize(("objective", "options"), LAWS)
def test_no_gradient_enters_a_target(name: str, objective: str, options: dict) -> None:
    flow_map, average = FlowMap(Small(), bare(name)), FlowMap(Small(seed=1), bare(name))
    batch = jump_batch(flow_map.formulation, three_gaussians())
    own, averaged = (
        shelves.load("objectives", objective, **options)(flow_map, batch, which, torch.Generator().manual_seed(2))
        for which in (flow_map, average)
    )
    assert not own.target.requires_grad
    assert own.prediction.requires_grad
    averaged.squared_error().sum().backward()
    assert all(weight.grad is None for weight in average.parameters())
    assert all(weight.grad is not None for weight in flow_map.parameters())
    assert torch.equal(own.prediction, averaged.prediction) == ("chain" not in options.values())
    needs_no_map = objective == "instantaneous" or (objective == "eulerian" and "tangent" not in options)
    assert torch.equal(own.target, averaged.target) == needs_no_map


@every
@pytest.mark.parametrize("objective", ["eulerian", "lagrangian"])
def test_forward_mode_and_difference_agree(name: str, objective: str) -> None:
    flow_map = FlowMap(Small(), load(name))
    batch = jump_batch(flow_map.formulation, three_gaussians())
    jvp, difference = (
        shelves.load("objectives", objective, derivative=way)(flow_map, batch, flow_map, None)
        for way in ("jvp", "difference")
    )
    scale = jvp.target.abs().max()
    assert (jvp.prediction - difference.prediction).abs().max() < 1e-3 * scale
    assert (jvp.target - difference.target).abs().max() < 1e-3 * scale


@pytest.mark.parametrize("kind", ["lagrangian", "eulerian", "direct"])
def test_a_teacher_stays_frozen_and_may_predict_something_else(kind: str) -> None:
    teacher = FlowMap(Small(seed=3), load("ddim"))
    student = FlowMap(Small(), load("ddim-noise"))
    batch = jump_batch(student.formulation, three_gaussians())
    law = shelves.load("objectives", "distillation", teacher=teacher, kind=kind)
    found = law(student, batch, student, None)
    found.squared_error().sum().backward()
    assert not found.target.requires_grad
    assert all(weight.grad is None for weight in teacher.parameters())


def test_unfit_teachers_are_refused() -> None:
    student = FlowMap(Small(), load("u_prediction"))
    batch = jump_batch(student.formulation, three_gaussians())
    for other, message in (("edm", "must share a path"), ("x1_prediction", "student must predict data too")):
        law = shelves.load("objectives", "distillation", teacher=FlowMap(Small(), load(other)))
        with pytest.raises(ValueError, match=message):
            law(student, batch, student, None)


class Fused(nn.Module):
    """Attention through the kernel that has no forward mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 12)

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: Tensor | None = None) -> Tensor:
        """Attention over two tokens."""
        q, k, v = self.layer(x + (t * r)[:, None]).unflatten(1, (1, 2, 6)).split(2, dim=3)
        return nn.functional.scaled_dot_product_attention(q, k, v).flatten(1)[:, :2]


class Opaque(torch.autograd.Function):
    """Doubles, without saying how it is differentiated in forward mode."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        pass

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


class Hidden(Fused):
    """A network with such a function."""

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: Tensor | None = None) -> Tensor:
        """Its outputs are doubled."""
        return Opaque.apply(super().forward(x, t, r))


def float_batch(flow_map: FlowMap) -> FlowBatch:
    batch = jump_batch(flow_map.formulation, three_gaussians())
    return FlowBatch(batch.data.float(), batch.noise.float(), batch.t.float(), batch.r.float())


@pytest.mark.parametrize("objective", ["eulerian", "lagrangian"])
def test_fused_attention_is_differentiated_in_forward_mode(objective: str) -> None:
    torch.manual_seed(0)
    flow_map = FlowMap(Fused(), load("u_prediction"))
    batch = float_batch(flow_map)
    by_difference = shelves.load("objectives", objective, derivative="difference")(flow_map, batch, flow_map, None)
    by_jvp = shelves.load("objectives", objective)(flow_map, batch, flow_map, None)
    torch.testing.assert_close(by_difference.prediction, by_jvp.prediction, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(by_difference.target, by_jvp.target, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("objective", ["eulerian", "lagrangian"])
def test_networks_without_forward_mode_are_told_what_to_do(objective: str) -> None:
    flow_map = FlowMap(Hidden(), load("u_prediction"))
    batch = float_batch(flow_map)
    with pytest.raises(ValueError, match=r"derivative='difference'.*semigroup"):
        shelves.load("objectives", objective)(flow_map, batch, flow_map, None)


def test_schedules() -> None:
    alpha, consistency = shelves.load("objectives", "alpha"), shelves.load("objectives", "consistency")
    assert [alpha.alpha(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [1, 1, 0.02**0.5, 0.02, 0.02]
    )
    assert [consistency.grid_steps(progress) for progress in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)] == [
        10,
        20,
        40,
        80,
        160,
        160,
    ]
    progressive = shelves.load("objectives", "progressive", levels=4, begin=0.2)
    assert [progressive.phase(progress) for progress in (0.0, 0.2, 0.39, 0.41, 0.61, 0.81, 1.0)] == [
        0,
        0,
        0,
        1,
        2,
        3,
        3,
    ]


def test_consistency_trains_the_end_alone() -> None:
    seen: list[Tensor] = []

    def network(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        seen.append(torch.stack([t, r]))
        return x

    flow_map = FlowMap(network, bare("edm"))
    batch = jump_batch(flow_map.formulation, three_gaussians())
    shelves.load("objectives", "consistency")(flow_map, batch, flow_map, None)
    assert all(torch.equal(r, torch.ones_like(r)) for _, r in seen)
    torch.testing.assert_close(seen[0][0], batch.t + 1 / 160)


def test_progressive_teacher_is_frozen_for_a_phase_and_resumes() -> None:
    flow_map = FlowMap(Small(), bare("u_prediction"))
    law = shelves.load("objectives", "progressive", levels=3, begin=0.0)
    batch = replace(jump_batch(flow_map.formulation, three_gaussians()), progress=0.5)

    def target(objective: nn.Module, progress: float) -> Tensor:
        now = replace(batch, progress=progress)
        return objective(flow_map, now, flow_map, torch.Generator().manual_seed(0)).target

    target(law, 0.0)
    before = target(law, 0.5)
    with torch.no_grad():
        assert torch.equal(target(law, 1.0), before)  # measuring does not end a phase
        flow_map.network.layers[0].weight.mul_(2)
    resumed = shelves.load("objectives", "progressive", levels=3, begin=0.0)
    resumed.load_state_dict(law.state_dict())
    assert torch.equal(target(law, 0.6), before)
    assert torch.equal(target(resumed, 0.6), before)
    assert not torch.equal(target(law, 0.9), target(resumed, 0.6))
    assert list(law.parameters()) == []
    fresh = shelves.load("objectives", "progressive", levels=3, begin=0.0)
    with pytest.raises(ValueError, match="phase 2 of the progressive objective must follow phase 1, it follows -1"):
        target(fresh, 1.0)


def test_progressive_begins_with_euler_steps_of_the_instant() -> None:
    """In the first phase the target is two Euler steps of the field at r = t, on the finest grid."""
    flow_map, law = FlowMap(Small(), bare("edm")), shelves.load("objectives", "progressive", levels=3, begin=0.0)
    batch = replace(jump_batch(flow_map.formulation, three_gaussians()), progress=0.0)
    target = law(flow_map, batch, flow_map, None).target
    t = (batch.t * 4).floor() / 4
    x = flow_map.formulation.x_t(batch.data, batch.noise, t)
    landing = flow_map.integrate(x, t, t + 0.25, 2, "euler")
    torch.testing.assert_close(target, flow_map.formulation.field(landing, x, t, t + 0.25))


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


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        ("semigroup", {"finest": -1}, "finest must not be negative, given -1"),
        ("eulerian", {"cap": 0.0}, "cap must be positive, given 0"),
        ("alpha", {"last": 0.0}, r"last must lie in \(0, 1\], given 0"),
        ("alpha", {"begin": 0.8, "end": 0.5}, "0 <= begin < end <= 1, given 0.8 and 0.5"),
        ("consistency", {"coarsest": 20, "finest": 10}, "1 <= coarsest <= finest, given 20, 10"),
        ("progressive", {"levels": 0}, "levels must be at least 1, given 0"),
    ],
)
def test_wrong_options_are_refused(objective: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shelves.load("objectives", objective, **options)
