"""Processes from launchers, as on a cluster: killed ones are replaced, and one whose time is up leaves a checkpoint."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from geomflow import checkpoint
from geomflow.config import Item, RunConfig, write_toml
from geomflow.train import train
from tests.train.cases import flow_config, losses
from tests.train.test_processes import SHARED, TOLERANCE, free_port

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12


def config_with(encoder: Path, **options: object) -> RunConfig:
    """A run with a checkpoint every four steps that gets a signal while its sixth or seventh step is taken."""
    config = replace(flow_config(encoder), optimization=replace(SHARED, steps=STEPS, save_every=4))
    return replace(config, dataset=Item("tests.train.fatal", options))


def launched(
    config: RunConfig, data: Path, out: Path, *options: str, launcher: str = "torch.distributed.run"
) -> subprocess.CompletedProcess[str]:
    """What became of a training in two processes."""
    write_toml(config, out.parent / "run.toml")
    arguments = ["train", str(out.parent / "run.toml"), "--data", str(data), "--out", str(out), "--auto-resume"]
    command = [sys.executable, "-m", launcher, *options, "-m", "geomflow", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


TWO = ("--standalone", "--nproc-per-node", "2")


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_nothing_changes(data, autoencoder_run, tmp_path):
    config = config_with(autoencoder_run, marker=str(tmp_path / "died"))
    done = launched(config, data, tmp_path / "run", *TWO, "--max-restarts", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "died").exists()
    assert done.stdout.count("wrote ") == 1  # the first process speaks for all
    whole = train(config, data, tmp_path / "whole", progress=False)
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), abs=TOLERANCE)
    assert len(losses(whole)) == STEPS


@pytest.mark.slow
def test_without_restarts_the_others_stop_and_the_run_goes_on_later(data, autoencoder_run, tmp_path):
    config = config_with(autoencoder_run, marker=str(tmp_path / "died"))
    done = launched(config, data, tmp_path / "run", *TWO)
    assert done.returncode != 0
    assert "another process of this training is gone at step" in done.stderr
    assert checkpoint.load_state(tmp_path / "run")["step"] == 4
    train(config, data, tmp_path / "run", resume=True, progress=False)
    whole = train(config, data, tmp_path / "whole", progress=False)
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), abs=TOLERANCE)


@pytest.mark.slow
def test_a_launcher_that_is_terminated_leaves_a_checkpoint(data, autoencoder_run, tmp_path):
    """As by SLURM, which tells launcher and processes; the launcher then tells its processes again."""
    config = config_with(autoencoder_run, marker=str(tmp_path / "died"), number=int(signal.SIGTERM))
    done = launched(config, data, tmp_path / "run", *TWO)
    assert done.returncode != 0
    assert 4 < checkpoint.load_state(tmp_path / "run")["step"] < STEPS
    train(config, data, tmp_path / "run", resume=True, progress=False)
    whole = train(config, data, tmp_path / "whole", progress=False)
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), abs=TOLERANCE)


@pytest.mark.slow
def test_accelerate_launches_the_same_run(data, autoencoder_run, tmp_path):
    """Told of GPUs it starts processes that torchrun would start; these compute on the CPU, as they are told."""
    pytest.importorskip("accelerate")
    config = replace(flow_config(autoencoder_run), optimization=SHARED)
    options = ("--multi_gpu", "--num_processes", "2", "--main_process_port", str(free_port()))
    done = launched(config, data, tmp_path / "run", *options, launcher="accelerate.commands.launch")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("wrote ") == 1
    whole = train(config, data, tmp_path / "whole", progress=False)
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), abs=TOLERANCE)
