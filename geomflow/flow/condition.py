"""Conditions as the flow handles them: nothing, a tensor of (batch, ...), or a mapping of names to such.

A network gets its condition untouched; only taking rows of it and replacing rows by "none" happens here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor


def rows(condition: Any, which: slice) -> Any:
    """Some rows of a condition.

    Args:
        condition: a tensor with a row per sample, a mapping of such, or None.
        which: rows to take.
    """
    if isinstance(condition, Mapping):
        return {name: rows(value, which) for name, value in condition.items()}
    return None if condition is None else condition[which]


def fill(row: Any, condition: Any) -> Any:
    """One row, a number, a tensor or a mapping of such, for every row of a condition, and typed like it.

    Args:
        row: one row, a number, a tensor or a mapping of such.
        condition: a tensor with a row per sample, a mapping of such, or None.

    Raises:
        ValueError: a name of the condition is missing in the row.
    """
    if isinstance(condition, Mapping):
        missing = [name for name in condition if not isinstance(row, Mapping) or name not in row]
        if missing:
            raise ValueError(f"null must be a mapping with {missing[0]!r}, as the condition is, given {row!r}")
        return {name: fill(row[name], value) for name, value in condition.items()}
    return torch.as_tensor(row, dtype=condition.dtype, device=condition.device).expand_as(condition)


def where(which: Bool[Tensor, " batch"], first: Any, second: Any) -> Any:
    """Rows of ``first`` where asked, of ``second`` elsewhere.

    Args:
        which: rows that come from ``first``.
        first: a condition.
        second: another of the same kind.
    """
    if isinstance(second, Mapping):
        return {name: where(which, first[name], value) for name, value in second.items()}
    return torch.where(which.reshape(-1, *[1] * (second.ndim - 1)), first, second)
