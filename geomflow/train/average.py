"""The moving average of the weights, which is what a checkpoint's model holds."""

import torch
from torch import nn


class Ema:
    """Exponential moving average of a module's parameters and buffers.

    The decay grows as (1 + n) / (10 + n) until it reaches its final value, so that early averages forget the start.

    Args:
        module: What is averaged; the average starts at its present values.
        decay: Final value of the decay.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the module's present values.

        Args:
            module: The module, one step on.
            step: Number n of the update.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
