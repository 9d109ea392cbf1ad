"""What a step is: its shapes, its parts and its learning rate."""

from dataclasses import replace

import pytest
import torch

from geomflow.config import Optimization
from geomflow.train import data_order, learning_rate_factor
from geomflow.train.schedule import part_of_step
from tests.train.cases import QUICK


def test_every_pass_over_the_data_sees_every_shape_once():
    options = replace(QUICK, batch_size=3)
    seen = torch.cat([data_order(12, options, step) for step in range(4)])
    assert sorted(seen.tolist()) == list(range(12))
    again = torch.cat([data_order(12, options, step) for step in range(4, 8)])
    assert seen.tolist() != again.tolist()


def test_the_parts_of_a_step_share_its_shapes_and_nothing_else():
    options = replace(QUICK, batch_size=6, micro_batches=3)
    shapes, generators = zip(*(part_of_step(12, options, number) for number in range(3, 6)), strict=True)
    assert torch.equal(torch.cat(shapes), data_order(12, options, step=1))
    noise = [torch.rand(2, generator=generator) for generator in generators]
    assert len({tuple(one.tolist()) for one in noise}) == 3


def test_the_schedule_warms_up_and_ends_at_zero():
    options = Optimization(steps=100, warmup=10)
    assert learning_rate_factor(0, options) == pytest.approx(0.1)
    assert learning_rate_factor(9, options) == pytest.approx(1.0, abs=0.03)
    assert learning_rate_factor(50, options) == pytest.approx(0.5)
    assert learning_rate_factor(100, options) == pytest.approx(0.0)


def test_a_second_stage_has_the_schedule_of_a_training_of_its_own():
    whole = Optimization(steps=100, warmup=10, second_stage=0.4)
    for step in range(100):
        own, length = (step, 40) if step < 40 else (step - 40, 60)
        alone = learning_rate_factor(own, Optimization(steps=length, warmup=10))
        assert learning_rate_factor(step, whole) == pytest.approx(alone)
