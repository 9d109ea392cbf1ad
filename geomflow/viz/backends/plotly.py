"""Scenes in plotly: they turn in a notebook and in any browser, and need no other library."""

from typing import Any

import numpy as np

from geomflow.libraries import library
from geomflow.viz.camera import AZIMUTH, ELEVATION, PALETTE, camera_at, to_bytes
from geomflow.viz.layers import Layer, Lines, Panel, Points, Scene, Slice, Surface, color_range

DISTANCE = 2.6
"""Distance of the camera, in plotly's units."""

WIDTH, SPACING = 1.25, 0.02
"""Width of a panel in its heights, and room between panels as a share of the page."""

DOT, LINE = 2.5, 1.5
"""Pixels of a point and of a line."""

DARK = "rgb(40,40,40)"
LIGHT = {"ambient": 0.55, "diffuse": 0.45, "specular": 0.1, "roughness": 0.7, "fresnel": 0.05}
LAMP = {"x": 30, "y": 100, "z": 0}
"""Where the light is, as the camera sees it: above and right; the farther it is, the less it falls on the front."""


def draw(scene: Scene) -> Any:
    """Return the scene as a plotly figure, steps in time with a slider.

    Args:
        scene: What is drawn.

    Raises:
        LibraryMissing: plotly is not installed.
    """
    return _animation(scene) if scene.frames else _grid(scene)


def page(scene: Scene) -> bytes:
    """Return a page as wide as its window, which holds everything that it needs, plotly's own script once.

    Args:
        scene: What is drawn.

    Raises:
        LibraryMissing: plotly is not installed.
    """
    figure, one_row = draw(scene), scene.frames or scene.shape[0] == 1
    figure.update_layout(width=None, height=None if one_row else figure.layout.height)
    options = {"displaylogo": False, "responsive": True}
    text = figure.to_html(options, include_plotlyjs=True, include_mathjax=False, default_height="96vh")
    return text.encode()


def _grid(scene: Scene) -> Any:
    rows, columns = scene.shape
    figure = library("plotly.subplots", "this page", "geomflow[viz]").make_subplots(
        rows,
        columns,
        specs=[[{"type": "scene"}] * columns] * rows,
        subplot_titles=[panel.title for panel in scene.panels],
        horizontal_spacing=SPACING / columns,
        vertical_spacing=SPACING * 3 / rows,
    )
    for i, panel in enumerate(scene.panels):
        figure.add_traces(_traces(panel, i), rows=i // columns + 1, cols=i % columns + 1)
    figure.update_scenes(_space())
    return _sized(figure, scene, rows, columns)


def _animation(scene: Scene) -> Any:
    objects = _objects()
    frames = [objects.Frame(data=_traces(panel, 0), name=str(i)) for i, panel in enumerate(scene.panels)]
    figure = objects.Figure(data=_traces(scene.panels[0], 0), frames=frames)
    steps = [
        {"label": panel.title, "method": "animate", "args": [[str(i)], _AT_ONCE]}
        for i, panel in enumerate(scene.panels)
    ]
    figure.update_layout(sliders=[{"steps": steps, "currentvalue": {"visible": False}}])
    figure.update_scenes(_space(), **_limits(scene))
    return _sized(figure, scene, 1, 1).update_layout(margin={"l": 40, "r": 40})


_AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}


def _sized(figure: Any, scene: Scene, rows: int, columns: int) -> Any:
    width = round(WIDTH * scene.height * columns)
    margin = {"l": 10, "r": 10, "t": 40, "b": 10}
    return figure.update_layout(height=scene.height * rows + 50, width=width, margin=margin, showlegend=False)


def _space() -> dict[str, Any]:
    """One camera for all panels, +y up, true proportions, no axes."""
    back = -camera_at(AZIMUTH, ELEVATION)[3]
    eye = dict(zip("xyz", (DISTANCE * back).tolist(), strict=True))
    hidden = {f"{axis}axis": {"visible": False} for axis in "xyz"}
    return {"aspectmode": "data", "camera": {"eye": eye, "up": {"x": 0, "y": 1, "z": 0}}, **hidden}


def _limits(scene: Scene) -> dict[str, Any]:
    """The same axes at every step."""
    return {f"{axis}axis_range": ends.tolist() for axis, ends in zip("xyz", scene.bounds().T, strict=True)}


def _traces(panel: Panel, number: int) -> list[Any]:
    return [_trace(layer, _css(np.array(PALETTE[number % len(PALETTE)]))) for layer in panel.layers]


def _trace(layer: Layer, color: str) -> Any:
    match layer:
        case Surface():
            return _surface(layer, color)
        case Points():
            return _points(layer, color)
        case Lines():
            return _lines(layer)
        case Slice():
            return _slice(layer)


def _surface(layer: Surface, color: str) -> Any:
    i, j, k = layer.faces.astype(np.int32).T
    paint: dict[str, Any] = {"color": color}
    if layer.colors is not None:
        paint = {"vertexcolor": to_bytes(layer.colors)}
    if layer.values is not None:
        paint = {"intensity": layer.values, **_scale(layer.values)}
    return _objects().Mesh3d(
        **_xyz(layer.vertices),
        **{"i": i, "j": j, "k": k, "opacity": layer.opacity, "hoverinfo": "skip"},
        **{"lighting": LIGHT, "lightposition": LAMP},
        **paint,
    )


def _points(layer: Points, color: str) -> Any:
    marker: dict[str, Any] = {"size": DOT, "color": color}
    if layer.colors is not None:
        marker["color"] = [_css(row) for row in layer.colors]
    if layer.values is not None:
        marker |= {"color": layer.values, **_scale(layer.values)}
    return _objects().Scatter3d(**_xyz(layer.points), mode="markers", marker=marker, hoverinfo="skip")


def _lines(layer: Lines) -> Any:
    """Starts and ends in turn, and a gap after each pair."""
    gaps = np.full_like(layer.starts, np.nan)
    path = np.stack([layer.starts, layer.ends, gaps], axis=1).reshape(-1, 3)
    return _objects().Scatter3d(**_xyz(path), mode="lines", line={"width": LINE, "color": DARK}, hoverinfo="skip")


def _slice(layer: Slice) -> Any:
    x, y, z = np.moveaxis(layer.nodes.astype(np.float32), 2, 0)
    values = layer.values.astype(np.float32)
    flat = {"ambient": 1.0, "diffuse": 0.0, "specular": 0.0}
    paint = {"surfacecolor": values, **_scale(layer.values)}
    return _objects().Surface(x=x, y=y, z=z, lighting=flat, hoverinfo="skip", **paint)


def _scale(values: np.ndarray) -> dict[str, Any]:
    name, low, high = color_range(values)
    return {"colorscale": name, "cmin": low, "cmax": high, "showscale": False}


def _xyz(places: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", places.astype(np.float32).T, strict=True))


def _css(color: np.ndarray) -> str:
    return "rgb({},{},{})".format(*to_bytes(color))


def _objects() -> Any:
    return library("plotly.graph_objects", "this page", "geomflow[viz]")
