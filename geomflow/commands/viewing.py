"""Verb for looking: a page that opens offline, a picture or a film."""

from pathlib import Path
from typing import Any, Literal

import tyro

from geomflow.commands._common import say
from geomflow.errors import ConfigError

SUFFIXES = (".html", ".htm", ".png", ".gif", ".mp4")


def view(
    path: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    backend: Literal["plotly", "pyvista"] = "plotly",
    limit: int = 24,
    columns: int = 4,
) -> None:
    """Draw a file, or the files of a folder as a gallery.

    Args:
        path: Mesh, points, grid of distances (.npy, .safetensors) or shape record; or a folder of them, which may be
            that of generated shapes or a prepared dataset.
        out: .html for a page that turns and opens offline, .png for a sheet, .gif or .mp4 for one mesh that turns.
        backend: What draws a page.
        limit: Files of a folder that are drawn, at most.
        columns: Panels per row.

    Raises:
        ConfigError: No columns, or a backend for what is no page.
    """
    from geomflow.viz.display import PAGE_SUFFIXES, check_path, save_html
    from geomflow.viz.files import find
    from geomflow.viz.turning import turntable

    check_path(out, SUFFIXES)
    if columns < 1:
        raise ConfigError(f"--columns must be at least 1, given {columns}")
    if backend != "plotly" and out.suffix.lower() not in PAGE_SUFFIXES:
        raise ConfigError(f"--backend draws pages ({', '.join(PAGE_SUFFIXES)}), given {out}")
    found = find(path, limit)
    for name, reason in found.unreadable.items():
        say(f"skipped {name}: {reason}")
    if out.suffix.lower() == ".png":
        _save_sheet(found.items, out, columns)
    elif out.suffix.lower() in (".gif", ".mp4"):
        turntable(_only_mesh(found.items, path), out)
    else:
        save_html(found.items, out, backend, titles=found.titles, columns=columns)
    left_out = f", {found.left_out} more left out (--limit)" if found.left_out else ""
    say(f"wrote {out}: {len(found.items)} drawn{left_out}")


def _save_sheet(items: list[Any], out: Path, columns: int) -> None:
    from geomflow.viz.sheets import save_png, tiled

    save_png(tiled([_picture(item, i) for i, item in enumerate(items)], min(columns, len(items))), out)


def _picture(item: Any, number: int) -> Any:
    """A mesh or a grid's surface by the ray caster, points as dots."""
    from geomflow.viz.camera import PALETTE
    from geomflow.viz.dots import render_points
    from geomflow.viz.panel import cloud_of
    from geomflow.viz.ray_caster import render

    mesh = _surface_of(item)
    if mesh is not None:
        return render(mesh, color=PALETTE[number % len(PALETTE)])
    points, colors = cloud_of(item)
    return render_points(points, colors=colors)


def _only_mesh(items: list[Any], path: Path) -> Any:
    if len(items) != 1:
        raise ConfigError(f"{path}: wanted one mesh for a film, found {len(items)} things to draw; try .html or .png")
    mesh = _surface_of(items[0])
    if mesh is None:
        raise ConfigError(f"{path}: wanted a mesh for a film, found points; try .html or .png")
    return mesh


def _surface_of(item: Any) -> Any:
    """A mesh, or a grid's surface, in the unit frame; None of points."""
    import trimesh

    from geomflow.geometry.extract import extract_mesh
    from geomflow.geometry.frame import normalize
    from geomflow.geometry.grid import SdfGrid

    mesh = extract_mesh(item) if isinstance(item, SdfGrid) else item
    return normalize(mesh).mesh if isinstance(mesh, trimesh.Trimesh) else None
