"""Weights cut among the processes (FSDP2), their moments and their average with them, and whole again for checkpoints.

Only `wrapped` cuts weights. What is not cut goes through the other functions as it is, so that the loop need not know.
A cut tensor is a DTensor, known here by its `full_tensor`: to import that class takes about a second.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from geomflow.train.ranks import Ranks


def wrapped(loss: nn.Module, ranks: Ranks, sharded: bool) -> nn.Module:
    """Return what is called in place of a loss, so that its gradients become means over the processes.

    Args:
        loss: The whole loss, in which all derivatives are taken; if it is sharded, it is changed in place and returned.
        ranks: The processes; one by itself has nothing to average or to cut.
        sharded: Whether trainable weights are cut along their first axis, and whole only while they are computed with.
    """
    if ranks.count == 1:
        return loss
    if not sharded:
        return DistributedDataParallel(loss)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(torch.device(ranks.device).type, (ranks.count,))
    frozen = {weight for weight in loss.parameters() if not weight.requires_grad}
    for unit in [*blocks(loss), loss]:
        fully_shard(unit, mesh=mesh, ignored_params=frozen)
    return loss


def blocks(loss: nn.Module) -> list[nn.Module]:
    """Return the trained members of all lists of modules, such as a transformer's blocks; each is whole in its turn.

    Args:
        loss: The whole loss.
    """
    members = [member for part in loss.modules() if isinstance(part, nn.ModuleList) for member in part]
    called = [member for member in members if not isinstance(member, nn.ModuleList)]
    return [member for member in called if any(weight.requires_grad for weight in member.parameters())]


def averaging(loss: Any, now: bool) -> contextlib.AbstractContextManager[None]:
    """Return the context of a part of a step, whose gradients are added to those before and, if now, then averaged.

    Args:
        loss: What `wrapped` returned.
        now: Whether it is the last part of the step.
    """
    if hasattr(loss, "set_requires_gradient_sync"):
        loss.set_requires_gradient_sync(now)
    return loss.no_sync() if isinstance(loss, DistributedDataParallel) and not now else contextlib.nullcontext()


def whole(value: Any) -> Any:
    """Return a tensor whole, its shares gathered from all processes, which have to ask at once.

    Args:
        value: The tensor, or anything else, which is returned as it is.
    """
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def gathered(tree: Any, wanted: bool) -> Any:
    """Return nested dictionaries and lists with every cut tensor whole and on the CPU, one gathered after the other.

    Args:
        tree: The dictionaries and lists.
        wanted: Whether this process wants them; if not, it only gives its shares, and None stands for a cut tensor.
    """
    if isinstance(tree, dict):
        return {name: gathered(value, wanted) for name, value in tree.items()}
    if isinstance(tree, list):
        return [gathered(value, wanted) for value in tree]
    given = whole(tree)
    return given if given is tree else given.cpu() if wanted else None


def cut(value: Any, like: Any) -> Any:
    """Return this process' share of a whole tensor that all of them have, or the value itself if it is not to be cut.

    Args:
        value: The tensor, or anything else.
        like: What it is cut like, of its shape.
    """
    if not hasattr(like, "full_tensor") or hasattr(value, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def load_weights(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load whole weights into a module that may be cut.

    Args:
        module: The module.
        weights: Its state, all of it whole.
    """
    own = module.state_dict()
    module.load_state_dict({name: cut(value, own.get(name)) for name, value in weights.items()})


def load_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Load whole moments into an optimiser of weights that may be cut.

    Args:
        optimizer: The optimiser.
        saved: Its state, all of it whole, as an optimiser of whole weights saves it.
    """
    weights: list[Tensor] = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = {
        index: {name: cut(value, weights[index]) if value.ndim else value for name, value in of_weight.items()}
        for index, of_weight in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": moments})
