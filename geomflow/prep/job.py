"""The job: one mesh file to one shape record, deterministic in the file's bytes and the recipe."""

import hashlib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import trimesh

from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import normalize
from geomflow.geometry.grid import sdf_grid
from geomflow.geometry.read import read_surface
from geomflow.geometry.surface import sample_surface
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source, local_file
from geomflow.records import RecordHeader, ShapeRecord
from geomflow.version import __version__

DECIDING_LIBRARIES = ("numpy", "trimesh", "point-cloud-utils", "warp-lang")


def make_record(source: Source, recipe: Recipe) -> ShapeRecord:
    """Return the shape record of one source mesh.

    Raises:
        MeshError: The file gives no usable surface; the message says why.
    """
    with local_file(source.path) as file:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        mesh = read_surface(file)
    arrays = sample(upright(mesh, source.up, source.yaw), recipe, seed=int(digest[:8], 16) + recipe.seed)
    header = RecordHeader(
        id=source.id,
        source=Path(source.path).name,
        sha256=digest,
        class_name=source.class_name,
        split=source.split,
        up=source.up,
        yaw=source.yaw,
        recipe=asdict(recipe),
        recipe_hash=recipe.hash,
        frame=recipe.frame,
        quality=quality(mesh),
        versions={"geomflow": __version__, **{name: version(name) for name in DECIDING_LIBRARIES}},
    )
    return ShapeRecord(header=header, **arrays)


def sample(mesh: trimesh.Trimesh, recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """Return all arrays of a record, by name, for a mesh in any frame."""
    unit, frame = normalize(mesh, recipe.frame, recipe.margin)
    field = SignedDistanceField(unit, internal_walls=recipe.internal_walls)
    boundary = unit if recipe.internal_walls else field.boundary()
    rng = np.random.default_rng(seed)
    surface = sample_surface(boundary, recipe.surface_points, seed)
    near = _near(sample_surface(boundary, recipe.near_points, seed + 1).points, recipe.near_sigma, rng)
    volume = rng.uniform(-1, 1, (recipe.volume_points, 3)).astype(np.float32)
    near_sdf, vol_sdf = field(near), field(volume)
    grid = sdf_grid(field, recipe.resolution, recipe.band).values.astype(np.float16) if recipe.resolution else None
    return {
        "surface_points": surface.points.astype(np.float32),
        "surface_normals": surface.normals.astype(np.float32),
        "vol_points": volume,
        "vol_sdf": vol_sdf.distance,
        "vol_confidence": vol_sdf.confidence,
        "near_points": near,
        "near_sdf": near_sdf.distance,
        "near_confidence": near_sdf.confidence,
        "vertices": np.asarray(unit.vertices, dtype=np.float32),
        "faces": np.asarray(unit.faces, dtype=np.int32),
        "shifts": frame.shift,
        "scale": np.array([frame.scale]),
        **({} if grid is None else {"sdf_grid": grid}),
    }


def upright(mesh: trimesh.Trimesh, up: str, yaw: float) -> trimesh.Trimesh:
    """Return the mesh turned so that +y is up and, after `yaw` degrees about +y, its front is +z.

    Raises:
        ValueError: `up` is neither `y` nor `z`.
    """
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', not {up!r}")
    vertices = np.asarray(mesh.vertices)
    vertices = vertices if up == "y" else vertices[:, [0, 2, 1]] * [1, 1, -1]
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned = vertices @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return trimesh.Trimesh(turned, mesh.faces, process=False)


def quality(mesh: trimesh.Trimesh) -> dict[str, bool | int]:
    """Return counts and flags of a mesh as it was read, after welding equal vertices."""
    welded = trimesh.Trimesh(np.array(mesh.vertices), np.array(mesh.faces), process=False)
    welded.merge_vertices(merge_tex=True, merge_norm=True)
    return {
        "faces": len(mesh.faces),
        "bodies": int(welded.body_count),
        "watertight": bool(welded.is_watertight),
        "winding_consistent": bool(welded.is_winding_consistent),
    }


def _near(points: np.ndarray, sigmas: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Points moved by Gaussian offsets, the standard deviations taken in turn, kept inside the cube."""
    sigma = np.resize(np.asarray(sigmas), len(points))[:, None]
    return (points + sigma * rng.standard_normal(points.shape)).clip(-1, 1).astype(np.float32)
