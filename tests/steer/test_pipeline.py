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
from geomflow.flow.random import generator_of, normal
from geomflow.model import LatentModel
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.pipelines._steering import steering_of
from geomflow.pipelines._steering_methods import MEASURED, METHODS
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.steer.reward import NUMBERS, score_and_gradient
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


def sums(noise: Tensor) -> np.ndarray:
    """What decides the sizes: -sum / sqrt(n) of the noises."""
    return -noise.flatten(1).sum(1).numpy() / CELLS**1.5


def seeded(pipe: ShapePipeline, count: int) -> np.ndarray:
    return sums(noise_of(pipe.model, count, 0))


def spread() -> float:
    """That of the radius over the balls that are measured."""
    return SPREAD * float(sums(normal((MEASURED, 1, *[CELLS] * 3), generator_of(0, 3))).std(ddof=1))


def particles_of(method: str) -> int | None:
    """Few, for a test."""
    return {"tilt": 12, "best_of_n": 8, "langevin": 6, "ascend": 3}.get(method)


def test_a_reward_of_shapes_is_one_of_latents_with_its_gradient(pipe):
    noise = noise_of(pipe.model, COUNT, 0)
    reward = ShapeReward(pipe.model, radius, samples=16)
    ahead = score_and_gradient(reward, lambda x, _: pipe.model.flow_map(x, 0.0, 1.0), noise)
    np.testing.assert_allclose(ahead.reward.numpy(), RADIUS + SPREAD * seeded(pipe, COUNT), atol=0.02)
    np.testing.assert_allclose(ahead.gradient.numpy(), -SPREAD / CELLS**1.5, rtol=1e-3)
    assert reward.__name__ == "radius"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_larger_balls_when_asked_for_volume(pipe, method):
    result = pipe(COUNT, 2, resolution=24, reward="volume", method=method, particles=particles_of(method))
    told = result.settings["steering"]
    assert (told["reward"], told["method"], told["particles"]) == ("volume", method, particles_of(method))
    assert told["strength"] == (None if method == "best_of_n" else 2)
    before, after = np.array(told["before"]), np.array(told["after"])
    assert (after - before).mean() > 0.4 * 4 * math.pi * RADIUS**2 * spread()
    measured = [mesh.volume for mesh in result.meshes]
    np.testing.assert_allclose(measured, after, rtol=0.08)  # the grid of the reward, and of the extraction
    assert result.nfe == told["network_calls"] >= 2
    json.dumps(result.as_dict())


def test_guidance_by_deviations_moves_a_linear_reward_by_as_many(pipe):
    """One jump: the radius of every ball grows by two standard deviations of the few balls that it is compared to."""
    result = pipe(COUNT, 1, resolution=16, reward=radius, method="guide", strength=2.0)
    told = result.settings["steering"]
    assert told["spread"] == pytest.approx(spread(), rel=0.02)
    grown = np.array(told["after"]) - np.array(told["before"])
    np.testing.assert_allclose(grown, 2 * SPREAD**2 / spread(), rtol=0.05)
    again = pipe(1, 1, seed=40, resolution=16, reward=radius, method="langevin", particles=1)
    assert again.settings["steering"]["spread"] == told["spread"]


def test_the_best_of_some_is_the_best_of_just_those(pipe):
    result = pipe(2, 1, resolution=16, reward=radius, particles=5)
    told = result.settings["steering"]
    own = noise_of(pipe.model, 2, 0)
    others = torch.stack([normal(own.shape[1:], generator_of(i, j)) for i in range(2) for j in range(1, 5)])
    wanted = np.concatenate([sums(own)[:, None], sums(others).reshape(2, 4)], 1)
    np.testing.assert_allclose(told["before"], RADIUS + SPREAD * wanted[:, 0], atol=0.02)
    np.testing.assert_allclose(told["after"], RADIUS + SPREAD * wanted.max(1), atol=0.02)
    assert (result.nfe, told["spread"], told["strength"]) == (5, None, None)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.together])
def test_a_shape_is_that_of_its_seed_whatever_is_made_beside_it(pipe, method):
    options = {"steps": 2, "resolution": 16, "reward": "volume", "method": method, "particles": particles_of(method)}
    many, alone = pipe(8, **options), pipe(1, seed=5, **options)
    torch.testing.assert_close(alone.latents[0], many.latents[5], rtol=1e-4, atol=1e-4)
    for name in ("before", "after"):
        assert alone.settings["steering"][name][0] == pytest.approx(many.settings["steering"][name][5], rel=1e-4)
    assert not torch.allclose(many.latents[4], many.latents[5], atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_all_network_calls_are_told(pipe, method):
    rows = []
    hook = pipe.model.flow_map.network.register_forward_hook(lambda network, given, result: rows.append(len(result)))
    try:
        result = pipe(COUNT, 2, resolution=16, reward="volume", method=method, particles=particles_of(method))
    finally:
        hook.remove()
    told = result.settings["steering"]
    assert told["measuring_calls"] == 2 * (COUNT + (0 if method == "best_of_n" else MEASURED))
    assert sum(rows) == COUNT * told["network_calls"] + told["measuring_calls"]
    assert method != "best_of_n" or max(rows) == NUMBERS // CELLS**3  # so that many candidates want no more memory


def test_the_unit_of_a_reward_does_not_matter(pipe):
    options = {"steps": 2, "resolution": 16, "method": "guide"}
    plain = pipe(2, reward=radius, **options)
    scaled = pipe(2, reward=lambda sdf: 1e-12 * radius(sdf), **options)
    torch.testing.assert_close(plain.latents, scaled.latents)


def test_a_constant_reward_is_nothing_to_steer_by(pipe, tmp_path):
    def constant(sdf: Tensor) -> Tensor:
        return 3.7 + 0 * sdf.mean((1, 2, 3))

    message = r"reward 'constant' must differ to be steered by, it is 3.7 for each of 32 unsteered shapes"
    for method in METHODS:
        if METHODS[method].strength:
            with pytest.raises(RewardError, match=message):
                pipe(2, resolution=16, reward=constant, method=method)
    with pytest.raises(RewardError, match=message):
        pipe.fine_tune(constant, tmp_path / "tuned", steps=1)
    assert not (tmp_path / "tuned").exists()


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
            "unknown method 'pray': the methods are best_of_n, guide, ascend",
        ),
        (["--reward", "volume", "--reward.goal", "1"], "reward 'volume' has no option 'goal': its options are target"),
        (["--reward.target", "1"], "unknown option --reward.target; options of a --reward"),
        (["--method", "tilt"], "method, particles and strength want a reward"),
        (["--reward", "volume", "--method", "tilt", "--particles", "1"], "of at least 2 for 2 shapes by tilt, given 1"),
        (
            ["--reward", "volume", "--reward.target", "much"],
            "reward 'volume': target must be float | None, given 'much'",
        ),
        (
            ["--reward", "volume", "--method", "ascend", "--strength", "-1"],
            "strength must be a positive, finite number",
        ),
        (
            ["--reward", "volume", "--method", "guide", "--particles", "4"],
            "particles must be left out for guide, given 4: it is for best_of_n, ascend, tilt, langevin",
        ),
    ]:
        assert main([*common, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert main(["generate", "fashion", "--out", out, "--reward", "volume"]) == 2
    assert "--reward is for models of shapes, and fashion makes images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (lambda sdf: sdf.sum((1, 2, 3)) * math.nan, "reward '<lambda>' must be finite, it is not for 2 of 2 samples"),
        (lambda sdf: sdf.amax(), r"reward '<lambda>' must return a tensor of shape \(2,\), it gave shape \(\)"),
        (lambda sdf: (sdf < 0).float().sum((1, 2, 3)), "must be differentiable for this method"),
        (lambda sdf: (sdf < 0).sum((1, 2, 3)), "must be differentiable for this method"),
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
    assert float(tuned.model.flow_map.network.grown) == pytest.approx(SPREAD / spread(), rel=0.15)
    assert tuned.saved.facts["fine_tuned"] == {"reward": "radius", "steps": 30}
    assert not pipe.model.flow_map.network.grown


def test_fine_tuning_overwrites_no_model(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    for options, message in (({}, "holds a model already"), ({"resume": True}, "there is nothing to resume")):
        with pytest.raises(CheckpointError, match=message):
            ShapePipeline.from_pretrained(tmp_path).fine_tune(radius, tmp_path, steps=1, batch=2, **options)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "fine_tuning.pt").exists()


def test_unknown_names_list_the_known_ones(pipe):
    with pytest.raises(ConfigError, match="unknown method 'climb': the methods are best_of_n, guide"):
        pipe(1, reward="volume", method="climb")
    with pytest.raises(ConfigError, match="unknown reward 'beauty': the rewards are"):
        pipe(1, reward="beauty")


def test_what_cannot_be_called_is_no_reward(pipe, tmp_path, unchecked_shapes):
    for call in (lambda: pipe(1, reward=3), lambda: pipe.fine_tune(3, tmp_path)):
        with pytest.raises(ConfigError, match="reward must be a name or a callable, given 3"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": ""}, "unknown method ''"),
        ({"particles": 0}, "particles must be a whole number of at least 1 for 3 shapes by best_of_n, given 0"),
        ({"particles": 2.5}, "particles must be a whole number .*, given 2.5"),
        ({"method": "dps", "particles": 4}, "particles must be left out for dps, given 4: it is for best_of_n, ascend"),
        ({"method": "plug_and_play", "particles": 4}, "particles must be left out for plug_and_play, given 4"),
        ({"strength": 3.0}, "strength must be left out for best_of_n, given 3.0: it is for guide, ascend, tilt"),
        *[
            (
                {"method": method, "strength": strength},
                f"strength must be a positive, finite number, given {strength!r}",
            )
            for method, strength in [
                ("guide", -1),
                ("ascend", 0.0),
                ("tilt", math.nan),
                ("dps", math.inf),
                ("dps", "2"),
            ]
        ],
    ],
)
def test_what_a_method_cannot_use_is_refused(options, message, unchecked_shapes):
    with pytest.raises(ConfigError, match=message):
        steering_of("volume", **{"method": None, "particles": None, "strength": None, **options}, count=3)


def test_a_population_is_at_least_as_large_as_what_is_drawn_from_it():
    assert steering_of("volume", "tilt", None, None, 3).particles == 64
    assert steering_of("volume", "tilt", None, None, 100).particles == 100


def test_copies_in_a_population_are_told(pipe, caplog):
    """Of 6 particles the best are taken twice; of 64 at little strength two are two."""
    options = {"steps": 1, "resolution": 16, "reward": "volume", "method": "tilt"}
    shapes = pipe(6, particles=6, strength=4.0, **options)
    distinct = len(shapes.latents.flatten(1).unique(dim=0))
    assert distinct < 6
    assert caplog.messages == [f"6 shapes by tilt are {distinct} and copies: take more particles or less strength"]
    caplog.clear()
    pipe(2, particles=64, strength=0.1, **options)
    assert not caplog.messages


def test_candidates_are_chosen_by_points_or_by_a_reward_and_not_by_both(pipe):
    with pytest.raises(
        ValueError, match="candidates must be 1 with a reward, of which best_of_n takes particles, given 4"
    ):
        pipe(1, reward="volume", candidates=4)
