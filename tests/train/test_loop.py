"""Training: bit-exact resume, budgets, gradients, and the same run from data in memory, on disk or afar."""

import json
import shutil
import signal
from dataclasses import replace

import fsspec
import pytest
import torch

from geomflow import assemble, checkpoint
from geomflow.config import Item
from geomflow.errors import CheckpointError, ConfigError
from geomflow.pipeline import Pipeline
from geomflow.prep.pack import pack
from geomflow.train import train
from geomflow.train.ranks import Ranks
from geomflow.train.run import Run
from geomflow.train.schedule import part_of_step
from tests.train.cases import AUTOENCODER, QUICK, flow_config, losses, same_weights, train_until


@pytest.mark.parametrize(
    ("task", "numbers"),
    [
        ("autoencoder", [signal.SIGINT]),
        ("flow_map", [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]),  # as by SLURM, torchrun and a user
        ("flow_map, progressive", [signal.SIGINT, signal.SIGTERM]),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(task, numbers, data, autoencoder_run, tmp_path):
    config = AUTOENCODER if task == "autoencoder" else flow_config(autoencoder_run)
    if "progressive" in task:  # which carries a frozen teacher; the run is stopped within its second phase
        times = {"warm_up": 0.0, "full_span": 0.0}
        config = replace(config, objective=Item("progressive", {"levels": 2, "begin": 0.0}), times=times)
    whole = train(config, data, tmp_path / "whole", progress=False)
    train_until(5, config, data, tmp_path / "parts", numbers=numbers)
    assert checkpoint.load(tmp_path / "parts").facts["step"] == 5  # the step under way was finished
    parts = train(config, data, tmp_path / "parts", resume=True, progress=False)
    assert same_weights(whole, parts)
    assert losses(whole) == losses(parts)
    assert len(losses(whole)) == QUICK.steps


def test_a_second_ctrl_c_breaks_off(data, tmp_path):
    train_until(5, AUTOENCODER, data, tmp_path / "run", numbers=[signal.SIGTERM, signal.SIGINT, signal.SIGINT])
    assert checkpoint.load(tmp_path / "run").facts["step"] == 3  # of the last checkpoint before; none was written


def test_distillation_takes_a_run_as_teacher(data, autoencoder_run, tmp_path):
    """The teacher's folder is named in the configuration; its weights stay as they are, and a wrong one is refused."""
    config = flow_config(autoencoder_run)
    teacher = train(config, data, tmp_path / "teacher", progress=False)
    times = {"warm_up": 0.0, "full_span": 0.0}
    distilled = replace(config, objective=Item("distillation", {"teacher": str(teacher)}), times=times)
    student = train(distilled, data, tmp_path / "student", progress=False)
    assert "objective" in json.loads((student / "log.jsonl").read_text().splitlines()[-1])

    saved = checkpoint.load(teacher)
    rescaled = {name: 2 * weight if name == "scale.std" else weight for name, weight in saved.weights.items()}
    checkpoint.save(tmp_path / "rescaled", replace(saved, weights=rescaled))
    other = replace(distilled, objective=Item("distillation", {"teacher": str(tmp_path / "rescaled")}))
    with pytest.raises(ConfigError, match=r"must have the student's latents, but the scale of .*rescaled differs"):
        train(other, data, tmp_path / "other", progress=False)
    wrong = replace(distilled, objective=Item("distillation", {"teacher": str(autoencoder_run)}))
    with pytest.raises(ConfigError, match=r"objective\.teacher must be the run of a flow map"):
        train(wrong, data, tmp_path / "other", progress=False)


@pytest.mark.parametrize("objective", ["eulerian", "lagrangian"])
def test_derivatives_are_taken_in_full_precision(objective, data, autoencoder_run, tmp_path):
    """With bfloat16 networks a run stays near the float32 one: only the values, not the derivatives, lose digits."""
    found = []
    for precision in ("float32", "bfloat16"):
        config = flow_config(autoencoder_run)
        config = replace(config, objective=Item(objective), times={"warm_up": 0.0, "full_span": 0.0})
        config = replace(config, optimization=replace(QUICK, precision=precision, batch_size=4))
        run = train(config, data, tmp_path / precision, progress=False)
        found.append([json.loads(line)["objective"] for line in (run / "log.jsonl").open()])
    assert found[1] == pytest.approx(found[0], rel=0.05)
    assert found[1] != found[0]


def test_errors_are_weighed_as_the_configuration_says(data, autoencoder_run, tmp_path):
    """With p = 1 and a tiny floor every sample's loss is one; an unknown setting is refused."""
    config = replace(flow_config(autoencoder_run), weight={"adaptive_power": 1.0, "adaptive_floor": 1e-9})
    run = train(config, data, tmp_path / "run", progress=False)
    assert losses(run) == pytest.approx([1.0] * QUICK.steps, abs=1e-3)
    with pytest.raises(ConfigError, match=r"the run's \[weight\] has no option 'power'"):
        train(replace(config, weight={"power": 1.0}), data, tmp_path / "wrong", progress=False)


def test_training_lowers_the_loss_of_an_autoencoder(data, tmp_path, unchecked_shapes):
    longer = replace(
        AUTOENCODER, optimization=replace(QUICK, steps=400, save_every=400, learning_rate=3e-3, batch_size=4)
    )
    out = train(longer, data, tmp_path / "run", progress=False)
    errors = [json.loads(line)["error"] for line in (out / "log.jsonl").open()]
    assert sum(errors[-5:]) < 0.7 * sum(errors[:5])


def test_a_time_budget_stops_early_and_leaves_a_run_to_resume(data, tmp_path):
    out = train(AUTOENCODER, data, tmp_path / "run", minutes=0.0, progress=False)
    assert checkpoint.load(out).facts["step"] == 0
    train(AUTOENCODER, data, out, resume=True, progress=False)
    assert checkpoint.load(out).facts["step"] == QUICK.steps


def test_the_gradient_is_that_of_the_mean_over_the_parts(data, autoencoder_run, tmp_path):
    config = replace(flow_config(autoencoder_run), optimization=replace(QUICK, batch_size=4, micro_batches=2))
    run = Run(assemble.training(config, data), tmp_path, Ranks("cpu"))
    with torch.no_grad():
        for weight in run.weights:
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    logs = run._gradients(progress=0.9)
    parts = []
    for number in range(2):
        shapes, generator = part_of_step(len(run.parts.dataset), config.optimization, number)
        parts.append(run.parts.loss(run.parts.dataset.batch(shapes, generator), 0.9, generator)[0])
    mean = torch.stack(parts).mean()
    assert logs["loss"] == pytest.approx(float(mean.detach()))
    for weight, gradient in zip(run.weights, torch.autograd.grad(mean, run.weights), strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    run.close()


def test_an_autoencoder_does_not_generate(autoencoder_run):
    with pytest.raises(CheckpointError, match="has no flow map"):
        Pipeline.from_pretrained(autoencoder_run)()


def test_latents_are_standardised_and_saved_with_the_model(data, autoencoder_run, tmp_path):
    out = train(flow_config(autoencoder_run), data, tmp_path / "flow", progress=False)
    weights = checkpoint.load(out).weights
    assert (weights["scale.std"] != 1).all()
    pipeline = Pipeline.from_pretrained(out)
    shapes = pipeline.sample_latents(3, steps=2, seed=5)
    torch.testing.assert_close(pipeline.sample_latents(1, steps=2, seed=7)[0], shapes[2])
    pipeline.save_pretrained(tmp_path / "copy")
    assert same_weights(out, tmp_path / "copy")


@pytest.mark.parametrize("place", ["folder", "shards", "url"])
def test_data_that_stay_on_disk_or_come_from_afar_train_the_same_run(place, data, tmp_path, monkeypatch):
    """Record by record out of files, and out of shards in another order: to the bit what a folder in memory gives."""
    monkeypatch.setenv("GEOMFLOW_CACHE", str(tmp_path / "cache"))
    whole = train(AUTOENCODER, data, tmp_path / "whole", progress=False)
    places = {"folder": data, "shards": tmp_path / "shards", "url": "memory://trained"}
    pack(data, tmp_path / "shards", shard_bytes=50_000, seed=1, progress=False)
    fsspec.filesystem("memory").put(str(data), "/trained", recursive=True)
    stored = replace(AUTOENCODER, dataset=Item("sdf_samples", {**AUTOENCODER.dataset.options, "in_memory": False}))
    run = train(stored, places[place], tmp_path / "run", progress=False)
    assert losses(whole) == losses(run)
    assert same_weights(whole, run)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a C++ compiler")
@pytest.mark.parametrize("objective", ["semigroup", "eulerian", "lagrangian", "progressive"])
def test_a_compiled_network_takes_the_same_steps(objective, data, autoencoder_run, tmp_path, unchecked_shapes):
    config = flow_config(autoencoder_run)
    options = {"levels": 2, "begin": 0.0} if objective == "progressive" else {}
    config = replace(config, objective=Item(objective, options), times={"warm_up": 0.0, "full_span": 0.0})
    plain = train(config, data, tmp_path / "plain", progress=False)
    compiled = replace(config, optimization=replace(QUICK, compile=True))
    fast = train(compiled, data, tmp_path / "fast", progress=False)
    assert losses(fast) == pytest.approx(losses(plain), rel=1e-4)
    assert checkpoint.load(fast).weights.keys() == checkpoint.load(plain).weights.keys()


def test_only_flow_maps_are_compiled(data, tmp_path):
    with pytest.raises(ConfigError, match=r"optimization\.compile is for flow maps"):
        train(replace(AUTOENCODER, optimization=replace(QUICK, compile=True)), data, tmp_path / "run", progress=False)
