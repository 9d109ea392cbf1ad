"""The two doors to pictures that turn: `show` for notebooks, `save_html` for pages."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from geomflow.files import write_atomically
from geomflow.viz.layers import Scene
from geomflow.viz.scene import scene_of

BACKENDS = ("plotly", "pyvista", "matplotlib")
PAGE_BACKENDS = ("plotly", "pyvista")
PAGE_SUFFIXES = (".html", ".htm")


def show(x: Any, backend: str = "plotly", **options: Any) -> Any:
    """Return a figure of something, which a notebook shows where it is the last line of a cell.

    Args:
        x: What `scene_of` takes, or a scene that it made.
        backend: `plotly` turns, `pyvista` is a picture by OpenGL, `matplotlib` one that needs no system library.
        options: Those of `scene_of`.

    Raises:
        TypeError: x is nothing that can be drawn; the message names what can.
        ValueError: Unknown backend, nothing to draw, or an option that does not fit.
        LibraryMissing: The backend is not installed.
    """
    return _backend(backend, BACKENDS).draw(_scene(x, options))


def save_html(x: Any, path: str | Path, backend: str = "plotly", **options: Any) -> None:
    """Write a page that turns, as one file that opens offline; it appears whole or not at all.

    Args:
        x: What `scene_of` takes, or a scene that it made.
        path: .html file.
        backend: `plotly` or `pyvista`.
        options: Those of `scene_of`.

    Raises:
        TypeError: x is nothing that can be drawn; the message names what can.
        ValueError: Unknown backend, a path that is no .html file, nothing to draw, or an option that does not fit.
        LibraryMissing: The backend is not installed.
        OSError: The file cannot be written.
    """
    drawer = _backend(backend, PAGE_BACKENDS)
    check_path(path, PAGE_SUFFIXES)
    write_atomically(Path(path), drawer.page(_scene(x, options)))


def check_path(path: str | Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a path at which no such file can be written, before anything is computed.

    Args:
        path: The file to be.
        suffixes: Those that it may have, with their dots.

    Raises:
        ValueError: Another suffix, a folder, or something in a place where a folder would have to be.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: wanted a file ending in {', '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"{path}: wanted a file, found a folder")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise ValueError(f"{path}: wanted a folder at {above}, found a file")


def _scene(x: Any, options: dict[str, Any]) -> Scene:
    if not isinstance(x, Scene):
        return scene_of(x, **options)
    if options:
        raise ValueError(f"options are for scene_of, and x is a scene already, given {', '.join(options)}")
    return x


def _backend(name: str, known: tuple[str, ...]) -> ModuleType:
    if name not in known:
        raise ValueError(f"backend must be one of {', '.join(known)}, given {name!r}")
    return importlib.import_module(f"geomflow.viz.backends.{name}")
