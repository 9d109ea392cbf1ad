"""One panel of a scene: a mesh, a cloud, a grid of distances or joints, as the layers that are drawn of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.errors import EmptySurface
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.grid import SdfGrid
from geomflow.viz.layers import Layer, Lines, Panel, Points, Slice, Surface
from geomflow.viz.thin import chosen, clustered

NORMAL_LENGTH = 0.03
"""Length of a drawn normal, in diagonals of the box around its points."""

SLICE_NODES = 128
"""Nodes of a slice along an axis, about; of finer grids, every second, third ... node is drawn."""

GLASS = 0.5
"""Opacity of the surface that is drawn with slices."""


@dataclass(frozen=True)
class PanelOptions:
    """What goes with one mesh or cloud, and what a panel may hold.

    Attributes:
        scalars: Numbers (n,) at the points or vertices.
        normals: Vectors (n, 3) at them.
        neighbours: Pairs (k, 2) of them to be joined by lines.
        max_points: Points that are drawn, at most.
        max_faces: Triangles that are drawn, at most.
    """

    scalars: np.ndarray | None
    normals: np.ndarray | None
    neighbours: np.ndarray | None
    max_points: int
    max_faces: int


def panel_of(item: Any, options: PanelOptions) -> Panel:
    """Return the panel of one thing, without layers of nothing, titled with what was left out of it.

    Args:
        item: A mesh, a cloud, points (n, 3), a grid of distances, or a prediction of joints.
        options: What goes with it.

    Raises:
        ValueError: The options do not fit it.
    """
    panel = _panel(item, options)
    return Panel(tuple(layer for layer in panel.layers if len(layer.places())), panel.title)


def _panel(item: Any, options: PanelOptions) -> Panel:
    if isinstance(item, SdfGrid):
        return _grid_panel(item, options)
    if isinstance(item, trimesh.Trimesh):
        return _mesh_panel(item, options)
    if hasattr(item, "parents"):
        return _skeleton_panel(item, options)
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


def _cloud_panel(points: np.ndarray, colors: np.ndarray | None, options: PanelOptions) -> Panel:
    kept = _kept(points, options)
    if not len(kept):
        return Panel((), "no finite point")
    values = None if options.scalars is None else options.scalars[kept].astype(np.float64)
    layer = Points(points[kept], None if colors is None or values is not None else colors[kept], values)
    return Panel((layer, *_lines(points, kept, options)), _left_out(len(kept), len(points), "points"))


def _skeleton_panel(prediction: Any, options: PanelOptions) -> Panel:
    """The points of a JointPrediction, whose module would load torch, and a line from each joint to its parent."""
    cloud, children = _cloud_panel(prediction.points, None, options), np.flatnonzero(prediction.parents >= 0)
    bones = Lines(prediction.joints[children], prediction.joints[prediction.parents[children]])
    return Panel((*cloud.layers, bones), cloud.title)


def _mesh_panel(mesh: trimesh.Trimesh, options: PanelOptions) -> Panel:
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


def _grid_panel(grid: SdfGrid, options: PanelOptions) -> Panel:
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


def _finite(points: np.ndarray, options: PanelOptions) -> np.ndarray:
    """Whether each point, and its scalar, can be drawn."""
    for name in ("scalars", "normals"):
        rows = getattr(options, name)
        if rows is not None and len(rows) != len(points):
            raise ValueError(f"{name} must be as many as points, given {len(rows)} for {len(points)}")
    rows = points if options.scalars is None else np.column_stack([points, options.scalars])
    return np.asarray(np.isfinite(rows).all(axis=1))


def _kept(points: np.ndarray, options: PanelOptions) -> np.ndarray:
    good = np.flatnonzero(_finite(points, options))
    return good[chosen(len(good), options.max_points)]


def _lines(points: np.ndarray, kept: np.ndarray, options: PanelOptions) -> list[Layer]:
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
