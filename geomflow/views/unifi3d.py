"""Unifi3D: a folder of grids, octree samples, clouds and mesh per shape, as its preprocessing script writes them.

Shapes have a longest side of 0.8 in the cube [-0.5, 0.5]^3. Signed distances are negative inside. Grids hold the values
at voxel centres in the order [z, y, x]. Distances are measured at points that are already rounded to half precision.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import trimesh

from geomflow.errors import ConfigError
from geomflow.geometry.grid import evaluate
from geomflow.geometry.surface import sample_surface
from geomflow.records import RecordHeader, ShapeRecord
from geomflow.views._layout import Item, folder, npz
from geomflow.views._octree import octree_points
from geomflow.views._shape import Shape, known_front

HALF_EXTENT = 0.4
CLOUD, BOUNDARY_CLOUD, OCCUPANCY_POINTS = 40_000, 100_000, 100_000
FULL_DEPTH, PER_NODE = 4, 4
GRADIENT_STEP = 1 / 256
MATERIALS = {"base_color": 3, "metallic": 1, "roughness": 1}
"""Columns of a cloud's material arrays, zero here as in that project where a mesh has no material."""


@dataclass(frozen=True)
class Unifi3d:
    """Layout of Unifi3D.

    Attributes:
        resolutions: Samples per axis of the grids.
        depth: Finest level of the octree.
        front: Where the front is.
        folders: Folders of classes, where they are not the class names.
    """

    resolutions: tuple[int, ...] = (128,)
    depth: int = 6
    front: str = "x"
    folders: Mapping[str, str] = field(default_factory=dict)

    needs = ("vertices", "faces")

    def paths(self, item: Item) -> list[str]:
        """Return the files of one shape, relative to the export's folder."""
        grids = [f"sdf_grid_{resolution}.npz" for resolution in self.resolutions]
        octree = f"sdf_octree_depth_{self.depth}.npz"
        clouds = ["pointcloud.npz", "pointcloud_boundary.npz", "points_iou.npz"]
        names = ("info.json", "mesh.npz", *clouds, octree, *grids)
        return [f"{folder(item, self.folders)}/{item.id}/{name}" for name in names]

    def files(self, record: ShapeRecord) -> dict[str, bytes]:
        """Return the contents of one shape's files."""
        shape = Shape(record, HALF_EXTENT, self.front)
        arrays = [
            {"vertices": shape.mesh.vertices.astype(np.float32), "triangles": record.faces.astype(np.int32)},
            _cloud(shape.mesh, CLOUD, shape.seed("cloud")),
            _cloud(shape.boundary, BOUNDARY_CLOUD, shape.seed("boundary")),
            _occupancies(shape),
            _octree(shape, self.depth),
            *({"sdf": _grid(shape, resolution).astype(np.float16)} for resolution in self.resolutions),
        ]
        contents = [_info(record.header), *(npz(named, compressed=True) for named in arrays)]
        return dict(zip(self.paths(record.header), contents, strict=True))

    def lists(self, items: Iterable[Item]) -> dict[str, bytes]:
        """Return the table of splits; where all folders are synsets they are numbers of their own in it."""
        rows = [(item.id, item.split, item.class_name, folder(item, self.folders)) for item in items]
        synsets = all(place.isdigit() for *_, place in rows)
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["id", "split", "category", *(["synsetId"] if synsets else [])])
        for name, split, category, place in rows:
            writer.writerow([name, split, *([category, int(place)] if synsets else [place])])
        return {"split.csv": table.getvalue().encode()}


def make(
    resolutions: tuple[int, ...] = (128,),
    depth: int = 6,
    front: str = "x",
    folders: Mapping[str, str] | None = None,
) -> Unifi3d:
    """The layout that the networks of Unifi3D are trained on.

    Args:
        resolutions: Samples per axis of the grids; its loaders read 128 and, for finer networks, 256.
        depth: Finest level of the octree; its loaders read 6 unless told otherwise.
        front: Where the front, +z in records, is taken: `x` as in ShapeNetCore v1, or `z`, `-z`.
        folders: Folders of classes, such as {"chair": "03001627"}.

    Raises:
        ConfigError: There is no such front, or the octree ends above its complete level.
    """
    if depth < FULL_DEPTH:
        raise ConfigError(f"depth must be at least {FULL_DEPTH}, the level that is complete, not {depth}")
    return Unifi3d(tuple(resolutions), depth, known_front(front), dict(folders or {}))


def _info(header: RecordHeader) -> bytes:
    return json.dumps({"text": header.class_name, "file_path": header.source, "id": header.id}, indent=2).encode()


def _cloud(mesh: trimesh.Trimesh, count: int, seed: int) -> dict[str, np.ndarray]:
    points, normals = sample_surface(mesh, count, seed)
    materials = {name: np.zeros((count, columns), np.float16) for name, columns in MATERIALS.items()}
    return {"points": points.astype(np.float16), "normals": normals.astype(np.float16), **materials}


def _occupancies(shape: Shape) -> dict[str, np.ndarray]:
    """Uniform points of the cube, and whether each is inside, packed into bits."""
    rng = np.random.default_rng(shape.seed("occupancies"))
    points = rng.uniform(-0.5, 0.5, (OCCUPANCY_POINTS, 3)).astype(np.float16)
    return {"points": points, "occupancies": np.packbits(shape.sdf(points.astype(np.float32)) < 0)}


def _octree(shape: Shape, depth: int) -> dict[str, np.ndarray]:
    """Octree samples with distances and unit gradients, without the last half node, as that project leaves it out."""
    surface = sample_surface(shape.boundary, BOUNDARY_CLOUD, shape.seed("boundary")).points
    points = octree_points(surface, FULL_DEPTH, depth, PER_NODE, shape.seed("octree")).astype(np.float16)
    points = points[(points < 0.5 - 0.5 ** (depth + 1)).all(axis=1)]
    at = points.astype(np.float32)
    sdf = shape.sdf(at)
    steps = np.stack([shape.sdf(at + step) - sdf for step in GRADIENT_STEP * np.eye(3, dtype=np.float32)], axis=1)
    gradient = steps / np.linalg.norm(steps, axis=1, keepdims=True).clip(1e-6)
    return {"points": points, "grad": gradient.astype(np.float16), "sdf": sdf.astype(np.float16)}


def _grid(shape: Shape, resolution: int) -> np.ndarray:
    """Signed distances at voxel centres, in the order [z, y, x]."""
    centres = (np.arange(resolution) + 0.5) / resolution - 0.5
    values = evaluate(shape.sdf, [centres] * 3, np.ones((resolution,) * 3, dtype=bool))
    return values.reshape((resolution,) * 3).transpose(2, 1, 0)
