"""3DShape2VecSet: occupancies of points and a surface cloud per shape, as its `util/shapenet.py` reads them.

Points and labels are in a frame in which the shape's longest half extent is 1 (where the training loader brings every
shape by its random scaling, so validation shapes, which it leaves alone, are of the same size). The surface cloud is in
the cube of side 1, and the number in the `.npy` file takes it from there to the points' frame.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from geomflow.records import ShapeRecord
from geomflow.views._layout import Item, folder, npy, npz
from geomflow.views._shape import Shape, known_front

TO_POINTS = 2.0
"""Scale from the surface cloud's cube, of side 1, to the frame of the points."""


@dataclass(frozen=True)
class VecSet:
    """Layout of 3DShape2VecSet.

    Attributes:
        surface_points: Points of the surface cloud.
        front: Where the front is.
        folders: Folders of classes, where they are not the class names.
    """

    surface_points: int = 100_000
    front: str = "-z"
    folders: Mapping[str, str] = field(default_factory=dict)

    needs = ("vertices", "faces", "vol_points", "near_points")

    def paths(self, item: Item) -> list[str]:
        """Return the files of one shape, relative to the export's folder."""
        category = folder(item, self.folders)
        points = f"ShapeNetV2_point/{category}/{item.id}"
        return [f"{points}.npz", f"{points}.npy", f"ShapeNetV2_watertight/{category}/4_pointcloud/{item.id}.npz"]

    def files(self, record: ShapeRecord) -> dict[str, bytes]:
        """Return the contents of one shape's files."""
        points = Shape(record, half_extent=1.0, front=self.front)
        contents = [npz(_labelled(points)), npy(np.array(TO_POINTS)), npz(self._cloud(record))]
        return dict(zip(self.paths(record.header), contents, strict=True))

    def lists(self, items: Iterable[Item]) -> dict[str, bytes]:
        """Return one `.lst` per class and split; no newline ends it, since the loader would take it for a shape."""
        names = defaultdict(list)
        for item in items:
            names[f"ShapeNetV2_point/{folder(item, self.folders)}/{item.split}.lst"].append(f"{item.id}.npz")
        return {path: "\n".join(lines).encode() for path, lines in names.items()}

    def _cloud(self, record: ShapeRecord) -> dict[str, np.ndarray]:
        """The surface in the cube of side 1; `points * scale + loc` is the file's mesh, upright."""
        shape = Shape(record, half_extent=1 / TO_POINTS, front=self.front)
        surface = shape.surface(self.surface_points)
        return {
            "points": surface.points.astype(np.float32),
            "normals": surface.normals.astype(np.float32),
            "loc": record.shifts.astype(np.float64) @ shape.turn,
            "scale": np.array(1 / (shape.scale * float(record.scale[0]))),
        }


def make(surface_points: int = 100_000, front: str = "-z", folders: Mapping[str, str] | None = None) -> VecSet:
    """The layout that 3DShape2VecSet trains on.

    Args:
        surface_points: Points of the surface cloud; its loader draws 2048 of them.
        front: Where the front, +z in records, is taken: `-z` as in ShapeNetCore v2, or `z`, `x`.
        folders: Folders of classes, such as {"chair": "03001627"}; its loader knows ShapeNet's synsets only.

    Raises:
        ConfigError: There is no such front.
    """
    return VecSet(surface_points, known_front(front), dict(folders or {}))


def _labelled(shape: Shape) -> dict[str, np.ndarray]:
    record = shape.record
    return {
        "vol_points": shape.place(record.vol_points).astype(np.float32),
        "vol_label": record.vol_sdf < 0,
        "near_points": shape.place(record.near_points).astype(np.float32),
        "near_label": record.near_sdf < 0,
    }
