"""Two processes train as one does, and the two ways to lose that are refused."""

import json
import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from geomflow import shelves
from geomflow.flow import FlowMap, LossModule, TimePairs
from tests.flow.oracles import eight_gaussians

STEPS, WORLD = 3, 2


def loss_module(objective: str) -> LossModule:
    """The same small loss in every process."""
    torch.manual_seed(0)
    network = shelves.load("networks", "perceptron", width=16, depth=1)
    nn.init.normal_(network.out.weight, std=0.1)
    flow_map = FlowMap(network, shelves.load("formulations", "edm"))
    return LossModule(flow_map, shelves.load("objectives", objective), TimePairs(warm_up=0.0, full_span=0.0))


def shard_loss(loss: nn.Module, rank: int, step: int) -> Tensor:
    """The loss of one process's share of a step: its data, noise and times follow from rank and step."""
    generator = torch.Generator().manual_seed(100 * step + rank)
    return loss(eight_gaussians().draw(32, generator), generator=generator)[0]


def trained(loss: nn.Module, ranks: list[int]) -> dict[str, Tensor]:
    """Weights after three steps on the mean loss of some processes' shares."""
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        torch.stack([shard_loss(loss, rank, step) for rank in ranks]).mean().backward()
        optimizer.step()
    return {name.removeprefix("module."): weight.detach() for name, weight in loss.named_parameters()}


def process(rank: int, port: int, folder: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    weights = {
        objective: trained(DistributedDataParallel(loss_module(objective)), [rank])
        for objective in ("eulerian", "lagrangian")
    }
    refused = {}
    bare = loss_module("eulerian")
    wrapped = DistributedDataParallel(bare)
    for name, wrong in (("unwrapped", bare), ("its .module", wrapped.module)):
        try:
            shard_loss(wrong, rank, 0)
        except ValueError as error:
            refused[name] = str(error)
    with torch.no_grad():
        shard_loss(bare, rank, 0)  # measuring a loss needs no averaging
    try:
        network = DistributedDataParallel(shelves.load("networks", "perceptron"))
        LossModule(FlowMap(network, bare.flow_map.formulation), bare.objective)
    except ValueError as error:
        refused["wrapped network"] = str(error)
    if rank == 0:
        torch.save(weights, folder / "weights.pt")
        (folder / "refused.json").write_text(json.dumps(refused))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes left what they found."""
    folder = tmp_path_factory.mktemp("gloo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(process, (port, folder), nprocs=WORLD)
    return folder


@pytest.mark.parametrize("objective", ["eulerian", "lagrangian"])
def test_two_processes_take_the_steps_of_one(outcome: Path, objective: str) -> None:
    together = torch.load(outcome / "weights.pt")[objective]
    alone = trained(loss_module(objective), list(range(WORLD)))
    untrained = dict(loss_module(objective).named_parameters())
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=0, atol=1e-6)
    assert max(float((alone[name] - untrained[name]).abs().max().detach()) for name in alone) > 1e-2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("unwrapped", "called directly while 2 processes train"),
        ("its .module", "called directly while 2 processes train"),
        ("wrapped network", "wrap the loss module instead"),
    ],
)
def test_wrong_patterns_are_refused(outcome: Path, wrong: str, message: str) -> None:
    assert message in json.loads((outcome / "refused.json").read_text())[wrong]
