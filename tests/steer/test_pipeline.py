"""Steered shapes: pipelines and the command line, on a model of balls whose sizes are known in closed form."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from geomflow.checkpoint import Checkpoint
from geomflow.cli import main
from geomflow.config import Item, RunConfig
from geomflow.errors import CheckpointError, ConfigError, RewardError
from geomflow.model import LatentModel
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.pipelines._steering import PARTICLES
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.steer.reward import score_and_gradient
from tests.steer.ball import RADIUS, SPREAD, fit

COUNT, CELLS = 4, 12


def radius(sdf: Tensor) -> Tensor:
    """Of a ball: minus the distance at its middle, by the mean over the nodes inside of the band."""
    axis = torch.linspace(-1, 1, sdf.shape[-1])
    nodes = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    return ((nodes - sdf) * (nodes < 0.9)).sum((1, 2, 3)) / (nodes < 0.9).sum()


@pytest.fixture(scope="module")
def pipe() -> ShapePipeline:
    config = RunConfig(
        "flow_map",
        Item("latents"),
        encoder=Item("plain_grid", {"cells": CELLS, "resolution": 16, "band": 0.2}),
        network=Item("tests.steer.ball"),
        formulation=Item("x1_prediction"),
    )
    model = LatentModel(config)
    fit(model)
    return ShapePipeline(model, Checkpoint(config, {}, model.state_dict()), "cpu")


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("model")
    pipe.save_pretrained(place)
    return place


def sums(pipe: ShapePipeline, count: int) -> np.ndarray:
    """What decides the sizes: -sum / sqrt(n) of the noises."""
    return -noise_of(pipe.model, count, 0).flatten(1).sum(1).numpy() / CELLS**1.5


def test_a_reward_of_shapes_is_one_of_latents_with_its_gradient(pipe):
    noise = noise_of(pipe.model, COUNT, 0)
    reward = ShapeReward(pipe.model, radius, samples=16)
    ahead = score_and_gradient(reward, lambda x, _: pipe.model.flow_map(x, 0.0, 1.0), noise)
    np.testing.assert_allclose(ahead.reward.numpy(), RADIUS + SPREAD * sums(pipe, COUNT), atol=0.02)
    np.testing.assert_allclose(ahead.gradient.numpy(), -SPREAD / CELLS**1.5, rtol=1e-3)
    assert reward.__name__ == "radius"


@pytest.mark.parametrize("method", PARTICLES)
def test_every_method_makes_larger_balls_when_asked_for_volume(pipe, method):
    particles = {"tilt": 12, "best_of_n": 8, "langevin": 6, "ascend": 3}.get(method)
    result = pipe(COUNT, 2, resolution=24, reward="volume", method=method, particles=particles)
    told = result.settings["steering"]
    assert (told["reward"], told["method"]) == ("volume", method)
    before, after = np.array(told["before"]), np.array(told["after"])
    assert (after - before).mean() > 0.4 * told["spread"]
    measured = [mesh.volume for mesh in result.meshes]
    np.testing.assert_allclose(measured, after, rtol=0.08)  # the grid of the reward, and of the extraction
    assert result.nfe == told["network_calls"] >= 2
    json.dumps(result.as_dict())


def test_guidance_by_deviations_moves_a_linear_reward_by_as_many(pipe):
    """One jump: the radius of every ball grows by two standard deviations of the few balls that it is compared to."""
    result = pipe(COUNT, 1, resolution=16, reward=radius, method="guide", strength=2.0)
    told = result.settings["steering"]
    spread = SPREAD * sums(pipe, 8).std(ddof=1)
    assert told["spread"] == pytest.approx(spread, rel=0.02)
    grown = np.array(told["after"]) - np.array(told["before"])
    np.testing.assert_allclose(grown, 2 * SPREAD**2 / spread, rtol=0.05)


def test_the_best_of_some_is_the_best_of_just_those(pipe):
    result = pipe(2, 1, resolution=16, reward=radius, particles=5)
    wanted = RADIUS + SPREAD * sums(pipe, 10).reshape(2, 5).max(1)
    np.testing.assert_allclose(result.settings["steering"]["after"], wanted, atol=0.02)
    assert result.nfe == 5


def test_the_same_call_gives_the_same_shapes(pipe):
    one, two = (pipe(2, 2, resolution=16, reward="volume", method="tilt", particles=4) for _ in range(2))
    assert torch.equal(one.latents, two.latents)


def test_the_command_line_steers_and_writes_what_it_did(folder, tmp_path, capsys, monkeypatch, unchecked_shapes):
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    out = str(tmp_path / "out")
    common = ["generate", str(folder), "--count", "2", "--resolution", "24", "--out", out]
    assert main([*common, "--reward", "volume", "--reward.target", "1.3", "--method", "guide", "--strength", "1"]) == 0
    assert "volume" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "generation.json").read_text())["steering"]
    assert all(-0.8 < value <= 0 for value in told["before"] + told["after"])
    assert np.mean(told["after"]) > np.mean(told["before"])
    for wrong, message in [
        (["--reward", "weight"], "unknown reward 'weight': the rewards are bounding_box"),
        (
            ["--reward", "volume", "--method", "pray"],
            "unknown method 'pray': the methods are best_of_n, tilt, langevin",
        ),
        (["--reward", "volume", "--reward.goal", "1"], "reward 'volume' has no option 'goal': its options are target"),
        (["--reward.target", "1"], "unknown option --reward.target; options of a --reward"),
        (["--method", "tilt"], "method, particles and strength want a reward"),
        (["--reward", "volume", "--method", "tilt", "--particles", "1"], "particles must be at least 2 for 2 shapes"),
    ]:
        assert main([*common, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert main(["generate", "fashion", "--out", out, "--reward", "volume"]) == 2
    assert "--reward is for models of shapes, and fashion makes images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (lambda sdf: sdf.sum((1, 2, 3)) * math.nan, "reward '<lambda>' must be finite, it is not for 8 of 8 samples"),
        (lambda sdf: sdf.amax(), r"reward '<lambda>' must return a tensor of shape \(8,\), it gave shape \(\)"),
        (lambda sdf: (sdf < 0).float().sum((1, 2, 3)), "must be differentiable for this method"),
    ],
)
def test_rewards_that_are_none_are_named(pipe, reward, message):
    with pytest.raises(RewardError, match=message):
        pipe(2, 1, resolution=16, reward=reward, method="guide")


def test_fine_tuning_makes_a_model_of_larger_balls_and_keeps_its_state(pipe, tmp_path, unchecked_shapes):
    """By d deviations: -d SPREAD / spread + beta d^2 / n is least at n SPREAD / (2 beta spread)."""

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    options = {"learning_rate": 0.1, "beta": CELLS**3 / 2, "batch": 2}
    with pytest.raises(KeyboardInterrupt):
        pipe.fine_tune(radius, tmp_path, steps=30, progress=stop, **options)
    with pytest.raises(CheckpointError, match="exists; go on with resume=True"):
        pipe.fine_tune(radius, tmp_path, steps=30, **options)
    tuned = pipe.fine_tune(radius, tmp_path, steps=30, resume=True, **options)
    spread = SPREAD * sums(pipe, 16).std(ddof=1)
    assert float(tuned.model.flow_map.network.grown) == pytest.approx(SPREAD / spread, rel=0.15)
    assert tuned.saved.facts["fine_tuned"] == {"reward": "radius", "steps": 30}
    assert not pipe.model.flow_map.network.grown


def test_unknown_names_list_the_known_ones(pipe):
    with pytest.raises(ConfigError, match="unknown method 'climb': the methods are best_of_n, tilt"):
        pipe(1, reward="volume", method="climb")
    with pytest.raises(ConfigError, match="unknown reward 'beauty': the rewards are"):
        pipe(1, reward="beauty")
