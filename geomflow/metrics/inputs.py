"""Shapes to evaluate: a folder, zip or CSV of meshes or point files, a dataset of `geomflow prep`, an array of clouds.

Every shape has a name and a hash of its content. Random points of a shape are seeded by that hash and by the role that
the shape plays, so that they change neither with the order of a set nor with what else is in it, and a mesh that stands
on both sides of a comparison is sampled twice. Of stored points, each role takes others, as far as there are enough.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.errors import EvaluationError, MeshHasNoFaces, RecordError
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.read import SUFFIXES, read_mesh
from geomflow.geometry.surface import sample_surface
from geomflow.prep import manifest
from geomflow.prep.job import upright
from geomflow.prep.sources import Source, find_sources, local_file
from geomflow.records import load_record

GENERATION = "generation.json"
"""What `geomflow generate` writes beside its shapes."""

ROLES = ("generated", "reference", "training")
"""Roles that a shape can play."""


@dataclass(frozen=True)
class Shape:
    """One shape, not read yet.

    Attributes:
        id: Name, unique in its set.
        path: File, archive member, or array that it is in.
        sha256: Hash of its content.
        points: Its points (n, 3), if they came out of an array.
        record: Whether the file is a shape record.
        up: Axis that points up in the file, `y` or `z`, as a CSV may say.
        yaw: Degrees about +y that turn its front to +z.
    """

    id: str
    path: str
    sha256: str
    points: np.ndarray | None = None
    record: bool = False
    up: str = "y"
    yaw: float = 0.0

    def read(self) -> trimesh.Trimesh | trimesh.PointCloud:
        """Return the mesh, or the points if there are no faces, upright.

        Raises:
            MeshError: The file cannot be read.
            RecordError: The record cannot be read.
        """
        if self.points is not None:
            return trimesh.PointCloud(self.points)
        if self.record:
            record = load_record(self.path, ("vertices", "faces", "surface_points"))
            if not len(record.faces):
                return trimesh.PointCloud(record.surface_points.astype(np.float64))
            return trimesh.Trimesh(record.vertices.astype(np.float64), record.faces, process=False)
        with local_file(self.path) as file:
            found = read_mesh(file)
        return found if isinstance(found, trimesh.PointCloud) else upright(found, self.up, self.yaw)

    def mesh(self) -> trimesh.Trimesh:
        """Return the mesh.

        Raises:
            MeshHasNoFaces: There are only points.
            MeshError: The file cannot be read.
        """
        found = self.read()
        if isinstance(found, trimesh.PointCloud):
            raise MeshHasNoFaces(f"{self.path}: wanted a mesh with faces, found {len(found.vertices)} points only")
        return found

    def cloud(self, count: int, role: str, seed: int = 0) -> Float[np.ndarray, "count 3"]:
        """Return `count` points: of the file's own, without replacement, or drawn from the surface by area.

        A record gives its surface points, or others of the same surface, which leaves out walls buried in the solid.

        Args:
            count: How many points.
            role: What the points are for, which is part of their seed.
            seed: Seed of the evaluation.

        Raises:
            EvaluationError: The file holds no surface and fewer points.
            MeshError: The file cannot be read.
            RecordError: The record cannot be read.
        """
        stored = load_record(self.path, ("surface_points",)).surface_points if self.record else np.zeros((0, 3))
        found = trimesh.PointCloud(stored) if len(stored) >= count else self.read()
        if not isinstance(found, trimesh.PointCloud):
            surface = SignedDistanceField(found, internal_walls=False).boundary() if self.record else found
            return sample_surface(surface, count, self.seed(role, seed)).points
        points = np.asarray(found.vertices, dtype=np.float64)
        if len(points) < count:
            raise EvaluationError(f"{self.path}: wanted at least {count} points, found {len(points)}")
        order = np.random.default_rng(self.seed("order", seed)).permutation(len(points))
        first = min(ROLES.index(role) * count, len(points) - count)
        return points[order[first : first + count]]

    def seed(self, role: str, seed: int) -> int:
        """Return the seed of this shape's random points in a role.

        Args:
            role: What the points are for, which is part of their seed.
            seed: Seed of the evaluation.
        """
        return int.from_bytes(hashlib.sha256(f"{seed} {role} {self.sha256}".encode()).digest()[:8], "little")


@dataclass(frozen=True)
class ShapeSet:
    """Shapes of one place.

    Attributes:
        path: The place.
        shapes: The shapes, by id.
        missing: Shapes that a generation failed to give a surface; they cannot be measured and must not be forgotten.
        split: Split that they are, empty if there are none.
    """

    path: str
    shapes: tuple[Shape, ...]
    missing: int = 0
    split: str = ""

    def __len__(self) -> int:
        """Return the number of shapes."""
        return len(self.shapes)

    def sha256(self) -> str:
        """Return a hash of all shapes' contents, whatever their order and names."""
        return hashlib.sha256("".join(sorted(shape.sha256 for shape in self.shapes)).encode()).hexdigest()

    def about(self) -> dict[str, Any]:
        """Return what a result says of the set."""
        counts = {"count": len(self), "missing": self.missing}
        return {"path": self.path, "split": self.split, **counts, "sha256": self.sha256()}


def open_shapes(place: str | Path, split: str = "", default: str = "test") -> ShapeSet:
    """Return the shapes of a place, in the order of their ids.

    Args:
        place: Folder, zip or CSV of meshes or point files; one mesh; dataset folder of `geomflow prep`; .npy or .pt
            array of clouds (shapes, points, 3) or of one cloud (points, 3).
        split: Split of a dataset, of a CSV, or of folders named after splits.
        default: Split to take where none is given and there is this one; all shapes are taken where there is not.

    Raises:
        EvaluationError: An array holds no clouds of finite numbers, or there is no such split.
        RecordError: Nothing is there, or there are no shapes in it.
    """
    place = Path(place)
    if (place / manifest.NAME).is_file():
        return _of_dataset(place, split, default)
    if place.is_file() and place.suffix.lower() in (".npy", ".pt"):
        found = ShapeSet(str(place), _of_array(place))
    elif place.is_file() and place.suffix.lower() in SUFFIXES:
        found = ShapeSet(str(place), (Shape(place.stem, str(place), _hash_of(str(place))),))
    else:
        return _of_files(place, split, default)
    if split:
        raise EvaluationError(f"{place}: has no splits, so no {split!r}")
    return found


def in_pairs(generated: ShapeSet, reference: ShapeSet) -> list[tuple[Shape, Shape]]:
    """Return each generated shape with the reference of its id, or the only two shapes whatever their ids.

    Args:
        generated: Shapes to judge.
        reference: What each of them should be, by id.

    Raises:
        EvaluationError: A reference has no counterpart: leaving out failures would flatter.
    """
    if len(generated) == len(reference) == 1:
        return [(generated.shapes[0], reference.shapes[0])]
    by_id = {shape.id: shape for shape in generated.shapes}
    lost = [shape.id for shape in reference.shapes if shape.id not in by_id]
    if lost:
        raise EvaluationError(
            f"{generated.path}: {len(lost)} of the {len(reference)} shapes of {reference.path} have no counterpart of "
            f"their name here ({', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''})"
        )
    return [(by_id[shape.id], shape) for shape in reference.shapes]


def _of_array(path: Path) -> tuple[Shape, ...]:
    array = _array(path)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise EvaluationError(f"{path}: wanted clouds (shapes, points, 3), found shape {array.shape}")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))
        raise EvaluationError(f"{path}: wanted finite coordinates, found NaN or infinity in shape {bad[0]}")
    named = ((f"{i:05d}", np.ascontiguousarray(points, dtype=np.float64)) for i, points in enumerate(array))
    return tuple(Shape(name, f"{path}[{int(name)}]", _hash(points.tobytes()), points) for name, points in named)


def _array(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        import torch

        return torch.as_tensor(torch.load(path, map_location="cpu", weights_only=True)).numpy()
    except Exception as error:
        raise EvaluationError(f"{path}: not an array of numbers ({str(error).splitlines()[0]})") from error


def _of_dataset(place: Path, split: str, default: str) -> ShapeSet:
    entries = manifest.read(place)
    splits = {entry.split for entry in entries.values() if entry.status == "done"}
    wanted = [split] if split else [default] if default in splits else sorted(splits)
    if not wanted:
        raise RecordError(f"{place}: no records in it; make some with `geomflow prep`")
    chosen = [entry for name in wanted for entry in manifest.of_split(place, entries, name)]
    files = ((entry.id, place / entry.file) for entry in sorted(chosen, key=lambda entry: entry.id))
    shapes = tuple(Shape(name, str(file), _hash(file.read_bytes()), record=True) for name, file in files)
    return ShapeSet(str(place), shapes, split=" ".join(wanted))


def _of_files(place: Path, split: str, default: str) -> ShapeSet:
    missing = _failures(place)
    try:
        sources = find_sources(place, clouds=True)
    except RecordError:
        if not missing:
            raise
        return ShapeSet(str(place), (), missing)
    splits = {source.split for source in sources}
    wanted = split or (default if default in splits else "")
    chosen = [source for source in sources if not wanted or source.split == wanted]
    if not chosen:
        raise EvaluationError(f"{place}: no shape in split {split!r}; there are {', '.join(sorted(splits))}")
    shapes = tuple(_of_source(source) for source in chosen)
    return ShapeSet(str(place), shapes, missing, wanted or (" ".join(sorted(splits)) if len(splits) > 1 else ""))


def _of_source(source: Source) -> Shape:
    return Shape(source.id, source.path, _hash_of(source.path), up=source.up, yaw=source.yaw)


def _failures(place: Path) -> int:
    """Shapes of a generation that have no file."""
    try:
        shapes = json.loads((place / GENERATION).read_text())["shapes"]
        return sum(not shape["file"] for shape in shapes)
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def _hash_of(path: str) -> str:
    """Hash of a file, and for glTF of the buffers beside it."""
    with local_file(path) as file:
        buffers = sorted(file.parent.rglob("*.bin")) if file.suffix.lower() == ".gltf" else []
        return _hash(b"".join(part.read_bytes() for part in (file, *buffers) if part.is_file()))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
