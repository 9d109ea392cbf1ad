"""Meshes and clouds to PyTorch3D's batches and back, with their normals and the colours of their vertices."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from geomflow.interop._carried import (
    Shape,
    cloud_with,
    color_bytes,
    logger,
    mesh_with,
    normals_of,
    shape_of,
    shares,
    vertex_colors_of,
)
from geomflow.libraries import library

INSTALL = "git+https://github.com/facebookresearch/pytorch3d.git@stable"
"""What pip is to be given, which compiles it; `conda install -c conda-forge pytorch3d` is the short way."""


def to_pytorch3d(
    shapes: Sequence[trimesh.Trimesh] | Sequence[trimesh.PointCloud] | Sequence[np.ndarray],
    device: str = "cpu",
    normals: bool = False,
) -> Any:
    """Return meshes as `pytorch3d.structures.Meshes`, clouds or arrays of points (n, 3) as `Pointclouds`.

    Coordinates become float32, faces int64. Vertex colours become `TexturesVertex` (of clouds: features) with red,
    green and blue from 0 to 1.

    Args:
        shapes: Meshes alone, or clouds alone.
        device: A torch device name.
        normals: Whether vertex normals of meshes go with them: given ones, else trimesh computes them.
            Those of clouds always do.

    Raises:
        TypeError: A shape is neither, or both kinds are there.
        ValueError: Some shapes have colours (clouds: or normals) and others have none.
        LibraryMissing: PyTorch3D is not installed (`conda install -c conda-forge pytorch3d`).
    """
    structures = library("pytorch3d.structures", "to_pytorch3d", INSTALL)
    ours = [shape_of(shape) for shape in shapes]
    meshes = [shape for shape in ours if isinstance(shape, trimesh.Trimesh)]
    if meshes and len(meshes) < len(ours):
        raise TypeError(
            f"shapes must be meshes or clouds, given {len(meshes)} meshes and {len(ours) - len(meshes)} clouds"
        )
    points = _tensors([np.asarray(shape.vertices) for shape in ours], device)
    colors = _of_all([vertex_colors_of(shape, "PyTorch3D") for shape in ours], "colours")
    features = colors and _tensors([shares(rows[:, :3]) for rows in colors], device)
    if not meshes:
        given = _of_all([normals_of(shape, normals) for shape in ours], "normals")
        return structures.Pointclouds(points, given and _tensors(given, device), features)
    faces = [torch.tensor(np.asarray(mesh.faces), dtype=torch.int64, device=device) for mesh in meshes]
    textures = library("pytorch3d.renderer", "vertex colours", INSTALL).TexturesVertex(features) if features else None
    directions = _tensors([np.asarray(mesh.vertex_normals) for mesh in meshes], device) if normals else None
    return structures.Meshes(points, faces, textures, verts_normals=directions)


def from_pytorch3d(batch: Any) -> list[Shape]:
    """Return the meshes of a `Meshes` as `trimesh.Trimesh`, the clouds of a `Pointclouds` as `trimesh.PointCloud`.

    Normals of meshes are returned if PyTorch3D has them already, those of clouds under `normals` in their metadata.
    Textures other than `TexturesVertex`, and features that are no colours (3 or 4 columns), are left out.

    Args:
        batch: A `Meshes` or a `Pointclouds`, on any device.

    Raises:
        TypeError: It is neither.
        LibraryMissing: PyTorch3D is not installed (`conda install -c conda-forge pytorch3d`).
    """
    structures = library("pytorch3d.structures", "from_pytorch3d", INSTALL)
    if isinstance(batch, structures.Meshes):
        normals = batch.verts_normals_list() if batch.has_verts_normals() else None
        columns = batch.verts_list(), batch.faces_list(), normals, _colors(_features(batch.textures))
        return [mesh_with(*carried) for carried in _rows(*columns)]
    if isinstance(batch, structures.Pointclouds):
        columns = batch.points_list(), batch.normals_list(), _colors(batch.features_list())
        return [cloud_with(*carried) for carried in _rows(*columns)]
    raise TypeError(f"batch must be PyTorch3D's Meshes or Pointclouds, given a {type(batch).__name__}")


def _tensors(arrays: Sequence[np.ndarray], device: str) -> list[Tensor]:
    return [torch.tensor(array, dtype=torch.float32, device=device) for array in arrays]


def _rows(points: Sequence[Tensor], *columns: Sequence[Tensor] | None) -> Iterator[tuple[Any, ...]]:
    """The arrays of one shape after the other, None where the batch has none."""
    every = [[None] * len(points) if column is None else column for column in (points, *columns)]
    for row in zip(*every, strict=True):
        yield tuple(None if part is None else part.detach().cpu().numpy() for part in row)


def _of_all(found: list[np.ndarray | None], what: str) -> list[np.ndarray] | None:
    """What every shape has, None if none has it.

    Raises:
        ValueError: Some have it.
    """
    present = [rows for rows in found if rows is not None]
    if present and len(present) < len(found):
        raise ValueError(f"shapes must all have {what} or none, given {len(present)} of {len(found)} with {what}")
    return present or None


def _features(textures: Any) -> Sequence[Tensor] | None:
    """What the vertices of meshes are textured with."""
    if textures is None or hasattr(textures, "verts_features_list"):
        return None if textures is None else textures.verts_features_list()
    logger.warning("%s is left out: only TexturesVertex is kept", type(textures).__name__)
    return None


def _colors(features: Sequence[Tensor] | None) -> Sequence[Tensor] | None:
    """Features that are colours, as bytes."""
    if features and features[0].shape[1] not in (3, 4):
        logger.warning("features of %d numbers are left out: colours have 3 or 4", features[0].shape[1])
        return None
    return [torch.from_numpy(color_bytes(rows.detach().cpu().numpy())) for rows in features] if features else None
