"""Guidance: targets whose mean is the guided field, scales as inputs, and what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap, Guidance, LossModule, TimePairs, sample_extrapolated
from geomflow.flow.condition import fill
from tests.flow.cases import bare, every, load
from tests.flow.oracles import Gaussian, gaussian

NULL = 2


def narrow() -> Gaussian:
    """What class 0 looks like; every other class, and none, looks like `gaussian()`."""
    return Gaussian(gaussian().means - 0.5, gaussian().stds * 0.5, gaussian().weights)


def guided_field(name: str, omega: float | None = None) -> FlowMap:
    """The instantaneous field null + omega (class - null), which guidance has as fixed point."""
    formulation = bare(name)

    def network(x: Tensor, t: Tensor, r: Tensor, condition: Tensor | dict) -> Tensor:
        label = condition["label"] if isinstance(condition, dict) else condition
        scale = condition["guidance"] if isinstance(condition, dict) else torch.full_like(t, omega or 1.0)
        null = gaussian().instantaneous(formulation, x, t)
        strong = null + scale[:, None] * (narrow().instantaneous(formulation, x, t) - null)
        return torch.where((label == 0)[:, None], strong, null)

    return FlowMap(network, formulation)


def class_batch(name: str, count: int) -> FlowBatch:
    """Pairs of class 0 with one state x_t."""
    path = load(name).path
    t = path.time(torch.tensor([1.0], dtype=torch.float64))
    a, b = path.signal(t)[0], path.sigma(t)[0]
    x = a * torch.tensor([[0.3, -0.5]], dtype=torch.float64)
    mean, _ = narrow().expectations(path, x, t)
    normal = torch.randn(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = mean + narrow().stds * b / ((a * narrow().stds) ** 2 + b**2).sqrt() * normal
    return FlowBatch(data, (x - a * data) / b, t.repeat(count), t.repeat(count), torch.zeros(count, dtype=torch.long))


@every
@pytest.mark.parametrize("mix", [None, 0.0, 0.5])
def test_guided_targets_average_to_the_guided_field(name: str, mix: float | None) -> None:
    """At the fixed point the target's mean is the field itself, whatever the network's own share."""
    flow_map, batch = guided_field(name, omega=2.0), class_batch(name, 4000)
    formulation, guidance = flow_map.formulation, Guidance(null=NULL, scale=2.0, mix=mix)
    guided = guidance.guide(flow_map, batch, torch.full_like(batch.t, 2.0))
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    torch.testing.assert_close(formulation.x_t(guided.data, guided.noise, guided.t), x)
    target = formulation.instantaneous_target(guided.data, guided.noise, guided.t)
    difference = target - flow_map.instantaneous_field(x, batch.t, batch.condition)
    assert (difference.mean(0).abs() < 4 * difference.std(0) / len(x) ** 0.5).all()
    plain = formulation.instantaneous_target(batch.data, batch.noise, batch.t)
    assert (plain - target).mean(0).abs().max() > 0.05


def test_scale_as_an_input_is_drawn_for_every_sample() -> None:
    flow_map, batch = guided_field("edm"), class_batch("edm", 4000)
    guidance = Guidance(null={"label": NULL}, scale=(1.0, 4.0), drop=0.25)
    batch, scale = guidance.prepare(
        replace(batch, condition={"label": batch.condition}), torch.Generator().manual_seed(1)
    )
    dropped = batch.condition["label"] == NULL
    assert dropped.float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(scale[dropped], torch.ones_like(scale[dropped]))
    assert torch.equal(scale[~dropped], batch.condition["guidance"][~dropped])
    assert scale[~dropped].log().mean() == pytest.approx(math.log(4) / 2, abs=0.03)
    guided = guidance.guide(flow_map, batch, scale)
    assert torch.equal(guided.data[dropped], batch.data[dropped])
    x = flow_map.formulation.x_t(batch.data, batch.noise, batch.t)
    own = flow_map.instantaneous_field(x, batch.t, batch.condition)
    null = gaussian().instantaneous(flow_map.formulation, x, batch.t)
    wanted = batch.data + (1 - 1 / scale)[:, None] * (own - null)
    torch.testing.assert_close(guided.data[~dropped], wanted[~dropped])


def test_objectives_that_move_in_time_get_the_pairs_as_drawn() -> None:
    """A guided pair has the right state at its own time alone; elsewhere the drawn pair is on the path."""
    batch = class_batch("edm", 8)
    guided = Guidance(null=NULL).guide(guided_field("edm", omega=2.0), batch, torch.full_like(batch.t, 2.0))
    moved = guided.rows(slice(4)).moved(batch.t[:4] / 2, batch.r[:4])
    assert not torch.equal(guided.data, batch.data)
    assert torch.equal(moved.data, batch.data[:4])
    assert torch.equal(moved.noise, batch.noise[:4])


@pytest.mark.parametrize("objective", ["semigroup", "eulerian", "alpha"])
def test_training_with_guidance_reaches_network_and_objective(objective: str) -> None:
    network = shelves.load("networks", "perceptron", classes=NULL)
    torch.nn.init.normal_(network.out.weight)
    pairs = TimePairs(warm_up=0.0, full_span=0.0)
    losses = {}
    for guidance in (None, Guidance(null=NULL, scale=1.0), Guidance(null=NULL, scale=3.0)):
        flow_map = FlowMap(network, shelves.load("formulations", "edm"))
        loss = LossModule(flow_map, shelves.load("objectives", objective), pairs, guidance=guidance)
        data = gaussian().draw(64, torch.Generator().manual_seed(0)).float()
        value, _ = loss(data, torch.zeros(64, dtype=torch.long), generator=torch.Generator().manual_seed(1))
        value.backward()
        losses[guidance and guidance.scale] = float(value.detach())
    assert len(set(losses.values())) == 3


def test_extrapolation_at_test_time() -> None:
    """With many steps it samples the guided ODE; with few it is refused."""
    noise = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.zeros(50, dtype=torch.long)
    plain = guided_field("u_prediction", omega=1.0)
    found = sample_extrapolated(plain, noise, label, NULL, scale=2.0, steps=64)
    wanted = guided_field("u_prediction", omega=2.0).sample(noise, 64, condition=label)
    torch.testing.assert_close(found, wanted)
    assert (found - plain.sample(noise, 64, condition=label)).abs().max() > 0.1
    with pytest.raises(ValueError, match="steps must be at least 4 for guidance at test time, given 2"):
        sample_extrapolated(plain, noise, label, NULL, scale=2.0, steps=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Guidance(null=0, scale=0.5), "scale must be at least 1"),
        (lambda: Guidance(null=0, scale=(3.0, 2.0)), "scale must be at least 1, or such a range"),
        (lambda: Guidance(null=0, mix=1.0), r"mix must lie in \[0, 1\), given 1"),
        (
            lambda: fill({"label": 0}, {"label": torch.ones(2), "part": torch.ones(2)}),
            "null must be a mapping with 'part'",
        ),
        (lambda: Guidance(null=0, drop=0.0), r"drop must lie in \(0, 1\)"),
        (lambda: Guidance(null=0).prepare(replace(class_batch("edm", 2), condition=None), None), "batch has none"),
        (
            lambda: Guidance(null=0, scale=(1.0, 2.0)).prepare(class_batch("edm", 2), None),
            "condition must be a mapping where the scale is an input, given Tensor",
        ),
    ],
)
def test_bad_guidance_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
