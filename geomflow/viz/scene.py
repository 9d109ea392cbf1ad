"""Anything with a shape, described as a scene: meshes, clouds, grids of distances, generations, steps from noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.errors import EmptySurface
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.grid import SdfGrid
from geomflow.viz.layers import Layer, Lines, Panel, Points, Scene, Slice, Surface
from geomflow.viz.thin import chosen, clustered

MAX_POINTS, MAX_FACES = 100_000, 300_000
"""Points and triangles of a scene, all panels together: a page of some ten megabytes."""

NORMAL_LENGTH = 0.03
"""Length of a drawn normal, in diagonals of the box around its points."""

SLICE_NODES = 128
"""Nodes of a slice along an axis, about; of finer grids, every second, third ... node is drawn."""

GLASS = 0.5
"""Opacity of the surface that is drawn with slices."""

ACCEPTED = (
    "a trimesh.Trimesh or PointCloud, an array (n, 3) or (b, n, 3), an SdfGrid, a Generation, a Trajectory, "
    "or a list of those"
)


@dataclass(frozen=True)
class Trajectory:
    """Points on their way from noise to a shape.

    Attributes:
        points: Where all are at every step, the noise first.

    Raises:
        ValueError: The points have another shape.
    """

    points: Float[np.ndarray, "steps n 3"]

    def __post_init__(self) -> None:
        """Check the shape."""
        shape = np.shape(self.points)
        if len(shape) != 3 or shape[2] != 3:
            raise ValueError(f"points must be of shape (steps, n, 3), given {shape}")


@dataclass(frozen=True)
class _Options:
    """What goes with one mesh or cloud, and what a panel may hold."""

    scalars: np.ndarray | None
    normals: np.ndarray | None
    neighbours: np.ndarray | None
    max_points: int
    max_faces: int


def scene_of(
    x: Any,
    *,
    scalars: Any = None,
    normals: Any = None,
    neighbours: Any = None,
    titles: Sequence[str] = (),
    columns: int = 4,
    height: int = 480,
    max_points: int = MAX_POINTS,
    max_faces: int = MAX_FACES,
) -> Scene:
    """Return what is to be drawn of something, as plain arrays.

    Points, faces and lines with a coordinate or scalar that is not finite are left out. Of more points than
    `max_points`, random ones are drawn (always the same); a mesh of more than `max_faces` triangles is drawn coarser
    (`geomflow.viz.thin`). Panels share both numbers evenly, and the title says what was left out.

    Args:
        x: A mesh or cloud (in its own colours, if it carries any); points (n, 3), or (b, n, 3) for a gallery; a grid of
            distances, drawn as three slices and the surface; a generation or list of any of these for a gallery; or a
            `Trajectory`. Arrays may be tensors on the CPU.
        scalars: Numbers (n,) at the points or vertices, drawn as colours.
        normals: Vectors (n, 3) at the points or vertices, drawn as short lines.
        neighbours: Pairs (k, 2) of points or vertices to be joined by lines.
        titles: Line above each panel, one for each or none.
        columns: Panels per row of a gallery.
        height: Pixels of a row.
        max_points: Points that are drawn, at most, in all panels together.
        max_faces: Triangles that are drawn, at most, in all panels together.

    Raises:
        TypeError: x is nothing that can be drawn; the message names what can.
        ValueError: There is nothing in it to draw, or an option does not fit it.
    """
    items = _items(x)
    _check(items, titles, columns, height, max_points, max_faces)
    share = (max(1, max_points // len(items)), max(1, max_faces // len(items)))
    options = _Options(_rows(scalars, "scalars"), _rows(normals, "normals"), _rows(neighbours, "neighbours"), *share)
    frames = isinstance(x, Trajectory)
    if (len(items) > 1 and not frames) or isinstance(items[0], SdfGrid):
        _refuse_options(options)
    titles = titles or ([f"step {i} of {len(items) - 1}" for i in range(len(items))] if frames else [""] * len(items))
    panels = [_titled(_panel(item, options), title) for item, title in zip(items, titles, strict=True)]
    if not any(panel.layers for panel in panels):
        raise ValueError(f"there is nothing to draw: {panels[0].title}")
    return Scene(tuple(panels), columns, height, frames)


def _items(x: Any) -> list[Any]:
    """What goes into a panel each."""
    if isinstance(x, trimesh.Trimesh | trimesh.PointCloud | SdfGrid):
        return [x]
    if isinstance(x, list | tuple):
        return [item for part in x for item in _items(part)]
    if isinstance(x, Trajectory):
        return list(_finite_tracks(x.points))
    if hasattr(x, "meshes"):  # a Generation, whose module would load torch
        return list(x.meshes)
    if isinstance(getattr(x, "points", None), np.ndarray):  # a PointGeneration
        colors = getattr(x, "colors", None)
        return [x.points] if colors is None else [trimesh.PointCloud(x.points, colors=colors)]
    if hasattr(x, "pictures"):  # an ImageGeneration
        raise TypeError(f"wanted {ACCEPTED}, given images: geomflow.viz.image_sheet(x.pictures) draws them")
    array = _array(x)
    return [array] if array.ndim == 2 else list(array)


def _array(x: Any) -> np.ndarray:
    try:
        array = np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU, or one that wants a gradient
        raise TypeError(f"wanted {ACCEPTED}; {type(x).__name__} is no array on the CPU: {error}") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"wanted {ACCEPTED}, given {type(x).__name__}")
    if array.ndim not in (2, 3) or array.shape[-1] != 3:
        raise TypeError(f"wanted {ACCEPTED}, given an array of shape {array.shape}")
    return array.astype(np.float64)


def _rows(x: Any, name: str) -> np.ndarray | None:
    if x is None:
        return None
    array, wanted = np.asarray(x), {"scalars": (), "normals": (3,), "neighbours": (2,)}[name]
    if array.ndim < 1 or array.shape[1:] != wanted or array.dtype.kind not in ("iu" if name == "neighbours" else "fiu"):
        raise ValueError(f"{name} must be numbers of shape {('n', *wanted)}, given {array.dtype} of {array.shape}")
    return array


def _finite_tracks(points: np.ndarray) -> np.ndarray:
    """A trajectory with every place of a point NaN where one is, so that all steps draw the same points."""
    points = np.array(points, dtype=np.float64)
    points[:, ~np.isfinite(points).all(axis=(0, 2))] = np.nan
    return points


def _check(items: list[Any], titles: Sequence[str], columns: int, height: int, max_points: int, max_faces: int) -> None:
    if not items:
        raise ValueError(f"wanted {ACCEPTED}, given nothing to draw")
    if titles and len(titles) != len(items):
        raise ValueError(f"titles must be as many as panels, given {len(titles)} for {len(items)}")
    for name, number in {
        "columns": columns,
        "height": height,
        "max_points": max_points,
        "max_faces": max_faces,
    }.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, given {number}")


def _refuse_options(options: _Options) -> None:
    for name in ("scalars", "normals", "neighbours"):
        if getattr(options, name) is not None:
            raise ValueError(f"{name} go with one mesh or cloud, given a gallery or a grid")


def _titled(panel: Panel, title: str) -> Panel:
    return Panel(panel.layers, ", ".join(filter(None, (title, panel.title))))


def _panel(item: Any, options: _Options) -> Panel:
    """The panel of one thing, titled with what was left out of it."""
    if isinstance(item, SdfGrid):
        return _grid_panel(item, options)
    if isinstance(item, trimesh.Trimesh):
        return _mesh_panel(item, options)
    return _cloud_panel(*cloud_of(item), options)


def cloud_of(
    item: trimesh.PointCloud | Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"] | None]:
    """Return the points of a cloud or an array, and their colours from 0 to 1 if it carries any.

    Args:
        item: The cloud or the array.
    """
    colors = getattr(item, "colors", None)
    points = np.asarray(item.vertices if isinstance(item, trimesh.PointCloud) else item, dtype=np.float64)
    return points, None if colors is None or not len(colors) else colors[:, :3] / 255


def _cloud_panel(points: np.ndarray, colors: np.ndarray | None, options: _Options) -> Panel:
    kept = _kept(points, options)
    if not len(kept):
        return Panel((), "no finite point")
    values = None if options.scalars is None else options.scalars[kept].astype(np.float64)
    layer = Points(points[kept], None if colors is None or values is not None else colors[kept], values)
    return Panel((layer, *_lines(points, kept, options)), _left_out(len(kept), len(points), "points"))


def _mesh_panel(mesh: trimesh.Trimesh, options: _Options) -> Panel:
    vertices, faces = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces)
    good = _finite(vertices, options)
    faces = faces[good[faces].all(axis=1)]
    if not len(faces):
        return Panel((), "no surface")
    values = None if options.scalars is None else np.where(good, options.scalars, 0.0)
    colors = _colors_of(mesh) if values is None else None
    whole = Surface(np.where(good[:, None], vertices, 0.0), faces, colors, values)
    surface = clustered(whole if good.all() else _without_unused(whole), options.max_faces)
    layers = (surface, *_lines(vertices, _kept(vertices, options), options))
    return Panel(layers, _left_out(len(surface.faces), len(mesh.faces), "triangles"))


def _colors_of(mesh: trimesh.Trimesh) -> np.ndarray | None:
    visual: Any = mesh.visual
    return visual.vertex_colors[:, :3] / 255 if visual.kind in ("vertex", "face") else None


def _without_unused(surface: Surface) -> Surface:
    used, faces = np.unique(surface.faces, return_inverse=True)
    colors, values = (part if part is None else part[used] for part in (surface.colors, surface.values))
    return Surface(surface.vertices[used], faces.reshape(-1, 3), colors, values)


def _grid_panel(grid: SdfGrid, options: _Options) -> Panel:
    slices = tuple(_middle(grid, axis) for axis in range(3))
    try:
        mesh = extract_mesh(grid)
    except EmptySurface:
        return Panel(slices, "no surface")
    surface = clustered(Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces), opacity=GLASS), options.max_faces)
    return Panel((*slices, surface), _left_out(len(surface.faces), len(mesh.faces), "triangles"))


def _middle(grid: SdfGrid, axis: int) -> Slice:
    """The middle plane of nodes across an axis."""
    nodes = grid.points().reshape(*grid.values.shape, 3)
    middle, every = grid.values.shape[axis] // 2, -(-max(grid.values.shape) // SLICE_NODES)
    plane, values = nodes.take(middle, axis), grid.values.take(middle, axis)
    return Slice(plane[::every, ::every], values[::every, ::every].astype(np.float64))


def _finite(points: np.ndarray, options: _Options) -> np.ndarray:
    """Whether each point, and its scalar, can be drawn."""
    for name in ("scalars", "normals"):
        rows = getattr(options, name)
        if rows is not None and len(rows) != len(points):
            raise ValueError(f"{name} must be as many as points, given {len(rows)} for {len(points)}")
    rows = points if options.scalars is None else np.column_stack([points, options.scalars])
    return np.asarray(np.isfinite(rows).all(axis=1))


def _kept(points: np.ndarray, options: _Options) -> np.ndarray:
    good = np.flatnonzero(_finite(points, options))
    return good[chosen(len(good), options.max_points)]


def _lines(points: np.ndarray, kept: np.ndarray, options: _Options) -> list[Layer]:
    """Normals of the points that are drawn, and lines between those of them that are neighbours."""
    layers: list[Layer] = []
    if options.normals is not None:
        length = NORMAL_LENGTH * float(np.linalg.norm(np.ptp(points[kept], axis=0)))
        there = kept[np.isfinite(options.normals[kept]).all(axis=1)]
        layers.append(Lines(points[there], points[there] + length * options.normals[there]))
    if options.neighbours is not None:
        layers.append(_edges(points, kept, options.neighbours))
    return layers


def _edges(points: np.ndarray, kept: np.ndarray, neighbours: np.ndarray) -> Lines:
    strangers = neighbours[(neighbours < 0) | (neighbours >= len(points))]
    if len(strangers):
        raise ValueError(f"neighbours must be indices of {len(points)} points, given {strangers[0]}")
    drawn = np.isin(neighbours, kept).all(axis=1)
    return Lines(points[neighbours[drawn, 0]], points[neighbours[drawn, 1]])


def _left_out(drawn: int, given: int, name: str) -> str:
    return "" if drawn == given else f"{drawn:,} of {given:,} {name}"
