"""Shapes that carry something, and what must come back of them."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from geomflow.interop._carried import colors_of


def library(module: str, install: str):
    """A library that a test needs, or the reason why it does not run and what would make it."""
    return pytest.importorskip(module, reason=f"{module.split('.')[0]} is not installed: pip install {install}")


def tilted(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit normals that nobody could compute from the points."""
    normals = points + rng.normal(size=points.shape)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def painted_mesh(seed: int = 0) -> trimesh.Trimesh:
    """A torus with normals and opaque colours at its vertices, none of which could be guessed."""
    rng, torus = np.random.default_rng(seed), trimesh.creation.torus(0.6, 0.25)
    colors = rng.integers(0, 256, (len(torus.vertices), 4), dtype=np.uint8)
    colors[:, 3] = 255
    normals = tilted(torus.vertices, rng)
    return trimesh.Trimesh(torus.vertices, torus.faces, vertex_normals=normals, vertex_colors=colors, process=False)


def painted_cloud(seed: int = 0) -> trimesh.PointCloud:
    """The vertices of that torus."""
    mesh = painted_mesh(seed)
    normals = {"normals": np.array(mesh.vertex_normals)}
    return trimesh.PointCloud(np.array(mesh.vertices), colors=np.array(mesh.visual.vertex_colors), metadata=normals)


def textured_mesh() -> trimesh.Trimesh:
    """A box with an image on it."""
    box = trimesh.creation.box()
    picture = Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8))
    box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2] + 0.5, image=picture)
    return box


def assert_same(ours, back, single: bool = False) -> None:
    """The same kind of shape with the same arrays, up to float32 where that is the library's type."""

    def stored(values):
        return np.asarray(values, dtype=np.float32 if single else np.float64)

    assert type(back) is type(ours)
    np.testing.assert_array_equal(stored(back.vertices), stored(ours.vertices))
    np.testing.assert_array_equal(back.visual.vertex_colors, ours.visual.vertex_colors)
    if isinstance(ours, trimesh.Trimesh):
        np.testing.assert_array_equal(back.faces, ours.faces)
        assert "vertex_normals" in back._cache
        np.testing.assert_array_equal(stored(back.vertex_normals), stored(ours.vertex_normals))
    else:
        np.testing.assert_array_equal(stored(back.metadata["normals"]), stored(ours.metadata["normals"]))


def bare(shape) -> bool:
    """Whether a shape carries neither normals nor colours."""
    return "vertex_normals" not in shape._cache and "normals" not in shape.metadata and colors_of(shape) is None
