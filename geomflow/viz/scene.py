"""Anything with a shape, described as a scene: meshes, clouds, grids of distances, generations, steps from noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.geometry.grid import SdfGrid
from geomflow.viz.layers import Panel, Scene
from geomflow.viz.panel import PanelOptions, panel_of

MAX_POINTS, MAX_FACES = 100_000, 300_000
"""Points and triangles of a scene, all panels together: a page of some ten megabytes."""

ACCEPTED = (
    "a trimesh.Trimesh or PointCloud, an array (n, 3) or (b, n, 3), an SdfGrid, a Generation, a JointPrediction, "
    "a Trajectory, or a list of those"
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
            distances, drawn as three slices and the surface; predicted joints, drawn as the points that were gathered
            and the bones; a generation or list of any of these for a gallery; or a `Trajectory`. Arrays may be tensors
            on the CPU.
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
    rows = (_rows(scalars, "scalars"), _rows(normals, "normals"), _rows(neighbours, "neighbours"))
    options = PanelOptions(*rows, *share)
    frames = isinstance(x, Trajectory)
    if (len(items) > 1 and not frames) or isinstance(items[0], SdfGrid):
        _refuse_options(options)
    titles = titles or ([f"step {i} of {len(items) - 1}" for i in range(len(items))] if frames else [""] * len(items))
    panels = tuple(_titled(panel_of(item, options), title) for item, title in zip(items, titles, strict=True))
    return Scene(panels, columns, height, frames)


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
    if hasattr(x, "joints") and hasattr(x, "points"):  # a JointPrediction
        return [x]
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


def _refuse_options(options: PanelOptions) -> None:
    for name in ("scalars", "normals", "neighbours"):
        if getattr(options, name) is not None:
            raise ValueError(f"{name} go with one mesh or cloud, given a gallery or a grid")


def _titled(panel: Panel, title: str) -> Panel:
    return Panel(panel.layers, ", ".join(filter(None, (title, panel.title))))
