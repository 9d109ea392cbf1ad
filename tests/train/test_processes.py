"""Two processes take the steps of one, go on where one left off and the other way round, and stop together."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn

from geomflow import checkpoint
from geomflow.config import Item, RunConfig
from geomflow.errors import CheckpointError, ConfigError, TrainingError
from geomflow.prep.pack import pack
from geomflow.train import Ema, train
from geomflow.train.ranks import Ranks
from geomflow.train.run import Run
from tests.train.cases import (
    AUTOENCODER,
    SHARED,
    TOLERANCE,
    assert_same_run,
    flow_config,
    free_port,
    losses,
    train_until,
)

pytestmark = (
    pytest.mark.slow
)  # gloo may abort a process that is done and exits; tests/flow/test_distributed.py is quick

WORLD = 2


def configs(encoder: Path) -> dict[str, RunConfig]:
    """What is trained both ways."""
    flow = replace(flow_config(encoder), optimization=SHARED)
    no_warm_up = {"warm_up": 0.0, "full_span": 0.0}
    return {
        "semigroup": replace(flow, times=no_warm_up, optimization=replace(SHARED, optimizer="muon")),
        "eulerian": replace(flow, objective=Item("eulerian"), times=no_warm_up),
        "autoencoder": replace(AUTOENCODER, optimization=replace(SHARED, micro_batches=4)),
    }


def process(rank: int, port: int, encoder: Path, data: Path, folder: Path) -> None:
    """What each of the two processes does; the second one alone gets Ctrl-C."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    os.environ["GEOMFLOW_CACHE"] = str(folder / "cache")  # filled by one of the two
    runs = configs(encoder)
    for name, config in runs.items():
        train(config, folder / "shards" if name == "autoencoder" else data, folder / name, progress=False)
    config = runs["eulerian"]
    train(config, data, folder / "alone-then-together", resume=True, progress=False)
    stop = train_until if rank == 1 else interrupted_by_others
    stop(2, config, data, folder / "together-then-alone")
    said = {
        "uneven": message(replace(config, optimization=replace(SHARED, micro_batches=1)), data, folder / "uneven"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", disk_full)
        said["full"] = message(config, data, folder / "full")
    with pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            patch.setattr(Run, "_data", no_numbers)
        said["nan"] = message(config, data, folder / "nan")
    (folder / f"said-{rank}.json").write_text(json.dumps({**said, **shared_average()}))
    distributed.destroy_process_group()


def shared_average() -> dict[str, object]:
    """How the average of both processes compares with that of this one alone, and how many tensors each keeps."""
    torch.manual_seed(0)
    module = nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)))
    alone, together = Ema(module, 0.9), Ema(module, 0.9, Ranks("cpu"))
    for step in range(1, 5):
        torch._foreach_add_([weight.data for weight in module.parameters()], 0.1 * step)
        alone.update(step)
        together.update(step)
    whole = together.whole()
    equal = all(torch.equal(tensor, whole[name]) for name, tensor in alone.whole().items())
    unwanted = together.whole(wanted=bool(distributed.get_rank()))
    return {"equal": equal, "kept": len(together.share), "wanted": len(unwanted)}


def interrupted_by_others(_step: int, *arguments: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(*arguments, progress=False)  # pyright: ignore


def disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def no_numbers(run: Run, number: int) -> tuple[dict[str, torch.Tensor], torch.Generator]:
    return {"data": torch.full((2, *run.parts.dataset.mean.shape[1:]), torch.nan)}, torch.Generator()  # pyright: ignore


def message(config: RunConfig, data: Path, out: Path) -> str:
    """Why a training fails."""
    with pytest.raises((ConfigError, TrainingError)) as caught:
        train(config, data, out, progress=False)
    return str(caught.value)


@pytest.fixture(scope="module")
def together(data, autoencoder_run, tmp_path_factory) -> Path:
    """The folder in which two processes left what they did."""
    folder = tmp_path_factory.mktemp("gloo")
    train_until(2, configs(autoencoder_run)["eulerian"], data, folder / "alone-then-together")
    pack(data, folder / "shards", shard_bytes=50_000, progress=False)
    multiprocessing.spawn(process, (free_port(), autoencoder_run, data, folder), nprocs=WORLD)
    return folder


@pytest.fixture(scope="module")
def alone(data, autoencoder_run, tmp_path_factory) -> Path:
    """The same runs by one process."""
    folder = tmp_path_factory.mktemp("alone")
    for name, config in configs(autoencoder_run).items():
        train(config, data, folder / name, progress=False)
    return folder


@pytest.mark.parametrize("name", ["semigroup", "eulerian", "autoencoder"])
def test_two_processes_take_the_steps_of_one(name, together, alone):
    assert_same_run(together / name, alone / name)
    assert max(losses(alone / name)) > min(losses(alone / name)) + 100 * TOLERANCE


def test_a_run_goes_on_with_another_number_of_processes(together, alone, data, autoencoder_run):
    assert_same_run(together / "alone-then-together", alone / "eulerian")
    stopped = together / "together-then-alone"
    assert checkpoint.load_state(stopped)["step"] == 2  # both ended the step in which the second was interrupted
    train(configs(autoencoder_run)["eulerian"], data, stopped, resume=True, progress=False)
    assert_same_run(stopped, alone / "eulerian")


def test_processes_stop_together_and_say_why(together):
    said = [json.loads((together / f"said-{rank}.json").read_text()) for rank in range(WORLD)]
    for one in said:
        assert one["uneven"] == "optimization.micro_batches must be a multiple of the 2 processes, given 1"
        assert "loss is nan at step 0 (seed 0); no checkpoint was written before" in one["nan"]
    assert "the disk is full at step 2" in said[0]["full"]
    assert "another process of this training failed" in said[1]["full"]


def test_processes_share_out_the_average(together):
    said = [json.loads((together / f"said-{rank}.json").read_text()) for rank in range(WORLD)]
    assert [(one["equal"], one["kept"], one["wanted"]) for one in said] == [(True, 2, 0), (True, 4, 6)]


def test_parts_that_do_not_fit_are_refused(data, autoencoder_run, tmp_path):
    config = flow_config(autoencoder_run)
    with pytest.raises(ConfigError, match="micro_batches must divide the 4 items of a step, given 3"):
        train(replace(config, optimization=replace(SHARED, micro_batches=3)), data, tmp_path / "run", progress=False)
    chain = replace(config, objective=Item("semigroup", {"split": "chain"}), optimization=SHARED)
    with pytest.raises(ConfigError, match=r"micro_batches must be 1, in one process, for Chain, .* given 2 in 1"):
        train(chain, data, tmp_path / "run", progress=False)


def test_auto_starts_a_run_and_goes_on_with_it(data, tmp_path):
    whole = train(AUTOENCODER, data, tmp_path / "whole", progress=False)
    train_until(4, AUTOENCODER, data, tmp_path / "run", resume="auto")
    train(AUTOENCODER, data, tmp_path / "run", resume="auto", progress=False)
    assert losses(tmp_path / "run") == losses(whole)
    with pytest.raises(CheckpointError, match="holds a run already"):
        train(AUTOENCODER, data, tmp_path / "run", progress=False)
