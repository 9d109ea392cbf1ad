"""Rewards: how they are asked, alone or with the gradient of what they look at, and what is refused.

Rows of a batch do not know each other, so both go through it in parts: the memory does not grow with the batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geomflow.errors import RewardError

Reward = Callable[[Tensor], Tensor]
"""Data (batch, ...) to one number each (batch,), the higher the better."""

Look = Callable[[Tensor, slice], Tensor]
"""States of some rows, and which rows they are, to the data that they end in."""

NUMBERS = 1 << 14
"""Numbers of states that are looked ahead from at a time: 8 latents of 2,048."""


def name_of(reward: Any) -> str:
    """Return what messages call a reward: the name of the function, or of the class.

    Args:
        reward: The reward.
    """
    return getattr(reward, "__name__", None) or type(reward).__name__


def parts(x: Float[Tensor, " batch *shape"]) -> Iterator[slice]:
    """Yield slices that cover the rows of x, a few rows each.

    Args:
        x: States or data, one per row.
    """
    size = max(1, NUMBERS // max(1, x[0].numel()))
    return (slice(start, min(start + size, len(x))) for start in range(0, len(x), size))


@torch.no_grad()
def score(reward: Reward, data: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch"]:
    """Return the rewards of data, without gradients.

    Args:
        reward: The reward.
        data: What it is asked about, one per row.

    Raises:
        RewardError: The reward returned no finite number for each row.
    """
    return torch.cat([checked(reward, data[rows]) for rows in parts(data)])


@torch.no_grad()
def score_ahead(
    reward: Reward, look: Look, x: Float[Tensor, " batch *shape"]
) -> tuple[Float[Tensor, " batch *shape"], Float[Tensor, " batch"]]:
    """Return what states end in, and the rewards of that, without gradients.

    Args:
        reward: The reward.
        look: Takes states to data.
        x: The states.

    Raises:
        RewardError: The reward returned no finite number for each row.
    """
    data = torch.cat([look(x[rows], rows) for rows in parts(x)])
    return data, score(reward, data)


@dataclass(frozen=True)
class Ahead:
    """What lies ahead of states.

    Attributes:
        data: What they end in.
        reward: The reward of each.
        gradient: The gradient of the reward by the state.
    """

    data: Float[Tensor, " batch *shape"]
    reward: Float[Tensor, " batch"]
    gradient: Float[Tensor, " batch *shape"]

    def replaced(self, which: Bool[Tensor, " batch"], other: "Ahead") -> "Ahead":
        """Return it with another's rows where asked.

        Args:
            which: Where.
            other: What lies ahead of as many states.
        """
        return Ahead(*(chosen(which, getattr(other, f.name), getattr(self, f.name)) for f in fields(self)))


def chosen(
    which: Bool[Tensor, " batch"], one: Float[Tensor, " batch *shape"], other: Float[Tensor, " batch *shape"]
) -> Float[Tensor, " batch *shape"]:
    """Return rows of one where asked, of the other elsewhere.

    Args:
        which: Where.
        one: Some rows.
        other: As many.
    """
    return torch.where(which.reshape(-1, *[1] * (one.ndim - 1)), one, other)


def score_and_gradient(reward: Reward, look: Look, x: Float[Tensor, " batch *shape"]) -> Ahead:
    """Return what states end in, the rewards of that, and their gradients by the states.

    Args:
        reward: The reward.
        look: Takes states to data, differentiably.
        x: The states.

    Raises:
        RewardError: The reward returned no finite number for each row, or has no finite gradient.
    """
    found = [_with_gradient(reward, look, x, rows) for rows in parts(x)]
    return Ahead(*(torch.cat(tensors) for tensors in zip(*found, strict=True)))


def checked(reward: Reward, data: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch"]:
    """Return the rewards of data, refused if they are none; counts and truths as numbers with a point.

    Args:
        reward: The reward.
        data: What it is asked about, one per row.

    Raises:
        RewardError: They are no tensor of shape (batch,), or not finite.
    """
    value = reward(data)
    if not isinstance(value, Tensor) or value.shape != (len(data),):
        given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise RewardError(f"reward {name_of(reward)!r} must return a tensor of shape ({len(data)},), it gave {given}")
    if not value.isfinite().all():
        bad = int((~value.isfinite()).sum())
        raise RewardError(f"reward {name_of(reward)!r} must be finite, it is not for {bad} of {len(data)} samples")
    return value if value.is_floating_point() else value.float()


def differentiable(reward: Reward, data: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch"]:
    """Return the rewards of data, refused if no gradient goes through them.

    Args:
        reward: The reward.
        data: What it is asked about, one per row.

    Raises:
        RewardError: They are none (see ``checked``), or do not depend on the data differentiably.
    """
    value = checked(reward, data)
    if not value.requires_grad:
        raise RewardError(
            f"reward {name_of(reward)!r} must be differentiable for this method, it has no gradient; "
            "best_of_n wants none"
        )
    return value


@torch.enable_grad()
def _with_gradient(reward: Reward, look: Look, x: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Data, rewards and gradients of some rows."""
    part = x[rows].detach().requires_grad_()
    data = look(part, rows)
    value = differentiable(reward, data)
    (gradient,) = torch.autograd.grad(value.sum(), part, allow_unused=True)
    if gradient is None or not gradient.isfinite().all():
        what = "none" if gradient is None else "one that is not finite"
        raise RewardError(f"reward {name_of(reward)!r} must have a finite gradient, it has {what}")
    return data.detach(), value.detach(), gradient
