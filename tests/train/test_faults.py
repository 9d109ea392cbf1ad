"""Faults of a training: what is said, and that nothing is lost beyond the last checkpoint."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geomflow import checkpoint
from geomflow.config import Item, RunConfig
from geomflow.errors import CheckpointError, ConfigError, RecordError, TrainingError
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.train import train
from geomflow.train.run import Run
from tests.train.cases import AUTOENCODER, QUICK, flow_config, losses, same_weights


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


def test_grids_of_another_resolution_are_refused_with_both_ways_out(data, tmp_path):
    said = r": has grids of 16 x 16 x 16 samples, the encoder wants 32 per axis: .*--resolution 32, .*resolution 16$"
    finer = replace(AUTOENCODER, encoder=Item("grid_autoencoder", {**AUTOENCODER.encoder.options, "resolution": 32}))
    with pytest.raises(RecordError, match=rf"^{data}{said}"):
        train(finer, data, tmp_path / "new", progress=False)
    plain = replace(flow_config(tmp_path), pretrained_encoder="", encoder=Item("plain_grid", {"resolution": 32}))
    with pytest.raises(RecordError, match=rf"^{data}/.*\.safetensors{said}"):
        train(plain, data, tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_no_training_state_is_named(tmp_path):
    (tmp_path / checkpoint.STATE).parent.mkdir()
    for content, said in (([1, 2], "not a training state: it has no steps"), ({"step": 3}, "not a training state")):
        torch.save(content, tmp_path / checkpoint.STATE)
        with pytest.raises(CheckpointError, match=rf"{checkpoint.STATE}: {said}"):
            checkpoint.load_state(tmp_path)


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_named(data, autoencoder_run, tmp_path):
    with pytest.raises(ConfigError, match="device 'cuda' is not here"):
        train(AUTOENCODER, data, tmp_path / "new", device="cuda", progress=False)
    with pytest.raises(ConfigError, match="device 'cuda' is not here"):
        Pipeline.from_pretrained(autoencoder_run, device="cuda")


def test_a_record_that_is_damaged_stops_the_run_with_its_name(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "set")
    damaged = record_files(copy, "train")[2]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    stored = replace(AUTOENCODER, dataset=Item("sdf_samples", {"points": 96, "in_memory": False}))
    with pytest.raises(RecordError, match=rf"{damaged.name}: truncated"):
        train(stored, copy, tmp_path / "run", progress=False)
