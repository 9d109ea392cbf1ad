"""Sharded weights: the steps, scores and checkpoints of whole ones, out of half the memory each; refusals."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

from geomflow import assemble, checkpoint
from geomflow.config import Item, RunConfig
from geomflow.errors import ConfigError
from geomflow.geometry.primitives import Torus
from geomflow.metrics.judge_points import PointJudge
from geomflow.train import SCORES, train
from geomflow.train.ranks import Ranks
from geomflow.train.run import Run
from geomflow.train.sharding import blocks
from tests.train.cases import (
    AUTOENCODER,
    QUICK,
    SHARED,
    TOLERANCE,
    assert_same_run,
    flow_config,
    free_port,
    losses,
    same_weights,
    train_until,
)

WORLD = 2


def configs(encoder: Path) -> dict[str, RunConfig]:
    """What is trained with whole weights and with sharded ones, by jumps; two processes accumulate two parts each."""
    parts = replace(SHARED, micro_batches=4, clip=0.02)  # less than any gradient's norm
    times = {"warm_up": 0.0, "full_span": 0.0, "instantaneous_share": 0.0}
    network = Item("diffusion_transformer", {"width": 32, "depth": 2, "heads": 2})
    flow = replace(flow_config(encoder), network=network, times=times, optimization=parts)
    stages = replace(SHARED, averaged_targets=True, second_stage=0.5)
    points = RunConfig(
        task="points",
        dataset=Item("surface", {"neighbours": 0}),
        network=Item("pointwise", {"width": 32, "depth": 2}),
        formulation=Item("edm", {"sigma_data": 1.0}),
        optimization=parts,
    )
    return {
        "semigroup": flow,
        "eulerian": replace(flow, objective=Item("eulerian")),
        "lagrangian": replace(flow, objective=Item("lagrangian")),
        "stages": replace(flow, optimization=stages),
        "autoencoder": replace(AUTOENCODER, optimization=parts),
        "points": points,
    }


def sharded(config: RunConfig) -> RunConfig:
    return replace(config, optimization=replace(config.optimization, sharded=True))


def train_all(runs: dict[str, RunConfig], data: Path, folder: Path) -> None:
    """Train everything, judging points by few of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geomflow.assemble.PointJudge", partial(PointJudge, count=2000))
        for name, config in runs.items():
            train(config, folder.parent / "torus.ply" if name == "points" else data, folder / name, progress=False)


def process(rank: int, port: int, encoder: Path, data: Path, folder: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    whole = configs(encoder)
    train_all({name: sharded(config) for name, config in whole.items()}, data, folder)
    config = whole["eulerian"]
    train(config, data, folder / "whole", progress=False)
    train(sharded(config), data, folder / "alone-then-sharded", resume=True, progress=False)
    train_until(2, sharded(config), data, folder / "sharded-then-alone")
    train_until(2, sharded(config), data, folder / "sharded-then-whole")
    train(config, data, folder / "sharded-then-whole", resume=True, progress=False)
    found = {name: kept(one, data, folder / name) for name, one in (("whole", config), ("eulerian", sharded(config)))}
    found["averaged"] = averaged_parts(sharded(config), data, folder / "none")
    (folder / f"found-{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


def kept(config: RunConfig, data: Path, out: Path) -> dict[str, int]:
    """Bytes that this process keeps of a resumed run's weights, moments and average."""
    run = Run(assemble.training(config, data), out, Ranks("cpu"))
    run.begin(resume=True)
    moments = [value for of_weight in run.optimizers[0].state.values() for value in of_weight.values() if value.ndim]
    run.close()
    tensors = {"weights": run.weights, "moments": moments, "average": run.ema.share.values()}
    return {name: sum(stored(tensor) for tensor in some) for name, some in tensors.items()}


def averaged_parts(config: RunConfig, data: Path, out: Path) -> list[bool]:
    """After which parts of a step its gradients are averaged, and so shared out."""
    run = Run(assemble.training(config, data), out, Ranks("cpu"))
    found = []
    for number, last in ((run.ranks.rank, False), (WORLD + run.ranks.rank, True)):
        run._part(number, 0.5, parts=2, last=last)
        found.append(any(weight.grad is not None for weight in run.weights))
    run.close()
    return found


def stored(tensor: Any) -> int:
    """Bytes of the memory that a tensor, or a process' share of it, is in."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return local.untyped_storage().nbytes()


@pytest.fixture(scope="module")
def alone(data, autoencoder_run, tmp_path_factory) -> Path:
    """The runs with whole weights, by one process."""
    folder = tmp_path_factory.mktemp("runs")
    Torus().mesh().export(folder / "torus.ply")
    train_all(configs(autoencoder_run), data, folder / "alone")
    return folder / "alone"


@pytest.fixture(scope="module")
def together(data, autoencoder_run, alone) -> Path:
    """The folder in which two processes left what they did."""
    folder = alone.parent / "together"
    train_until(2, configs(autoencoder_run)["eulerian"], data, folder / "alone-then-sharded")
    multiprocessing.spawn(process, (free_port(), autoencoder_run, data, folder), nprocs=WORLD)
    return folder


def assert_same(one: Any, two: Any, where: str = "") -> None:
    """Nested states have the same names and types, and the same numbers up to the order of sums."""
    assert type(one) is type(two), where
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for name in one:
            assert_same(one[name], two[name], f"{where}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for number, pair in enumerate(zip(one, two, strict=True)):
            assert_same(*pair, f"{where}.{number}")
    elif isinstance(one, Tensor):
        torch.testing.assert_close(one, two, rtol=0, atol=TOLERANCE, msg=lambda text: f"{where}: {text}")
    elif isinstance(one, float):
        assert one == pytest.approx(two, abs=TOLERANCE), where
    else:
        assert one == two, where


@pytest.mark.slow
@pytest.mark.parametrize("name", ["semigroup", "eulerian", "lagrangian", "stages", "autoencoder", "points"])
def test_sharded_processes_take_the_steps_of_one_and_save_its_state(name, together, alone):
    assert_same_run(together / name, alone / name)
    assert max(losses(alone / name)) > min(losses(alone / name)) + 100 * TOLERANCE
    one, two = (checkpoint.load_state(folder / name) for folder in (together, alone))
    assert one.pop("seconds") != two.pop("seconds")
    assert_same(one, two)


@pytest.mark.slow
def test_sharded_weights_move_as_those_of_distributed_data_parallel(together):
    assert_same_run(together / "eulerian", together / "whole")
    assert losses(together / "eulerian") != losses(together / "semigroup")  # which share all but the targets of jumps


@pytest.mark.slow
def test_scores_are_those_of_whole_weights(together, alone):
    """The judge gets a whole model of the average, in the first process only."""
    files = [(folder / "points" / SCORES).read_text() for folder in (together, alone)]
    one, two = ([json.loads(line) for line in file.splitlines()] for file in files)
    assert len(one) == SHARED.steps // SHARED.save_every
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE)


@pytest.mark.slow
def test_a_run_goes_on_sharded_or_not(together, alone, data, autoencoder_run):
    assert_same_run(together / "alone-then-sharded", alone / "eulerian")
    assert_same_run(together / "sharded-then-whole", alone / "eulerian")
    stopped = together / "sharded-then-alone"
    assert checkpoint.load_state(stopped)["step"] == 2
    train(configs(autoencoder_run)["eulerian"], data, stopped, resume=True, progress=False)
    assert_same_run(stopped, alone / "eulerian")


@pytest.mark.slow
def test_each_process_keeps_half_of_weights_moments_and_average(together):
    """Also after a checkpoint of whole tensors was read; rows that two processes cannot share evenly are few."""
    for rank in range(WORLD):
        found = json.loads((together / f"found-{rank}.json").read_text())
        whole = found["whole"]["weights"]
        halves = {"weights": whole / WORLD, "moments": 2 * whole / WORLD, "average": whole / WORLD}
        assert found["eulerian"] == pytest.approx(halves, rel=0.02)
        assert found["whole"]["moments"] == 2 * whole


@pytest.mark.slow
def test_gradients_are_averaged_with_the_last_part_of_a_step(together):
    for rank in range(WORLD):
        assert json.loads((together / f"found-{rank}.json").read_text())["averaged"] == [False, True]


def test_units_are_the_trained_members_of_lists_of_modules():
    """Of nested lists too, which are not called themselves; a teacher's frozen blocks stay whole."""
    lists = nn.ModuleList([nn.ModuleList([nn.Linear(2, 2)]), nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)])
    inner = lists.get_submodule("0.0")
    assert blocks(nn.Sequential(lists, nn.Linear(2, 2))) == [lists[2], inner]


def test_one_process_has_nothing_to_share(data, tmp_path):
    """Sharded or not, and going on otherwise than begun, its run is the same to the bit."""
    whole = train(AUTOENCODER, data, tmp_path / "whole", progress=False)
    train_until(4, sharded(AUTOENCODER), data, tmp_path / "parts")
    assert same_weights(whole, train(AUTOENCODER, data, tmp_path / "parts", resume=True, progress=False))


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Item("semigroup", {"split": "chain"}), "micro_batches must be 1, in one process, for Chain"),
        (Item("progressive"), "sharded must be false for Progressive, which copies weights within a step"),
    ],
)
def test_what_cannot_be_sharded_is_refused(objective, message, data, autoencoder_run, tmp_path):
    config = replace(flow_config(autoencoder_run), objective=objective, optimization=replace(QUICK, micro_batches=2))
    with pytest.raises(ConfigError, match=message):
        train(sharded(config), data, tmp_path / "run", progress=False)
