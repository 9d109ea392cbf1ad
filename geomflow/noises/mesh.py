"""Noise uniform on the surface of a mesh, moved and scaled to zero mean and unit variance per coordinate on average."""

from collections.abc import Sequence

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from geomflow.geometry.read import read_surface
from geomflow.noises._space import in_space
from geomflow.ops import sample_points_from_meshes


class MeshNoise(nn.Module):
    """Positions uniform on a mesh, which is part of the state, so that a checkpoint needs no other file.

    Args:
        vertices: Number of vertices.
        faces: Number of faces.
    """

    vertices: Tensor
    faces: Tensor

    def __init__(self, vertices: int, faces: int) -> None:
        super().__init__()
        self.register_buffer("vertices", torch.zeros(vertices, 3))
        self.register_buffer("faces", torch.zeros(faces, 3, dtype=torch.int64))

    @property
    def sizes(self) -> dict[str, int]:
        """Options that make room for the same mesh without its file."""
        return {"vertices": len(self.vertices), "faces": len(self.faces)}

    def fill(self, mesh: trimesh.Trimesh) -> None:
        """Take a mesh with as many vertices and faces as this has room for.

        Args:
            mesh: The mesh.
        """
        mean, spread = _moments(mesh)
        self.vertices.copy_(torch.from_numpy((np.asarray(mesh.vertices) - mean) / spread))
        self.faces.copy_(torch.from_numpy(np.asarray(mesh.faces)))

    def forward(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None,
        dtype: torch.dtype,
        device: torch.device | None,
    ) -> Tensor:
        """Return noise of a shape (*, channels).

        Args:
            shape: Shape of the result.
            generator: Source of the noise; torch's own if None.
            dtype: Type of the result.
            device: Where the result goes; the noise's own place if None.
        """
        return in_space(self._draw, shape, generator, dtype, device)

    def _draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return sample_points_from_meshes(self.vertices[None], self.faces[None], count, generator=generator)[0]


def make(file: str = "", vertices: int = 0, faces: int = 0) -> MeshNoise:
    """The surface of a mesh.

    Args:
        file: Mesh file.
        vertices: Number of its vertices, in place of the file: the mesh itself comes with the checkpoint.
        faces: Number of its faces.

    Raises:
        MeshError: The file cannot be read, or is no mesh.
    """
    if vertices and faces:
        return MeshNoise(vertices, faces)
    mesh = read_surface(file)
    noise = MeshNoise(len(mesh.vertices), len(mesh.faces))
    noise.fill(mesh)
    return noise


def _moments(mesh: trimesh.Trimesh) -> tuple[np.ndarray, float]:
    """Mean position on the surface, and root of the mean variance of a coordinate, exactly.

    Over a triangle with corners a, b, c and centroid m the mean of |x|^2 is (|a|^2 + |b|^2 + |c|^2 + 9 |m|^2) / 12.
    """
    area, corners = mesh.area_faces / mesh.area, np.asarray(mesh.triangles)
    centroids = corners.mean(axis=1)
    mean = area @ centroids
    square = (np.square(corners - mean).sum(axis=(1, 2)) + 9 * np.square(centroids - mean).sum(axis=1)) / 12
    return mean, float(np.sqrt(area @ square / 3))
