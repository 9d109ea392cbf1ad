"""The average of the weights has its closed form, and processes that share it out have the one of a single process."""

import pytest
import torch
from torch import nn

from geomflow.train import Ema
from geomflow.train.ranks import Ranks

WORLD = 3


def ranks(rank: int) -> Ranks:
    """One of several processes that need not be there, since none of them is asked for its share."""
    one = Ranks("cpu", alone=True)
    one.rank, one.count = rank, WORLD
    return one


def network() -> nn.Module:
    """Weights of several sizes, and buffers of which one counts."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 4))


def moved(module: nn.Module, averages: list[Ema], step: int) -> None:
    """Move the weights of a module, and then its averages."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(step)))
    for ema in averages:
        ema.update(step)


def test_the_average_follows_its_closed_form():
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 1.0)
    ema = Ema(module, decay=0.9)
    nn.init.constant_(module.weight, 2.0)
    for _ in range(5):
        ema.update(step=10_000)
    assert ema.whole()["weight"].item() == pytest.approx(2 - 0.9**5)


def test_every_tensor_is_averaged_once_and_as_by_one_process():
    module = network()
    alone = Ema(module, decay=0.9)
    averages = [Ema(module, 0.9, ranks(rank)) for rank in range(WORLD)]
    for step in range(1, 6):
        moved(module, [alone, *averages], step)
    shares = [set(ema.share) for ema in averages]
    assert sum(map(len, shares)) == len(set.union(*shares)) == len(module.state_dict())
    joined = {name: tensor for ema in averages for name, tensor in ema.share.items()}
    for name, tensor in alone.whole().items():
        assert torch.equal(joined[name], tensor)
    assert not torch.equal(joined["1.weight"], module.state_dict()["1.weight"])


def test_shares_are_of_one_size():
    module = nn.Sequential(*(nn.Linear(10 * k, 30) for k in range(1, 13)))
    averages = [Ema(module, 0.9, ranks(rank)) for rank in range(WORLD)]
    sizes = [sum(tensor.numel() for tensor in ema.share.values()) for ema in averages]
    assert max(sizes) - min(sizes) < 0.03 * sum(sizes)


def test_a_saved_average_is_taken_up_by_any_number_of_processes():
    module = network()
    alone = Ema(module, decay=0.9)
    moved(module, [alone], 1)
    averages = [Ema(module, 0.9, ranks(rank)) for rank in range(WORLD)]
    for ema in averages:
        ema.take(alone.whole())
    moved(module, [alone, *averages], 2)
    for ema in averages:
        for name, tensor in ema.share.items():
            assert torch.equal(tensor, alone.whole()[name])
