"""The moving average of the weights, which is what a checkpoint's model holds; each process keeps a share of it."""

import torch
from torch import Tensor, nn

from geomflow.train import sharding
from geomflow.train.ranks import Ranks


class Ema:
    """Exponential moving average of a module's parameters and buffers.

    The decay grows as (1 + n) / (10 + n) until it reaches its final value, so that early averages forget the start. As
    all processes have the same weights, each averages only the tensors that it owns.

    Args:
        module: What is averaged; the average starts at its present values.
        decay: Final value of the decay.
        ranks: The processes that share the average; this one alone if None.
    """

    def __init__(self, module: nn.Module, decay: float, ranks: Ranks | None = None) -> None:
        self.decay, self.ranks = decay, ranks or Ranks("cpu", alone=True)
        self.module = module
        self.owners = _owners(module.state_dict(), self.ranks.count)
        self.take(module.state_dict())

    def take(self, whole: dict[str, Tensor]) -> None:
        """Start from an average, of which this process keeps its share.

        Args:
            whole: Tensors by name, shaped as the module's, on any device, as `whole` gives them.
        """
        self.share = {
            name: sharding.cut(whole[name].detach(), tensor).to(tensor.device, copy=True)
            for name, tensor in self.module.state_dict().items()
            if self.owners[name] == self.ranks.rank
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the module's present values.

        Args:
            step: Number n of the update.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = self.module.state_dict()
        for name, tensor in self.share.items():
            if tensor.is_floating_point():
                tensor.lerp_(weights[name], 1 - decay)

    def whole(self, wanted: bool = True) -> dict[str, Tensor]:
        """Return every tensor of the average, each sent by its owner; all processes have to ask at once.

        Args:
            wanted: Whether this process wants them; if not, it only sends its own, and an empty dictionary is returned.
        """
        whole = {}
        for name, tensor in {**self.module.state_dict(), **self.share}.items():
            given = sharding.whole(self.ranks.sent(tensor, self.owners[name]))
            if wanted:
                whole[name] = given
        return whole


def _owners(tensors: dict[str, Tensor], count: int) -> dict[str, int]:
    """The process that averages each tensor: the largest first, always to the one that has least."""
    owners, sizes = {}, [0] * count
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].numel()):
        owners[name] = sizes.index(min(sizes))
        sizes[owners[name]] += tensor.numel()
    return owners
