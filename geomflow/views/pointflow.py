"""PointFlow: 15000 surface points per shape, as its `datasets.py` reads them; it standardises them itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from geomflow.records import ShapeRecord
from geomflow.views._layout import Item, folder, npy
from geomflow.views._shape import Shape, known_front

POINTS = 15_000
"""Points per shape, which the loader insists on: the first 10000 to train with, the rest to compare with."""


@dataclass(frozen=True)
class PointFlow:
    """Layout of PointFlow.

    Attributes:
        front: Where the front is.
        folders: Folders of classes, where they are not the class names.
    """

    front: str = "-z"
    folders: Mapping[str, str] = field(default_factory=dict)

    needs = ("vertices", "faces")

    def paths(self, item: Item) -> list[str]:
        """Return the file of one shape, relative to the export's folder."""
        return [f"ShapeNetCore.v2.PC15k/{folder(item, self.folders)}/{item.split}/{item.id}.npy"]

    def files(self, record: ShapeRecord) -> dict[str, bytes]:
        """Return the contents of one shape's file."""
        surface = Shape(record, front=self.front).surface(POINTS)
        return {self.paths(record.header)[0]: npy(surface.points.astype(np.float32))}

    def lists(self, items: Iterable[Item]) -> dict[str, bytes]:
        """Return nothing: the loader takes every file of the split's folder."""
        return {}


def make(front: str = "-z", folders: Mapping[str, str] | None = None) -> PointFlow:
    """The layout of the point clouds that PointFlow and its successors compare themselves on.

    Args:
        front: Where the front, +z in records, is taken: `-z` as in ShapeNetCore v2, or `z`, `x`.
        folders: Folders of classes, such as {"chair": "03001627"}; its loader knows ShapeNet's synsets only.

    Raises:
        ConfigError: There is no such front.
    """
    return PointFlow(known_front(front), dict(folders or {}))
