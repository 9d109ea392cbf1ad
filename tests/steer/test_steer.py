"""Steering on exact flow maps of normal data, where tilted laws, maxima and directions are closed forms."""

import math
import os
import pathlib
import signal
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor

from geomflow.errors import CheckpointError, RewardError
from geomflow.flow import FlowMap, Path
from geomflow.steer import ascend, best_of_n, dps, fine_tune, guide, langevin, plug_and_play, tilt, uphill
from geomflow.steer.dps import NOISIEST
from geomflow.steer.fine_tune import STATE
from geomflow.steer.look_ahead import chain, levels
from geomflow.steer.reward import Reward, score_and_gradient
from geomflow.steer.tilt import effective_share, resample
from tests.flow.cases import CASES, exact
from tests.flow.oracles import Gaussian, gaussian

PRECISION = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
TARGET = torch.tensor([1.0, 0.5], dtype=torch.float64)
"""Of the reward - (x - target)^T precision (x - target) / 2."""

FEW = ("edm", "u_prediction")


def unit() -> Gaussian:
    """N(0, 1) in one dimension."""
    one = torch.ones(1, 1, dtype=torch.float64)
    return Gaussian(0 * one, one, one[0])


def first(data: Tensor) -> Tensor:
    return data[:, 0]


def quadratic(data: Tensor) -> Tensor:
    off = data - TARGET
    return -((off @ PRECISION) * off).sum(1) / 2


def posterior(law: Gaussian) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a normal law tilted by exp(quadratic)."""
    prior = torch.diag(law.stds[0] ** -2)
    covariance = (prior + PRECISION).inverse()
    return covariance @ (prior @ law.means[0] + PRECISION @ TARGET), covariance


def noise(count: int, dimensions: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("steps", "churn", "effective"), [(1, 1.0, 0.3), (4, 0.5, 0.4), (20, 1.0, 0.9)])
def test_tilting_by_a_linear_reward_moves_the_mean_and_keeps_the_variance(name, steps, churn, effective):
    """To within 5 %, in any number of steps; and the more steps, the fewer particles are lost."""
    found = tilt(exact(name, unit()), first, noise(20_000, 1), steps, churn=churn, generator=seeded())
    assert found.data.mean() == pytest.approx(1, abs=0.05)
    assert found.data.var() == pytest.approx(1, abs=0.05)
    assert torch.equal(found.reward, found.data[:, 0])
    assert found.calls == 2 * steps - 1
    assert len(found.trace["ess"]) == steps
    assert min(found.trace["ess"]) > effective


def test_the_noise_of_tilting_makes_particles_that_weights_alone_cannot():
    """A tilt by three deviations, of 200 particles."""
    flow_map, few = exact("edm", unit()), noise(200, 1)
    weighted = tilt(flow_map, first, few, 20, strength=3.0, churn=0.0, generator=seeded())
    moved = tilt(flow_map, first, few, 20, strength=3.0, generator=seeded())
    assert len(weighted.data.unique()) < 50 < 120 < len(moved.data.unique())
    assert moved.data.mean() == pytest.approx(3, abs=0.2)
    assert min(moved.trace["ess"]) > 0.5 > min(weighted.trace["ess"])


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("steps", [2, 6])
def test_tilting_by_a_quadratic_reward_gives_the_posterior(name, steps):
    law = gaussian()
    found = tilt(exact(name, law), quadratic, noise(20_000, 2), steps, generator=seeded())
    mean, covariance = posterior(law)
    torch.testing.assert_close(found.data.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(found.data.T), covariance, atol=0.01, rtol=0)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("steps", [1, 2])
def test_langevin_chains_end_in_the_posterior(name, steps):
    law = gaussian()
    found = langevin(exact(name, law), quadratic, noise(4000, 2), 30, fresh=0.7, steps=steps, generator=seeded())
    mean, covariance = posterior(law)
    torch.testing.assert_close(found.data.mean(0), mean, atol=0.025, rtol=0)
    torch.testing.assert_close(torch.cov(found.data.T), covariance, atol=0.015, rtol=0)
    assert sum(found.trace["accepted"][15:]) / 15 == pytest.approx(0.574, abs=0.25)


def test_a_chain_with_a_source_of_its_own_minds_no_other():
    flow_map, start = exact("edm", gaussian()), noise(4, 2)
    every = langevin(flow_map, quadratic, start, 6, generator=[torch.Generator().manual_seed(i) for i in range(4)])
    alone = langevin(flow_map, quadratic, start[2:3], 6, generator=[torch.Generator().manual_seed(2)])
    torch.testing.assert_close(alone.data[0], every.data[2])
    with pytest.raises(ValueError, match="generators must be one for each of 4 rows, given 1"):
        langevin(flow_map, quadratic, start, 6, generator=[seeded()])
    with pytest.raises(ValueError, match="generators must be one for each of 4 rows, given 5"):
        plug_and_play(flow_map, lambda x: x, start, 2, generator=[seeded()] * 5)


def test_without_a_reward_every_proposal_of_langevin_is_accepted_in_any_dimension():
    law = Gaussian(*(torch.full((1, 500), value, dtype=torch.float64) for value in (0.0, 1.0)), torch.ones(1).double())
    found = langevin(exact("edm", law), lambda data: 0 * data.sum(1), noise(50, 500), 4, generator=seeded())
    assert found.trace["accepted"] == [1.0] * 4
    assert found.data.var() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_guidance_is_the_exact_shift_for_normal_data_and_a_linear_reward(name, steps):
    flow_map, start = exact(name, unit()), noise(50, 1)
    plain = flow_map.sample(start, steps)
    found = guide(flow_map, lambda data: 2 * data[:, 0], start, steps, strength=0.7)
    torch.testing.assert_close(found.data, plain + 1.4, atol=3e-4, rtol=0)  # EDM begins at all but a 1e-4th of noise
    assert (found.calls, found.gradients) == {1: (2, 1), 2: (3, 1), 5: (9, 4)}[steps]


def test_guidance_counts_the_calls_it_makes_and_lets_the_first_of_several_jumps_be():
    plain, start, seen = exact("edm", gaussian()), noise(5, 2), []

    def counted(*arguments: Any) -> Tensor:
        seen.append(arguments)
        return plain.network(*arguments)

    flow_map = FlowMap(counted, plain.formulation)
    for steps in (1, 2, 4):
        seen.clear()
        assert guide(flow_map, first, start, steps).calls == len(seen)
    data = plain.sample(start, 2)
    assert guide(flow_map, first, start, 2).trace["reward"] == [pytest.approx(float(first(data).mean()))]


def test_guidance_follows_the_gradient_of_the_data_ahead():
    """In two dimensions with unequal deviations s, one step moves data by strength s^2 grad R, from the look-ahead."""
    law = gaussian()
    flow_map, start = exact("u_prediction", law), noise(50, 2)
    data = flow_map.sample(start, 1)
    found = guide(flow_map, quadratic, start, 1, strength=0.1)
    torch.testing.assert_close(found.data, data + 0.1 * law.stds**2 * ((TARGET - data) @ PRECISION))


def shift_of_dps(flow_map: FlowMap, steps: int) -> Tensor:
    """By how much a unit of the linear reward moves the data."""
    start = noise(5, 1)
    one, none = (dps(flow_map, first, start, steps, strength).data for strength in (1.0, 0.0))
    return (one - none)[:, 0]


def entry(path: Path) -> float:
    """Ratio sigma / signal at which posterior sampling enters a path: the largest, if that is not too noisy."""
    signal, sigma = levels(path, 0.0)
    return NOISIEST if sigma > NOISIEST * signal else sigma / signal


@pytest.mark.parametrize("name", CASES)
def test_posterior_sampling_is_exact_in_the_limit_for_normal_data_and_a_linear_reward(name):
    """All of the shift but what belongs to the entry, where a state's correlation with the data is not zero."""
    flow_map = exact(name, unit())
    whole = 1 - 1 / (1 + entry(flow_map.formulation.path) ** 2) ** 0.5
    wanted = torch.full((5,), whole, dtype=torch.float64)
    torch.testing.assert_close(shift_of_dps(flow_map, 16), wanted, atol=3e-3, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_one_step_of_posterior_sampling_is_the_shift_of_its_denoised_estimate(name):
    """From data + rho noise, the mean moves by its variance given that, rho^2 / (1 + rho^2), also from signal 0."""
    flow_map = exact(name, unit())
    rho = entry(flow_map.formulation.path)
    wanted = torch.full((5,), rho**2 / (1 + rho**2), dtype=torch.float64)
    torch.testing.assert_close(shift_of_dps(flow_map, 1), wanted, atol=5e-4, rtol=0)


def test_posterior_sampling_saves_the_steps_that_are_pure_noise():
    """Steps uniform in the log of the ratio, from 1,000 to 1 / 1,000: 7 of 45 end where it is over 100."""
    flow_map = exact("x1_prediction", unit())
    formulation = replace(flow_map.formulation, spacing="log_ratio")
    found = dps(FlowMap(flow_map.network, formulation), first, noise(5, 1), 45)
    assert found.calls == found.gradients == 38


@pytest.mark.parametrize("n", [1, 8, 64])
def test_the_best_of_n_has_the_expected_maximum(n):
    found = best_of_n(exact("ddim", unit()), first, noise(4000 * n, 1), n)
    expected = quad(lambda x: x * n * norm.cdf(x) ** (n - 1) * norm.pdf(x), -9, 9)[0]
    assert found.data.mean() == pytest.approx(expected, abs=0.04)
    assert found.reward.shape == (4000,)


def test_search_in_the_noise_turns_it_and_keeps_its_norm():
    """N(0, I) in two dimensions, the reward x: by eight turns of 0.1 radians towards the axis, and no further."""
    law = Gaussian(*(torch.full((1, 2), value, dtype=torch.float64) for value in (0.0, 1.0)), torch.ones(1).double())
    start = noise(100, 2)
    found = ascend(exact("u_prediction", law), first, start, rounds=8, angle=0.1)
    torch.testing.assert_close(found.data.norm(dim=1), start.norm(dim=1))
    before, after = (torch.atan2(x[:, 1], x[:, 0]).abs() for x in (start, found.data))
    assert (after <= (before - 0.8).clamp(min=0) + 0.1).all()
    assert found.trace["reward"] == sorted(found.trace["reward"])


@pytest.mark.parametrize("name", FEW)
def test_plug_and_play_draws_data_to_what_is_known_and_leaves_the_rest(name):
    """The first of two independent numbers is measured; the other keeps its law."""
    law = gaussian()
    reward = uphill(lambda data: -(data[:, 0] - 2).abs(), length=0.5)
    generators = [torch.Generator().manual_seed(i) for i in range(2000)]
    found = plug_and_play(exact(name, law), reward, noise(2000, 2), 12, generator=generators)
    assert found[:, 0].mean() > law.means[0, 0] + 3 * law.stds[0, 0]
    assert found[:, 1].mean() == pytest.approx(float(law.means[0, 1]), abs=0.06)
    assert found[:, 1].std() == pytest.approx(float(law.stds[0, 1]), rel=0.08)


@pytest.mark.parametrize("name", FEW)
def test_editing_keeps_the_more_of_given_data_the_later_it_begins(name):
    law = gaussian()
    given = torch.full((2000, 2), 1.0, dtype=torch.float64)
    kept = []
    for ratio in (0.05, 0.5, 5.0):
        flow_map = exact(name, law)
        begin = float(flow_map.formulation.path.time(torch.tensor(ratio, dtype=torch.float64)))
        found = plug_and_play(flow_map, lambda x: x, noise(2000, 2), 16, given=given, begin=begin)
        kept.append(float((found - given).square().mean().sqrt()))
    assert kept == sorted(kept)
    assert kept[0] < 0.1
    with pytest.raises(ValueError, match=r"begin must lie in \[0, 1\), and be 0 unless data are given, it is 0.5"):
        plug_and_play(flow_map, lambda x: x, noise(2, 2), begin=0.5)


def test_effective_share_and_systematic_resampling():
    weights = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64).log() + 5
    assert effective_share(weights) == pytest.approx(1 / (4 * (0.01 + 0.16 + 0.04 + 0.09)))
    generator, expected = seeded(), 4 * weights.softmax(0)
    counts = torch.stack([torch.bincount(resample(weights, generator), minlength=4) for _ in range(2000)])
    assert ((counts >= expected.floor()) & (counts <= expected.ceil())).all()
    torch.testing.assert_close(counts.double().mean(0), expected, atol=0.03, rtol=0)


class Shifted(torch.nn.Module):
    """A network whose jump to data from u-prediction noise is x + shift."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: object = None) -> Tensor:
        return self.shift.expand_as(x)


def shifted() -> FlowMap:
    return FlowMap(Shifted(), exact("u_prediction", unit()).formulation)


def test_fine_tuning_ends_where_reward_and_distance_balance(tmp_path):
    """-E x + beta |shift|^2 / 2 has its minimum at shift (1 / beta, 0)."""
    flow_map = shifted()
    found = fine_tune(flow_map, first, tmp_path, (2,), steps=60, jumps=2, beta=2.0, learning_rate=0.05)
    torch.testing.assert_close(found.flow_map.network.shift.detach(), torch.tensor([0.5, 0.0]), atol=0.03, rtol=0)
    assert found.distance[-1] == pytest.approx(0.125, abs=0.02)
    assert not flow_map.network.shift.any()


def test_fine_tuning_frees_a_copy_of_frozen_weights(tmp_path):
    flow_map = shifted().requires_grad_(False)
    found = fine_tune(flow_map, first, tmp_path, (2,), steps=2)
    assert (found.flow_map.network.shift[0] > 0, flow_map.network.shift.any()) == (True, False)
    assert not flow_map.network.shift.requires_grad


def test_fine_tuning_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    whole = fine_tune(shifted(), first, tmp_path / "whole", (2,), steps=12)

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(shifted(), first, tmp_path / "parts", (2,), steps=12, progress=stop)
    with pytest.raises(CheckpointError, match=f"{STATE}: exists; go on with resume=True"):
        fine_tune(shifted(), first, tmp_path / "parts", (2,), steps=12)
    with pytest.raises(CheckpointError, match="is of another run"):
        fine_tune(shifted(), first, tmp_path / "parts", (2,), steps=12, beta=3.0, resume=True)
    parts = fine_tune(shifted(), first, tmp_path / "parts", (2,), steps=12, resume=True)
    assert torch.equal(parts.flow_map.network.shift, whole.flow_map.network.shift)
    assert parts.reward == whole.reward
    with pytest.raises(CheckpointError, match="no such file; there is nothing to resume"):
        fine_tune(shifted(), first, tmp_path / "none", (2,), resume=True)
    (tmp_path / "parts" / STATE).write_bytes(b"half")
    with pytest.raises(CheckpointError, match="truncated or not a state of fine-tuning"):
        fine_tune(shifted(), first, tmp_path / "parts", (2,), resume=True)


def assert_goes_on_as_if_whole(reward: Reward, folder: pathlib.Path) -> None:
    """A reward that has failed once, and is `first` from then on, ends where `first` alone does."""
    resumed = fine_tune(shifted(), reward, folder, (2,), steps=12, resume=True)
    whole = fine_tune(shifted(), first, folder / "whole", (2,), steps=12)
    assert torch.equal(resumed.flow_map.network.shift, whole.flow_map.network.shift)


def test_a_reward_that_fails_while_fine_tuning_leaves_the_last_whole_step(tmp_path):
    calls = iter(range(100))

    def fails(data: Tensor) -> Tensor:
        return data[:, 0] * (math.nan if next(calls) == 4 else 1)

    with pytest.raises(RewardError, match="reward 'fails' must be finite, it is not for 8 of 8 samples"):
        fine_tune(shifted(), fails, tmp_path, (2,), steps=12)
    assert_goes_on_as_if_whole(fails, tmp_path)


def test_a_gradient_that_fails_while_fine_tuning_changes_nothing(tmp_path):
    """The root of x - x has a slope that is no number; Adam would write it into every weight."""
    calls = iter(range(100))

    def steep(data: Tensor) -> Tensor:
        return data[:, 0] + ((data[:, 1] - data[:, 1]).sqrt() if next(calls) == 4 else 0)

    with pytest.raises(RewardError, match="reward 'steep' must have a finite gradient, it has none at step 4"):
        fine_tune(shifted(), steep, tmp_path, (2,), steps=12)
    assert_goes_on_as_if_whole(steep, tmp_path)


def test_ctrl_c_while_fine_tuning_ends_after_the_step_under_way(tmp_path):
    calls = iter(range(100))

    def pressed(data: Tensor) -> Tensor:
        if next(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return data[:, 0]

    with pytest.raises(KeyboardInterrupt):
        fine_tune(shifted(), pressed, tmp_path, (2,), steps=12)
    assert len(torch.load(tmp_path / STATE)["rewards"]) == 5
    assert_goes_on_as_if_whole(pressed, tmp_path)


def test_fine_tuning_goes_on_with_its_own_reward_and_map_alone(tmp_path):
    fine_tune(shifted(), first, tmp_path, (2,), steps=2)
    with pytest.raises(CheckpointError, match=r"run: \{'reward': 'first'\} there, \{'reward': 'cusp'\} ask"):
        fine_tune(shifted(), cusp, tmp_path, (2,), steps=4, resume=True)
    other = shifted()
    torch.nn.init.ones_(other.network.shift)
    with pytest.raises(CheckpointError, match=r"is of another run: \{'map': "):
        fine_tune(other, first, tmp_path, (2,), steps=4, resume=True)
    torch.save([1, 2], tmp_path / STATE)
    with pytest.raises(CheckpointError, match="truncated or not a state of fine-tuning"):
        fine_tune(shifted(), first, tmp_path, (2,), steps=4, resume=True)


def test_fine_tuning_that_fails_at_once_leaves_no_state(tmp_path):
    with pytest.raises(RewardError, match="reward 'wide' must return"):
        fine_tune(shifted(), wide, tmp_path, (2,), steps=4)
    assert not (tmp_path / STATE).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps, batch and jumps must be whole numbers from 1 on, given 0, 8 and 1"),
        ({"steps": 2.5}, r"given 2\.5, 8 and 1"),
        ({"beta": math.nan}, r"beta must be from 0 on, learning_rate positive, finite both, given nan, 0\.0001"),
        ({"learning_rate": 0.0}, r"given 1\.0, 0\.0"),
    ],
)
def test_options_that_fine_tune_nothing_are_refused(tmp_path, unchecked_shapes, options, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(shifted(), first, tmp_path, (2,), **options)


def wide(data: Tensor) -> Tensor:
    return data


def stiff(data: Tensor) -> Tensor:
    return data[:, 0].detach()


def cusp(data: Tensor) -> Tensor:
    return (0 * data[:, 0]).sqrt()


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (wide, r"reward 'wide' must return a tensor of shape \(3,\), it gave shape \(3, 2\)"),
        (lambda data: 1.0, "reward '<lambda>' must return a tensor .*, it gave a float"),
        (lambda data: data[:, 0] / 0, "must be finite, it is not for 3 of 3"),
        (stiff, "reward 'stiff' must be differentiable for this method, it has no gradient; best_of_n wants none"),
        (cusp, "reward 'cusp' must have a finite gradient, it has one that is not finite"),
    ],
)
def test_rewards_that_are_none_are_named(reward, message, unchecked_shapes):
    flow_map = exact("edm", gaussian())
    for method in (guide, dps, ascend, langevin, tilt):
        with pytest.raises(RewardError, match=message):
            method(flow_map, reward, noise(3, 2), 2)


def test_a_stiff_reward_is_enough_to_choose_by():
    flow_map, start = exact("edm", gaussian()), noise(6, 2)
    found = best_of_n(flow_map, stiff, start, 3)
    torch.testing.assert_close(found.reward, flow_map.sample(start, 1)[:, 0].reshape(2, 3).amax(1))
    for counted in (lambda data: (data[:, 0] > found.reward.min() - 1e-9).long(), lambda data: data[:, 0] > -100):
        assert best_of_n(flow_map, counted, start, 3).reward.tolist() == [1.0, 1.0]


def test_arguments_that_cannot_be_are_named():
    flow_map, start = exact("edm", gaussian()), noise(3, 2)
    for call, message in [
        (lambda: best_of_n(flow_map, first, start, 2), "candidates must divide the number of noises, 3, given 2"),
        (lambda: tilt(flow_map, first, start, churn=-1.0), "churn must be at least 0, given -1"),
        (lambda: langevin(flow_map, first, start, 0), "rounds must be at least 1 and fresh in"),
        (lambda: ascend(flow_map, first, start, angle=0.0), "rounds must be at least 0 and angle positive"),
        (lambda: uphill(first, 1.0, 0), "rounds must be at least 1, given 0"),
        (lambda: guide(flow_map, first, start, 0), "steps must be a whole number of at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_parts_of_a_batch_are_put_together_in_order(monkeypatch):
    """More rows than go through at a time."""
    monkeypatch.setattr("geomflow.steer.reward.NUMBERS", 32)
    flow_map = exact("x1_prediction", gaussian())
    start = noise(40, 2)
    found = score_and_gradient(first, lambda x, rows: chain(flow_map, x, 2), start)
    torch.testing.assert_close(found.data, flow_map.sample(start, 2))
    torch.testing.assert_close(found.gradient[:, 0], torch.full((40,), 0.3, dtype=torch.float64))
