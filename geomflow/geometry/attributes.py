"""Points of a shape together with what it carries: normals, colours, labels.

Colours of OBJ, GLB and glTF files, textures among them, are read by trimesh; those of PLY, and its labels, by geomflow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.errors import MeshLacksAttribute, MeshNotFinite
from geomflow.geometry._file_errors import file_errors
from geomflow.geometry._read_ply import ply_colors, ply_vertex_properties
from geomflow.geometry.read import read_mesh
from geomflow.geometry.surface import Places, SurfaceSampler

ATTRIBUTES = ("normals", "colors", "labels")
"""What can be asked for: unit normals; red, green and blue from 0 to 1; classes, each a column (one-hot)."""

Shape = trimesh.Trimesh | trimesh.PointCloud
Lookup = Callable[[Places], np.ndarray]


@dataclass(frozen=True)
class PointSource:
    """A shape to draw points from: of a mesh uniformly by area, of a cloud its own, each as likely as another.

    Attributes:
        shape: The mesh or the cloud, in the file's own frame.
        places: Draws random places, given how many and a source of randomness; a place on a cloud is a row of it.
        lookups: What is known of a place (n, width), by name, the first its position under the name `points`.
        labels: Classes that the columns of `labels` stand for.
    """

    shape: Shape
    places: Callable[[int, np.random.Generator], Places]
    lookups: dict[str, Lookup]
    labels: tuple[int, ...] = ()

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n c"]:
        """Return random points (n, channels): their positions and, behind them, what was asked for.

        Args:
            count: How many points.
            rng: Source of everything random in it.
        """
        places = self.places(count, rng)
        return np.concatenate([lookup(places) for lookup in self.lookups.values()], axis=1)

    def channels(self) -> dict[str, int]:
        """Return how many columns each part of a row has, in order."""
        place = self.places(1, np.random.default_rng(0))
        return {name: lookup(place).shape[1] for name, lookup in self.lookups.items()}


def point_source(path: str | Path, attributes: Sequence[str] = ()) -> PointSource:
    """Return a source of points of a file, with the attributes that are asked for.

    Normals of a mesh are those of its faces; colours and labels come from its vertices, or colours from its texture.

    Args:
        path: A file that `read_mesh` reads.
        attributes: Some of `ATTRIBUTES`.

    Raises:
        ValueError: An attribute that there is not, or one given twice.
        MeshLacksAttribute: The file does not carry an attribute; the message says which it does.
        MeshDegenerate: The mesh has no area.
        MeshError: Everything that `read_mesh` raises.
    """
    check_attributes(attributes)
    path = Path(path)
    shape = read_mesh(path)
    with file_errors(path):
        if "colors" in attributes and path.suffix.lower() != ".ply" and isinstance(shape, trimesh.Trimesh):
            shape, painted = _painted(path)
        else:
            painted = {}
        own = {"points", "normals"} if isinstance(shape, trimesh.Trimesh) else {"points"}
        stored = _stored(path, shape) if set(attributes) - own else {}
        return _source(shape, attributes, {**stored, **painted})


def check_attributes(attributes: Sequence[str]) -> None:
    """Refuse attributes that there are not.

    Args:
        attributes: Names of what a point carries beside its position.

    Raises:
        ValueError: An attribute is unknown, or given twice.
    """
    unknown = [name for name in attributes if name not in ATTRIBUTES]
    if unknown or len(set(attributes)) < len(attributes):
        raise ValueError(
            f"attributes must be some of {', '.join(ATTRIBUTES)}, each once, given {', '.join(attributes)}"
        )


def _source(shape: Shape, attributes: Sequence[str], found: dict[str, Lookup]) -> PointSource:
    """The source of a shape with what its file has been found to carry."""
    if isinstance(shape, trimesh.PointCloud):
        rows, places = np.asarray(shape.vertices, dtype=np.float64), _rows_of(len(shape.vertices))
        found = {"points": lambda place: rows[place.faces], **found}
    else:
        surface = SurfaceSampler(shape)
        places = surface.places
        found = {**found, "points": surface.points, "normals": surface.normals}
    attributes = [name for name in ATTRIBUTES if name in attributes]
    missing = [name for name in attributes if name not in found]
    if missing:
        carried = ", ".join(name for name in ATTRIBUTES if name in found) or "none of these"
        raise MeshLacksAttribute(f"wanted {missing[0]}, found {carried}")
    labels = getattr(found.get("labels"), "classes", ())
    return PointSource(shape, places, {name: found[name] for name in ("points", *attributes)}, labels)


def _rows_of(count: int) -> Callable[[int, np.random.Generator], Places]:
    """Random rows of a cloud as places."""
    return lambda wanted, rng: Places(rng.integers(count, size=wanted), np.ones((wanted, 3)) / 3)


# What is stored with the vertices of a PLY file


def _stored(path: Path, shape: Shape) -> dict[str, Lookup]:
    """Lookups of the attributes that a PLY file's vertices carry, none for other files."""
    if path.suffix.lower() != ".ply":
        return {}
    columns = ply_vertex_properties(path.read_bytes())
    if len(next(iter(columns.values()))) != len(shape.vertices):
        raise MeshNotFinite("wanted finite coordinates of all vertices that carry attributes, found NaN or infinity")
    corners = getattr(shape, "faces", np.arange(len(shape.vertices))[:, None].repeat(3, axis=1))
    finders = {"normals": _unit_normals, "colors": _shares, "labels": _classes}
    found = {name: finder(columns) for name, finder in finders.items()}
    return {name: _Corners(np.asarray(corners), *values) for name, values in found.items() if values}


def _unit_normals(columns: dict[str, np.ndarray]) -> tuple[np.ndarray] | None:
    if not {"nx", "ny", "nz"} <= columns.keys():
        return None
    normals = np.column_stack([columns[axis] for axis in ("nx", "ny", "nz")]).astype(np.float64)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise MeshNotFinite("wanted normals of a direction, found some that are zero or not finite")
    return (normals / length,)


def _shares(columns: dict[str, np.ndarray]) -> tuple[np.ndarray] | None:
    """Colours from 0 to 1."""
    colors = ply_colors(columns)
    if colors is None:
        return None
    if not (np.isfinite(colors).all() and colors.min() >= 0 and colors.max() <= 1):
        raise MeshNotFinite("wanted colours from 0 to 255 (bytes) or to 1, found others")
    return (colors,)


def _classes(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """Which class each vertex has (one-hot), and the classes."""
    stored = next((columns[name] for name in ("label", "labels") if name in columns), None)
    if stored is None:
        return None
    classes, which = np.unique(stored, return_inverse=True)
    return np.eye(len(classes))[which], tuple(int(label) for label in classes)


@dataclass(frozen=True)
class _Corners:
    """Values of vertices, mixed by the weights of a face's corners; of the nearest corner if they are classes."""

    corners: np.ndarray
    values: np.ndarray
    classes: tuple[int, ...] = ()

    def __call__(self, places: Places) -> np.ndarray:
        of_corners = self.values[self.corners[places.faces]]
        if self.classes:
            return of_corners[np.arange(len(of_corners)), places.weights.argmax(axis=1)]
        return np.einsum("nk,nkd->nd", places.weights, of_corners)


# Colours that trimesh reads


def _painted(path: Path) -> tuple[trimesh.Trimesh, dict[str, Lookup]]:
    """The mesh as trimesh reads it, part by part lest textures be joined, and its colours if it has any."""
    scene = trimesh.load_scene(path, process=False)
    parts = [part for part in scene.dump(concatenate=False) if isinstance(part, trimesh.Trimesh)]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])
    mesh = trimesh.Trimesh(np.concatenate([part.vertices for part in parts]), faces, process=False)
    colored = all(part.visual is not None and part.visual.defined for part in parts)
    return mesh, {
        "colors": _Parts([_paint(part) for part in parts], [len(part.faces) for part in parts])
    } if colored else {}


@dataclass(frozen=True)
class _Parts:
    """Colours of a mesh made of parts, each of which has its own."""

    lookups: Sequence[Lookup]
    faces: Sequence[int]

    def __call__(self, places: Places) -> np.ndarray:
        starts = np.cumsum([0, *self.faces])
        part = np.searchsorted(starts, places.faces, side="right") - 1
        colors = np.empty((len(part), 3))
        for i in np.unique(part):
            chosen = part == i
            colors[chosen] = self.lookups[i](Places(places.faces[chosen] - starts[i], places.weights[chosen]))
        return colors


def _paint(part: trimesh.Trimesh) -> Lookup:
    """The colours of one part: of its texture, of its vertices or of its faces."""
    visual: Any = part.visual
    if visual.kind != "texture":
        colors = np.asarray(visual.face_colors if visual.kind == "face" else visual.vertex_colors)[:, :3] / 255
        if visual.kind == "face":
            return lambda places: colors[places.faces]
        return _Corners(np.asarray(part.faces), colors)
    if visual.uv is None or visual.material.to_color(np.zeros((1, 2))) is None:
        plain = np.asarray(visual.material.main_color)[:3] / 255
        return lambda places: np.tile(plain, (len(places.faces), 1))
    of_vertices = _Corners(np.asarray(part.faces), np.asarray(visual.uv))
    return lambda places: np.atleast_2d(visual.material.to_color(of_vertices(places)))[:, :3] / 255
