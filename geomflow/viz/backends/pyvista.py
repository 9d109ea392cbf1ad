"""Scenes in pyvista: still pictures by OpenGL without a display, and pages by vtk.js."""

import ctypes.util
import functools
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
from PIL import Image

from geomflow.errors import LibraryMissing
from geomflow.libraries import library
from geomflow.viz.camera import AZIMUTH, ELEVATION, INK, PALETTE, camera_at, to_bytes
from geomflow.viz.layers import Layer, Lines, Panel, Points, Scene, Slice, Surface, color_range

PROBE = "import pyvista; p = pyvista.Plotter(off_screen=True); p.add_mesh(pyvista.Sphere()); p.screenshot(None)"
PROBE_SECONDS = 120

SYSTEM_LIBRARIES = {"EGL": "libegl1", "GL": "libgl1", "X11": "libx11-6"}
"""What rendering loads, and the packages of Debian and Ubuntu that have it."""


WASM_FOLDER = "VTK_WASM_DIR_OVERRIDE"
"""Variable that tells trame-vtklocal where VTK's WebAssembly files are."""


def draw(scene: Scene) -> Image.Image:
    """Return a picture of the scene.

    Args:
        scene: What is drawn.

    Raises:
        LibraryMissing: pyvista is not installed, or a system library without which it would crash.
    """
    with _plotter(scene) as plotter:
        return Image.fromarray(np.asarray(plotter.screenshot(None, return_img=True)))


def page(scene: Scene) -> bytes:
    """Return a page that turns and holds everything that it needs.

    Args:
        scene: What is drawn.

    Raises:
        LibraryMissing: pyvista, trame-pyvista or nest-asyncio2 is not installed, or a system library without which it
            would crash.
    """
    for module in ("trame_pyvista", "nest_asyncio2"):  # the latter starts trame where no notebook does
        library(module, "a page of pyvista", module.replace("_", "-"))
    with _plotter(scene) as plotter, _offline():
        return plotter.trame.export_html(None).getvalue().encode()


@contextmanager
def _plotter(scene: Scene) -> Iterator[Any]:
    pyvista = _pyvista()
    check_rendering()
    rows, columns = scene.shape
    with _quiet():
        size = (columns * scene.height, rows * scene.height)
        plotter = pyvista.Plotter(off_screen=True, shape=(rows, columns), window_size=size, border=False)
        try:
            for i, panel in enumerate(scene.panels):
                plotter.subplot(i // columns, i % columns)
                _fill(plotter, panel, PALETTE[i % len(PALETTE)])
                _look(plotter, panel, scene)
            yield plotter
        finally:
            plotter.close()


@contextmanager
def _offline() -> Iterator[None]:
    """Keep trame-vtklocal, which trame-pyvista starts, from fetching VTK's WebAssembly, of which the page has nothing.

    It takes the files from a folder instead if one is named, here an empty one, and prints its name.
    """
    if WASM_FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as empty, redirect_stdout(io.StringIO()):
        os.environ[WASM_FOLDER] = empty
        try:
            yield
        finally:
            del os.environ[WASM_FOLDER]


def check_rendering() -> None:
    """Try to render in a process of its own, once, so that a crash there is an error here.

    Raises:
        LibraryMissing: It did not work; the message names the system library that is missing, as far as is known.
    """
    if said := _failure():
        raise LibraryMissing(f"pyvista cannot render on this machine: {said}")


@functools.cache
def _failure() -> str:
    """Why rendering fails, empty if it works."""
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"a trial took over {PROBE_SECONDS} s"
    return _reason(done.returncode, done.stderr.decode(errors="replace")) if done.returncode else ""


def _reason(code: int, stderr: str) -> str:
    missing = [package for name, package in SYSTEM_LIBRARIES.items() if not ctypes.util.find_library(name)]
    if missing:
        return f"a system library is missing: apt-get install {' '.join(missing)}"
    usual = f"a system library does not load; usually apt-get install {' '.join(SYSTEM_LIBRARIES.values())} mends it"
    return f"a trial ended with exit code {code}: {usual}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out VTK's warnings, which say that there is no display."""
    logger = library("vtkmodules.vtkCommonCore", "this picture", "geomflow[viz]").vtkLogger
    before = logger.GetCurrentVerbosityCutoff()
    logger.SetStderrVerbosity(logger.VERBOSITY_ERROR)
    try:
        yield
    finally:
        logger.SetStderrVerbosity(before)


def _fill(plotter: Any, panel: Panel, color: tuple[float, ...]) -> None:
    plotter.set_background("white")
    if panel.title:
        plotter.add_text(panel.title, position="upper_edge", font_size=8, color="black")
    for layer in panel.layers:
        _add(plotter, layer, color)


def _look(plotter: Any, panel: Panel, scene: Scene) -> None:
    """Turn the camera as the ray caster's is, at a distance that shows the panel, or all steps in time."""
    eye = camera_at(AZIMUTH, ELEVATION)[0]
    plotter.camera_position = [eye, (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
    if panel.layers:
        plotter.reset_camera(bounds=scene.bounds().T.ravel() if scene.frames else None)


def _add(plotter: Any, layer: Layer, color: tuple[float, ...]) -> None:
    match layer:
        case Surface():
            data = _pyvista().PolyData.from_regular_faces(layer.vertices, layer.faces)
            paint = _paint(layer.values, layer.colors, color)
            plotter.add_mesh(data, smooth_shading=True, split_sharp_edges=True, opacity=layer.opacity, **paint)
        case Points():
            paint = _paint(layer.values, layer.colors, color)
            plotter.add_mesh(_pyvista().PolyData(layer.points), style="points", point_size=4, **paint)
        case Lines():
            ends = np.stack([layer.starts, layer.ends], axis=1).reshape(-1, 3)
            plotter.add_mesh(_pyvista().line_segments_from_points(ends), color=INK, line_width=1)
        case Slice():
            grid = _pyvista().StructuredGrid(*np.moveaxis(layer.nodes, 2, 0))
            values = layer.values.ravel(order="F")
            plotter.add_mesh(grid, lighting=False, **_paint(values, None, color))


def _paint(values: np.ndarray | None, colors: np.ndarray | None, color: tuple[float, ...]) -> dict[str, Any]:
    if values is not None:
        name, low, high = color_range(values)
        return {"scalars": values, "cmap": name, "clim": (low, high), "show_scalar_bar": False}
    if colors is not None:
        return {"scalars": to_bytes(colors), "rgb": True}
    return {"color": color}


def _pyvista() -> Any:
    return library("pyvista", "this picture", "geomflow[viz]")
