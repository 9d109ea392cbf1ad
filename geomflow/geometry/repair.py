"""Repair: the least change that makes one closed solid of a mesh, tried rung by rung until one passes.

`fill` closes holes by triangles and turns faces the right way round. `remesh` extracts the zero level of the mesh's
signed distance, whose sign comes from the winding number and so bridges what is open, and closes gaps between pieces:
what a ball as wide as the gap cannot enter from outside becomes solid (a morphological closing by two offsets).
The surface is then as fine as the extraction's grid.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import trimesh

from geomflow.errors import EmptySurface
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.frame import normalize
from geomflow.geometry.grid import Field
from geomflow.geometry.orient import orient
from geomflow.geometry.solid import SolidReport, keep_largest, solid_report

Rung = Literal["none", "fill", "remesh"]
RUNGS: tuple[Rung, ...] = ("none", "fill", "remesh")

DUST = 1e-3
"""Share of the largest body's volume under which a body of a remeshed surface is what a grid makes of slivers."""

GAPS = (0.0, 0.02, 0.05, 0.1)
"""Widths of gaps that remeshing closes, tried one after the other, in half extents of the mesh."""


class Repaired(NamedTuple):
    """A mesh, the rung that it came from (`none` if it was left as it was), and its report."""

    mesh: trimesh.Trimesh
    rung: str
    report: SolidReport


def repair(mesh: trimesh.Trimesh, up_to: Rung = "remesh", resolution: int = 128) -> Repaired:
    """Return the mesh as the first rung leaves it that makes it pass the solid report; if none does, as it was.

    Args:
        mesh: Any mesh with faces, in any frame; it is not changed.
        up_to: Last rung that may be tried.
        resolution: Samples per axis of a remeshing.

    Raises:
        TypeError: It is no mesh.
        ValueError: An unknown rung.
    """
    if up_to not in RUNGS:
        raise ValueError(f"repair must be one of {', '.join(RUNGS)}, given {up_to!r}")
    before = solid_report(mesh)
    if not before.passes and len(mesh.faces):
        for rung, changed in _attempts(mesh, up_to, resolution):
            report = solid_report(changed)
            if report.passes:
                return Repaired(changed, rung, report)
    return Repaired(mesh, "none", before)


def fill(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return a welded copy with consistent, outward faces whose holes are closed by triangles as far as they can be.

    Args:
        mesh: The mesh.

    Raises:
        TypeError: It is no mesh.
    """
    filled = orient(mesh).mesh
    trimesh.repair.fill_holes(filled)
    return orient(filled).mesh


def remesh(mesh: trimesh.Trimesh, resolution: int = 128, gap: float = 0.0) -> trimesh.Trimesh:
    """Return the surface of the solid that the mesh's winding number sees, gaps up to a width closed.

    Args:
        mesh: Any mesh with faces, in any frame; it is not changed.
        resolution: Samples per axis of the extraction; vertices are linear interpolations on its grid.
        gap: Width of gaps to close, in half extents of the mesh.

    Raises:
        TypeError: It is no mesh.
        EmptySurface: The mesh encloses nothing that the grid can see.
    """
    return next(_remeshed(mesh, resolution, (gap,)))


def _attempts(mesh: trimesh.Trimesh, up_to: Rung, resolution: int) -> Iterator[tuple[Rung, trimesh.Trimesh]]:
    """What the rungs make of a mesh, from the least change on."""
    if up_to != "none":
        yield "fill", fill(mesh)
    if up_to == "remesh":
        with contextlib.suppress(EmptySurface):
            for changed in _remeshed(mesh, resolution, GAPS):
                yield "remesh", keep_largest(changed, DUST)[0]


def _remeshed(mesh: trimesh.Trimesh, resolution: int, gaps: Sequence[float]) -> Iterator[trimesh.Trimesh]:
    """The surface of what the winding number sees, with gaps of each width closed."""
    unit, frame = normalize(mesh)
    solid = _distance(unit)
    for gap in gaps:
        found = extract_mesh(_closed(solid, gap / 2, resolution) if gap else solid, resolution)
        yield trimesh.Trimesh(frame.undo(np.asarray(found.vertices)), found.faces, process=False)


def _distance(mesh: trimesh.Trimesh) -> Field:
    field = SignedDistanceField(mesh, internal_walls=False)
    return lambda points: field(points).distance


def _closed(solid: Field, radius: float, resolution: int) -> Field:
    """The union of a solid and its closing by a ball: grown by the radius, and that shrunk by the radius again."""
    grown = _distance(extract_mesh(solid, resolution, level=radius))
    return lambda points: np.minimum(solid(points), grown(points) + radius)
