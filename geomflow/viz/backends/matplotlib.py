"""Scenes in matplotlib: still pictures that need no display and no system library."""

import io
from typing import Any

import numpy as np

from geomflow.libraries import library
from geomflow.viz.camera import AZIMUTH, ELEVATION, INK, LAMP, PALETTE
from geomflow.viz.layers import Layer, Lines, Panel, Points, Scene, Slice, Surface, color_range

DOTS_PER_INCH = 100


def draw(scene: Scene) -> Any:
    """Return the scene as a matplotlib figure, which a notebook shows without pyplot.

    Args:
        scene: What is drawn.

    Raises:
        LibraryMissing: matplotlib is not installed.
    """
    rows, columns = scene.shape
    size = (columns * scene.height / DOTS_PER_INCH, rows * scene.height / DOTS_PER_INCH)
    figure = _matplotlib("figure").Figure(size, dpi=DOTS_PER_INCH, layout="constrained")
    for i, panel in enumerate(scene.panels):
        axes = figure.add_subplot(rows, columns, i + 1, projection="3d")
        _fill(axes, panel, PALETTE[i % len(PALETTE)])
        if scene.frames:
            _frame(axes, scene.bounds())
    figure._repr_png_ = lambda: _png(figure)
    return figure


def _fill(axes: Any, panel: Panel, color: tuple[float, ...]) -> None:
    for layer in panel.layers:
        _add(axes, layer, color)
    axes.set_title(panel.title, fontsize=9)
    axes.set_axis_off()
    axes.view_init(ELEVATION, AZIMUTH, vertical_axis="y")  # about +y, from +z towards +x
    if panel.layers:
        places = np.concatenate([layer.places() for layer in panel.layers])
        _frame(axes, np.stack([places.min(axis=0), places.max(axis=0)]))


def _frame(axes: Any, bounds: np.ndarray) -> None:
    """Fit the axes to a box, in true proportions."""
    middle, half = bounds.mean(axis=0), np.ptp(bounds, axis=0).max() / 2 or 1.0
    for axis, place in zip("xyz", middle, strict=True):
        getattr(axes, f"set_{axis}lim")(place - half, place + half)
    axes.set_box_aspect((1, 1, 1), zoom=1.3)


def _add(axes: Any, layer: Layer, color: tuple[float, ...]) -> None:
    match layer:
        case Surface():
            _add_surface(axes, layer, color)
        case Points():
            colors = _colors(layer.values, layer.colors, color)
            axes.scatter(*layer.points.T, c=colors, s=4, depthshade=True, linewidths=0)
        case Lines():
            segments = np.stack([layer.starts, layer.ends], axis=1)
            axes.add_collection3d(_art().Line3DCollection(segments, colors=[INK], linewidths=0.6))
        case Slice():
            colors = _colors(layer.values, None, color)
            axes.plot_surface(*np.moveaxis(layer.nodes, 2, 0), facecolors=colors, shade=False, rstride=1, cstride=1)


def _add_surface(axes: Any, layer: Surface, color: tuple[float, ...]) -> None:
    colors = _colors(layer.values, layer.colors, color)
    if len(colors) > 1:
        colors = colors[layer.faces].mean(axis=1)
    corners = layer.vertices[layer.faces]
    paint = {"facecolors": colors * _brightness(corners), "alpha": layer.opacity, "antialiased": False}
    axes.add_collection3d(_art().Poly3DCollection(corners, linewidths=0, **paint))


def _brightness(corners: np.ndarray) -> np.ndarray:
    """How light each triangle is (n, 1), in [0.4, 1]; one that faces the lamp is lightest."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.maximum(np.linalg.norm(normals, axis=1), np.finfo(float).tiny)
    return 0.4 + 0.6 * (normals @ LAMP / lengths).clip(0, 1)[:, None]


def _colors(values: np.ndarray | None, colors: np.ndarray | None, color: tuple[float, ...]) -> np.ndarray:
    """Colour at each place, or one for all."""
    if values is None:
        return np.array([color]) if colors is None else colors
    name, low, high = color_range(values)
    scale = _matplotlib("colors").Normalize(low, high)
    return _matplotlib("cm").ScalarMappable(scale, name).to_rgba(values)[..., :3]


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _matplotlib(module: str) -> Any:
    return library(f"matplotlib.{module}", "this picture", "geomflow[viz]")


def _art() -> Any:
    return library("mpl_toolkits.mplot3d.art3d", "this picture", "geomflow[viz]")
