"""Refusals of the two tempting ways to train a flow map on several processes that go wrong.

A JVP through a wrapped network fails at the second step; a loss called past its wrapper trains every process by itself,
without a word.
"""

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


def refuse_wrapped(network: nn.Module) -> None:
    """Refuses a network that is wrapped by itself: a JVP through the wrapper fails at the second step.

    Args:
        network: the network of a flow map.

    Raises:
        ValueError: it is wrapped.
    """
    if any(isinstance(module, DistributedDataParallel) for module in network.modules()):
        raise ValueError(
            "the network of the flow map is wrapped in DistributedDataParallel; wrap the loss module instead, so that "
            "derivatives are taken inside: DistributedDataParallel(LossModule(FlowMap(network, formulation), ...))"
        )


def refuse_unaveraged(loss: nn.Module) -> None:
    """Refuses a training step of several processes whose gradients nobody would average.

    Args:
        loss: the loss that is called.

    Raises:
        ValueError: several processes train, and the loss is not inside a wrapper that averages.
    """
    alone = not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)
    if alone or not torch.is_grad_enabled() or DistributedDataParallel._get_active_ddp_module() is not None:
        return
    from torch.distributed.tensor import DTensor  # sharded weights (FSDP2) average by themselves; a slow import

    if not any(isinstance(weight, DTensor) for weight in loss.parameters()):
        raise ValueError(
            f"LossModule was called directly while {distributed.get_world_size()} processes train: their gradients "
            "would not be averaged. Call DistributedDataParallel(loss_module), not loss_module nor its .module; if "
            "something else averages them, say averaged_elsewhere=True"
        )
