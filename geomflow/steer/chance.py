"""Chance: numbers for the rows of a batch, all from one source, or each from a source of its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.random import normal, uniform

Sources = torch.Generator | Sequence[torch.Generator] | None
"""One source for all rows of a batch (torch's own if None), or one for each row, which then minds no other row."""


def normal_rows(x: Float[Tensor, " batch *shape"], sources: Sources) -> Float[Tensor, " batch *shape"]:
    """Return unit normal noise like x.

    Args:
        x: What the noise is to be like.
        sources: Where it comes from.

    Raises:
        ValueError: Several sources, and not one for each row.
    """
    if sources is None or isinstance(sources, torch.Generator):
        return normal(x.shape, sources, x.dtype, x.device)
    return torch.stack([normal(x.shape[1:], source, x.dtype, x.device) for source in _one_each(x, sources)])


def uniform_rows(x: Float[Tensor, " batch *shape"], sources: Sources) -> Float[Tensor, " batch"]:
    """Return a uniform number in [0, 1) for each row of x.

    Args:
        x: What has the rows.
        sources: Where they come from.

    Raises:
        ValueError: Several sources, and not one for each row.
    """
    if sources is None or isinstance(sources, torch.Generator):
        return uniform(len(x), sources, x.dtype, x.device)
    return torch.cat([uniform(1, source, x.dtype, x.device) for source in _one_each(x, sources)])


def _one_each(x: Tensor, sources: Sequence[torch.Generator]) -> Sequence[torch.Generator]:
    if len(sources) != len(x):
        raise ValueError(f"generators must be one for each of {len(x)} rows, given {len(sources)}")
    return sources
