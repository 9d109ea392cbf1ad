"""Shapes that stay on disk: each batch reads the records of its own, where a split is larger than memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from geomflow.interfaces import Batch, ShapeDataset


class Stored:
    """A dataset of which only the shapes of a batch are in memory; its batches are those of the whole.

    Args:
        files: One record for each shape.
        load: Makes a dataset, in memory, of some records.
    """

    def __init__(self, files: Sequence[Path], load: Callable[[list[Path]], ShapeDataset]) -> None:
        self.files, self.load = files, load

    def __len__(self) -> int:
        """Return the number of shapes."""
        return len(self.files)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        """Return what the whole dataset would return.

        Raises:
            RecordError: A record cannot be read; the message names its file.
        """
        chosen = self.load([self.files[index] for index in indices.tolist()])
        return chosen.batch(torch.arange(len(indices)), generator)
