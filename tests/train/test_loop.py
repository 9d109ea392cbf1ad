"""Training and checkpoints: bit-exact resume, averages, budgets, and clear ends."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
from torch import nn

from geomflow import assemble, checkpoint
from geomflow.config import Item, Optimization, RunConfig
from geomflow.errors import CheckpointError, ConfigError, RecordError, TrainingError
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.prep.pack import pack
from geomflow.train import Ema, data_order, learning_rate_factor, train
from geomflow.train.ranks import Ranks
from geomflow.train.run import Run
from geomflow.train.schedule import part_of_step
from tests.train.cases import AUTOENCODER, QUICK, flow_config, losses, same_weights, train_until


@pytest.mark.parametrize(
    ("task", "number"),
    [("autoencoder", signal.SIGINT), ("flow_map", signal.SIGTERM), ("flow_map, progressive", signal.SIGINT)],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(task, number, data, autoencoder_run, tmp_path):
    config = AUTOENCODER if task == "autoencoder" else flow_config(autoencoder_run)
    if "progressive" in task:  # which carries a frozen teacher; the run is stopped within its second phase
        times = {"warm_up": 0.0, "full_span": 0.0}
        config = replace(config, objective=Item("progressive", {"levels": 2, "begin": 0.0}), times=times)
    whole = train(config, data, tmp_path / "whole", progress=False)
    train_until(5, config, data, tmp_path / "parts", number=number)
    assert checkpoint.load(tmp_path / "parts").facts["step"] == 5  # the step under way was finished
    parts = train(config, data, tmp_path / "parts", resume=True, progress=False)
    assert same_weights(whole, parts)
    assert losses(whole) == losses(parts)
    assert len(losses(whole)) == QUICK.steps


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


def test_the_average_follows_its_closed_form():
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 1.0)
    ema = Ema(module, decay=0.9)
    nn.init.constant_(module.weight, 2.0)
    for _ in range(5):
        ema.update(module, step=10_000)
    assert ema.average["weight"].item() == pytest.approx(2 - 0.9**5)


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


def test_a_loss_that_is_no_number_stops_with_step_seed_and_last_checkpoint(data, tmp_path):
    wild = replace(AUTOENCODER, optimization=replace(QUICK, learning_rate=1e30, warmup=1, clip=1e30))
    with pytest.raises(TrainingError, match=r"at step [12] \(seed 0\); no checkpoint was written before"):
        train(wild, data, tmp_path / "never", progress=False)
    assert not (tmp_path / "never" / checkpoint.CONFIG).exists()
    often = replace(wild, optimization=replace(wild.optimization, save_every=1))
    with pytest.raises(TrainingError, match=r"the last checkpoint in .*often is of step (\d)") as caught:
        train(often, data, tmp_path / "often", progress=False)
    assert str(caught.value).endswith(str(checkpoint.load(tmp_path / "often").facts["step"]))


@pytest.mark.parametrize("full", [checkpoint.WEIGHTS, checkpoint.STATE, "log.jsonl"])
def test_a_full_disk_leaves_the_last_checkpoint_whole(full, data, tmp_path):
    """Whichever file there is no room for, the folder holds what it held, and the run goes on from there."""
    whole = train(AUTOENCODER, data, tmp_path / "whole", progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", without_room(Path(full).name, times=4 if full == "log.jsonl" else 1))
        with pytest.raises(TrainingError, match=r"run: the disk is full at step [56] \(\d+ MiB free\); .* of step 3; "):
            train(AUTOENCODER, data, tmp_path / "run", progress=False)
    assert checkpoint.load(tmp_path / "run").facts["step"] == checkpoint.load_state(tmp_path / "run")["step"] == 3
    assert not list((tmp_path / "run").rglob(".*"))
    train(AUTOENCODER, data, tmp_path / "run", resume=True, progress=False)
    assert same_weights(whole, tmp_path / "run")
    assert losses(whole) == losses(tmp_path / "run")


def without_room(name: str, times: int) -> Callable[..., object]:
    """`Path.open` that finds room for a file only so many times."""
    opened, left = Path.open, [times]

    def attempt(path: Path, mode: str = "r", *rest: object, **options: object) -> object:
        if name in path.name and mode in ("wb", "a"):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *rest, **options)

    return attempt


def test_a_run_saves_by_the_clock_too(data, tmp_path):
    """A run that dies in its sixth step after checkpoints of every moment has lost that step alone."""
    change = Run.change

    def dying(run: Run, progress: float) -> dict[str, float]:
        if run.step == 5:
            raise RuntimeError("killed")
        return change(run, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "change", dying)
        with pytest.raises(RuntimeError, match="killed"):
            train(AUTOENCODER, data, tmp_path / "run", progress=False, save_minutes=0.0)
    assert checkpoint.load_state(tmp_path / "run")["step"] == 5


def test_runs_are_not_overwritten_and_not_mixed(data, autoencoder_run, tmp_path):
    with pytest.raises(CheckpointError, match="holds a run already; go on with --resume"):
        train(AUTOENCODER, data, autoencoder_run, progress=False)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(AUTOENCODER, data, tmp_path / "new", resume=True, progress=False)
    other = replace(AUTOENCODER, dataset=Item("sdf_samples", {"points": 95}))
    with pytest.raises(CheckpointError, match=r"another configuration: dataset.points was 96, is 95"):
        train(other, data, autoencoder_run, resume=True, progress=False)
    slower = replace(AUTOENCODER, optimization=replace(QUICK, learning_rate=1e-5))
    with pytest.raises(CheckpointError, match=r"optimization.learning_rate was 0.001, is 1e-05"):
        train(slower, data, autoencoder_run, resume=True, progress=False)
    with pytest.raises(ConfigError, match="pretrained_encoder FOLDER"):
        train(RunConfig(task="flow_map", dataset=Item("latents")), data, tmp_path / "new", progress=False)


def test_damaged_checkpoints_are_named(autoencoder_run, tmp_path):
    def copy(name: str) -> Path:
        Pipeline.from_pretrained(autoencoder_run).save_pretrained(tmp_path / name)
        return tmp_path / name

    with pytest.raises(CheckpointError, match="neither a checkpoint folder nor an embedded model"):
        Pipeline.from_pretrained(tmp_path / "nowhere")
    cut = copy("cut") / checkpoint.WEIGHTS
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model.safetensors: truncated"):
        Pipeline.from_pretrained(tmp_path / "cut")
    newer = copy("newer") / checkpoint.CONFIG
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match="format 99 is newer"):
        Pipeline.from_pretrained(tmp_path / "newer")
    (copy("half") / checkpoint.CONFIG).write_text('{"format": 1, "con')
    with pytest.raises(CheckpointError, match=r"config.json: truncated"):
        Pipeline.from_pretrained(tmp_path / "half")
    (copy("lost") / checkpoint.WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors: no such file"):
        Pipeline.from_pretrained(tmp_path / "lost")
    swapped = copy("swapped") / checkpoint.CONFIG
    swapped.write_text(swapped.read_text().replace('"latent_channels": 2', '"latent_channels": 3'))
    with pytest.raises(CheckpointError, match="does not fit its configuration: size mismatch"):
        Pipeline.from_pretrained(tmp_path / "swapped")


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_named(data, autoencoder_run, tmp_path):
    with pytest.raises(ConfigError, match="device 'cuda' is not here"):
        train(AUTOENCODER, data, tmp_path / "new", device="cuda", progress=False)
    with pytest.raises(ConfigError, match="device 'cuda' is not here"):
        Pipeline.from_pretrained(autoencoder_run, device="cuda")


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


def test_a_record_that_is_damaged_stops_the_run_with_its_name(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "set")
    damaged = record_files(copy, "train")[2]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    stored = replace(AUTOENCODER, dataset=Item("sdf_samples", {"points": 96, "in_memory": False}))
    with pytest.raises(RecordError, match=rf"{damaged.name}: truncated"):
        train(stored, copy, tmp_path / "run", progress=False)


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
