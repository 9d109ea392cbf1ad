"""The processes that train together: which of them this one is, and the few things that they tell each other.

`torchrun` and `accelerate launch` say in environment variables who is who; nothing else of them is needed.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from geomflow.errors import TrainingError


class Ranks:
    """The processes of one training; a single one has nobody to talk to and waits for nobody.

    Args:
        device: Where this process computes.
        alone: Whether this process does by itself what others may be doing, too.
    """

    def __init__(self, device: str, alone: bool = False) -> None:
        many = distributed.is_available() and distributed.is_initialized() and not alone
        self.device = device
        self.rank, self.count = (distributed.get_rank(), distributed.get_world_size()) if many else (0, 1)
        self.first = self.rank == 0
        self.first_here = self.first if self.count == 1 else int(os.environ.get("LOCAL_RANK", self.rank)) == 0

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the mean over the processes of each of a few numbers, the same in all of them.

        Args:
            values: This process' numbers, as many as every other has.
        """
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return (total / self.count).tolist()

    def sent(self, tensor: Tensor, sender: int) -> Tensor:
        """Return a tensor as one of the processes has it; it is the sender's own there, and a new one elsewhere.

        Args:
            tensor: The sender's tensor, shaped like all others', or one of its shape and type.
            sender: The process that has it.
        """
        if self.count == 1:
            return tensor
        given = tensor if self.rank == sender else torch.empty_like(tensor)
        distributed.broadcast(given, sender)
        return given

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up in any process.

        Args:
            flag: This process' flag.
        """
        return self.mean([float(flag)])[0] > 0

    def of_first(self, value: float) -> float:
        """Return the number that the first process has.

        Args:
            value: This process' number.
        """
        return value if self.count == 1 else self.mean([self.count * value if self.first else 0.0])[0]

    def alone(self, work: Callable[[], object], mine: bool) -> None:
        """Let some processes work while the others wait, until all know how it went.

        Args:
            work: What is done.
            mine: Whether this process does it.

        Raises:
            Exception: What the work raised here.
            TrainingError: It failed in another process.
        """
        failure: Exception | None = None
        try:
            if mine:
                work()
        except Exception as error:  # all have to hear of it, whatever it was
            failure = error
        failed = self.any(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            raise TrainingError("another process of this training failed and said why; this one stops with it")


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that a launcher started; one that was started by itself stays alone.

    Args:
        device: A torch device name; `cuda` is the GPU of this process' own number on its machine.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1 or distributed.is_initialized()
    if launched and device == "cuda" and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    own = launched and not distributed.is_initialized()
    if own:
        _init("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Ranks(device)
    finally:
        if own:
            distributed.destroy_process_group()


def _init(backend: str) -> None:
    """Make the group of the processes; after a restart by torchrun not from what the dead ones left in its store."""
    store, rank, count = next(rendezvous("env://"))
    attempt = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    distributed.init_process_group(backend, store=attempt, rank=rank, world_size=count)
