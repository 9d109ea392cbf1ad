"""Scenes of what lies on disk: a mesh, points, a grid or a shape record; a folder of them as a gallery."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from safetensors import safe_open

from geomflow.errors import GeomflowError, RecordError
from geomflow.geometry._read_ply import ply_colors, ply_vertex_properties
from geomflow.geometry.grid import SdfGrid
from geomflow.geometry.read import ARRAY_SUFFIXES, POINT_SUFFIXES, SUFFIXES, read_mesh
from geomflow.geometry.read_grid import read_grid
from geomflow.records import KEY, ShapeRecord, load_record
from geomflow.viz.camera import to_bytes

TENSORS = ".safetensors"
KNOWN = (*SUFFIXES, *POINT_SUFFIXES, *ARRAY_SUFFIXES, TENSORS)
"""Endings of files that can be drawn."""

KNOWN_LIST = ", ".join(KNOWN)


@dataclass(frozen=True)
class Found:
    """What is to be drawn, and what is not.

    Attributes:
        items: What `scene_of` takes, each a panel.
        titles: Name of each.
        unreadable: Why a file could not be read, by its name.
        left_out: Files that were not looked at, being beyond the limit.
    """

    items: list[Any]
    titles: list[str]
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: int = 0


def find(path: str | Path, limit: int = 24) -> Found:
    """Return what can be drawn of a file, or of the files in a folder and below it, in the order of their names.

    A record is drawn as its surface points beside its grid of distances, or in a folder as its surface points alone.

    Args:
        path: A mesh, points, a grid, a record, or a folder of such files.
        limit: Most files of a folder that are looked at.

    Raises:
        RecordError: There is nothing of that name, or nothing in the folder that can be drawn.
        GeomflowError: The file cannot be read.
        ValueError: The limit is under 1.
    """
    path = Path(path)
    if limit < 1:
        raise ValueError(f"limit must be at least 1, given {limit}")
    if not path.exists():
        raise RecordError(f"{path}: wanted a file or folder, found nothing of that name")
    if path.is_file() and path.suffix.lower() not in KNOWN:
        raise RecordError(f"{path}: wanted a file ending in {KNOWN_LIST}")
    return _of_folder(path, limit) if path.is_dir() else _of_file(path)


def _of_file(path: Path) -> Found:
    items = read_items(path)
    return Found(items, [path.name] if len(items) == 1 else [f"{path.name} {i}" for i in range(len(items))])


def _of_folder(folder: Path, limit: int) -> Found:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in KNOWN and file.name[0] != ".")
    items, titles, unreadable = [], [], {}
    for file in files[:limit]:
        name = file.relative_to(folder).as_posix()
        try:
            items.append(read_items(file)[0])
            titles.append(name)
        except GeomflowError as error:
            unreadable[name] = str(error).removeprefix(f"{file}: ")
    if not items:
        why = "; ".join(f"{name}: {reason}" for name, reason in unreadable.items())
        raise RecordError(f"{folder}: found no file that can be drawn ({why or f'wanted {KNOWN_LIST}'})")
    return Found(items, titles, unreadable, max(0, len(files) - limit))


def read_items(path: str | Path) -> list[Any]:
    """Return what a file holds, as `scene_of` takes it: one thing, or several of a record or an array of clouds.

    Args:
        path: The file.

    Raises:
        GeomflowError: The file cannot be read; the message names it.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], list[Any]]] = {TENSORS: _tensors, ".npy": _array, ".ply": _painted}
    return readers.get(path.suffix.lower(), lambda file: [read_mesh(file)])(path)


def _tensors(path: Path) -> list[Any]:
    return _parts(load_record(path)) if _is_record(path) else [read_grid(path)]


def _is_record(path: Path) -> bool:
    try:
        with safe_open(path, framework="numpy") as file:
            return KEY in (file.metadata() or {})
    except Exception as error:  # safetensors has an error of its own for a damaged file, and passes on others
        raise RecordError(f"{path}: not a readable safetensors file ({error})") from error


def _parts(record: ShapeRecord) -> list[Any]:
    grid = record.sdf_grid
    return [record.surface_points, *([] if grid is None else [SdfGrid(grid.astype(np.float32))])]


def _array(path: Path) -> list[Any]:
    """Points (n, 3) with any attributes beside them, clouds (b, n, 3), or a grid of distances (x, y, z)."""
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (ValueError, OSError, EOFError) as error:
        raise RecordError(f"{path}: not a readable .npy file ({error})") from error
    if len(shape) == 3 and shape[2] == 3:
        return list(np.load(path))
    if len(shape) == 2 and shape[1] > 3:
        return [np.load(path)[:, :3]]
    return [read_grid(path) if len(shape) == 3 else read_mesh(path)]


def _painted(path: Path) -> list[Any]:
    """A PLY file with the colours of its vertices, if it has any and all its vertices are used."""
    shape = read_mesh(path)
    shares = ply_colors(ply_vertex_properties(path.read_bytes()))
    if shares is None or len(shares) != len(shape.vertices):
        return [shape]
    colors = to_bytes(shares)
    if isinstance(shape, trimesh.PointCloud):
        return [trimesh.PointCloud(shape.vertices, colors=colors)]
    return [trimesh.Trimesh(shape.vertices, shape.faces, vertex_colors=colors, process=False)]
