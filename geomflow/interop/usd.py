"""A mesh as a USD stage: points, faces, normals and display colours, y up, in metres or another unit."""

import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import trimesh

from geomflow.files import write_atomically
from geomflow.geometry.mesh_type import check_mesh
from geomflow.interop._carried import colors_of, shares, warn_of_attributes, warn_of_colors
from geomflow.libraries import library

WRITABLE = (".usda", ".usdc", ".usd")


def write_usd(mesh: trimesh.Trimesh, path: str | Path, meters_per_unit: float = 1.0, normals: bool = False) -> None:
    """Write a mesh as the default prim `/mesh` of a stage: text (.usda) or binary (.usdc, .usd), +y up.

    Coordinates become float32. Colours are red, green and blue as shares of 255, of vertices or of faces; where some
    are not opaque, their opacity is written, too. The mesh is no subdivision surface: it looks as it is.
    A texture and named attributes are left out with a logged warning.

    Args:
        mesh: The mesh.
        path: File to write, whole or not at all.
        meters_per_unit: Length of the mesh's unit in metres.
        normals: Whether the vertex normals are written: given ones, else trimesh computes them.

    Raises:
        TypeError: It is no mesh.
        ValueError: A mesh without faces, another suffix than those of `WRITABLE`, or a unit that is not positive.
        OSError: The file cannot be written or the disk is full; nothing is left behind.
        LibraryMissing: usd-core is not installed.
    """
    path = Path(path)
    check_mesh(mesh)
    if not len(mesh.faces):
        raise ValueError("mesh must have faces, given one without any")
    if path.suffix.lower() not in WRITABLE:
        raise ValueError(f"{path}: wanted one of {', '.join(WRITABLE)}, given {path.suffix or 'no suffix'!r}")
    if not meters_per_unit > 0:
        raise ValueError(f"meters_per_unit must be positive, given {meters_per_unit}")
    stage = _stage(mesh, meters_per_unit, normals)
    write_atomically(path, _content(stage, path.suffix.lower()))


def _stage(mesh: trimesh.Trimesh, meters_per_unit: float, normals: bool) -> Any:
    """A stage in memory that holds the mesh."""
    usd, geom, vt = (_pxr(name) for name in ("Usd", "UsdGeom", "Vt"))
    stage = usd.Stage.CreateInMemory()
    geom.SetStageUpAxis(stage, geom.Tokens.y)
    geom.SetStageMetersPerUnit(stage, meters_per_unit)
    prim = geom.Mesh.Define(stage, "/mesh")
    stage.SetDefaultPrim(prim.GetPrim())
    points = np.asarray(mesh.vertices, dtype=np.float32)
    prim.CreateSubdivisionSchemeAttr(geom.Tokens.none)
    prim.CreatePointsAttr(vt.Vec3fArray.FromNumpy(points))
    prim.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, dtype=np.int32)))
    prim.CreateFaceVertexIndicesAttr(vt.IntArray.FromNumpy(np.asarray(mesh.faces, dtype=np.int32).ravel()))
    prim.CreateExtentAttr(vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
    if normals:
        prim.CreateNormalsAttr(vt.Vec3fArray.FromNumpy(np.asarray(mesh.vertex_normals, dtype=np.float32)))
    _paint(prim, mesh)
    return stage


def _paint(prim: Any, mesh: trimesh.Trimesh) -> None:
    """Give the mesh the display colours, and opacities, of its vertices or faces."""
    tokens, vt = _pxr("UsdGeom").Tokens, _pxr("Vt")
    warn_of_colors(mesh, "USD", faces=True)
    warn_of_attributes(mesh, "USD")
    of_faces = colors_of(mesh, "face")
    colors = colors_of(mesh) if of_faces is None else of_faces
    if colors is None:
        return
    where, values = tokens.vertex if of_faces is None else tokens.uniform, shares(colors).astype(np.float32)
    prim.CreateDisplayColorPrimvar(where).Set(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values[:, :3])))
    if (colors[:, 3] < 255).any():
        prim.CreateDisplayOpacityPrimvar(where).Set(vt.FloatArray.FromNumpy(np.ascontiguousarray(values[:, 3])))


def _content(stage: Any, suffix: str) -> bytes:
    """The bytes of a stage as a file of a suffix."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"mesh{suffix}"
        stage.GetRootLayer().Export(str(file))
        return file.read_bytes()


def _pxr(name: str) -> ModuleType:
    return library(f"pxr.{name}", "write_usd", "geomflow[usd]")
