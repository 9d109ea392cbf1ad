"""The job: one mesh file to one shape record, deterministic in the file's bytes and the recipe."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Shaped

from geomflow.errors import MeshChanged
from geomflow.files import sha256_of
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import normalize, similarity_of
from geomflow.geometry.grid import sdf_grid
from geomflow.geometry.read import read_mesh, read_surface
from geomflow.geometry.rig import Rig, read_rig
from geomflow.geometry.sharp import sample_sharp_edges
from geomflow.geometry.surface import sample_surface
from geomflow.prep.quality import doubt, examine
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source, local_file
from geomflow.records import RecordHeader, ShapeRecord
from geomflow.version import __version__

DECIDING_LIBRARIES = ("numpy", "safetensors", "scipy", "trimesh", "warp-lang")


def make_record(source: Source, recipe: Recipe, device: str = "cpu") -> ShapeRecord:
    """Return the shape record of one source.

    Args:
        source: Where the mesh is and what is said about it.
        recipe: Options of the record.
        device: Where distances are computed, a Warp device; another one may round the last bits differently.

    Raises:
        MeshError: The file gives no usable surface, or not the one whose hash was given; the message says why.
    """
    with local_file(source.path) as file:
        digest = _digest(source, file)
        arrays, facts = _made(file, source, recipe, int(digest[:8], 16), device)
    header = RecordHeader(
        id=source.id,
        source=Path(source.path).name,
        sha256=digest,
        class_name=source.class_name,
        split=source.split,
        license=source.license,
        creator=source.creator,
        up=source.up,
        yaw=source.yaw,
        recipe=asdict(recipe),
        recipe_hash=recipe.hash,
        frame=recipe.frame,
        versions={"geomflow": __version__, "device": device, **{name: version(name) for name in DECIDING_LIBRARIES}},
        **facts,
    )
    return ShapeRecord(header=header, **arrays)


def sample(mesh: trimesh.Trimesh, recipe: Recipe, seed: int, device: str = "cpu") -> dict[str, np.ndarray]:
    """Return all arrays of a record but a rig's, by name, for a mesh in any frame.

    Args:
        mesh: The mesh.
        recipe: How many samples of which kind.
        seed: Seed of the samples.
        device: A torch device name.
    """
    unit, frame = normalize(mesh, recipe.frame, recipe.margin)
    field = SignedDistanceField(unit, recipe.internal_walls, device)
    boundary = unit if recipe.internal_walls else field.boundary()
    seeds = [int(word) for word in np.random.SeedSequence([seed, recipe.seed]).generate_state(4)]
    rng = np.random.default_rng(seeds[0])
    surface = sample_surface(boundary, recipe.surface_points, seeds[1])
    near = _near(sample_surface(boundary, recipe.near_points, seeds[2]).points, recipe.near_sigma, rng)
    volume = rng.uniform(-1, 1, (recipe.volume_points, 3)).astype(np.float32)
    distance, confidence = field(np.concatenate([near, volume]))  # at once, so that they share what is found
    near_sdf, vol_sdf = np.split(distance, [len(near)])
    near_confidence, vol_confidence = np.split(confidence, [len(near)])
    arrays = {
        "surface_points": surface.points.astype(np.float32),
        "surface_normals": surface.normals.astype(np.float32),
        "vol_points": volume,
        "vol_sdf": vol_sdf,
        "vol_confidence": vol_confidence,
        "near_points": near,
        "near_sdf": near_sdf,
        "near_confidence": near_confidence,
        "vertices": np.asarray(unit.vertices, dtype=np.float32),
        "faces": np.asarray(unit.faces, dtype=np.int32),
        "shifts": frame.shift,
        "scale": np.array([frame.scale]),
    }
    if recipe.sharp_points:
        sharp = sample_sharp_edges(boundary, recipe.sharp_points, seeds[3])
        arrays |= {"sharp_points": sharp.points.astype(np.float32), "sharp_normals": sharp.normals.astype(np.float32)}
    if recipe.resolution:
        arrays["sdf_grid"] = sdf_grid(field, recipe.resolution, recipe.band).values.astype(np.float16)
    return arrays


def sample_cloud(points: Shaped[np.ndarray, "n 3"], recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of a record of points: as many of them as surface points are wanted, in random order.

    Args:
        points: Points in any frame.
        recipe: How many samples of which kind.
        seed: Seed of the samples.
    """
    frame = similarity_of(points, recipe.frame, recipe.margin)
    chosen = np.random.default_rng([seed, recipe.seed]).permutation(len(points))[: recipe.surface_points]
    none, nowhere = np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.float32)
    return {
        "surface_points": frame.apply(points[chosen]).astype(np.float32),
        **dict.fromkeys(("surface_normals", "vol_points", "near_points", "vertices"), none),
        **dict.fromkeys(("vol_sdf", "vol_confidence", "near_sdf", "near_confidence"), nowhere),
        "faces": np.zeros((0, 3), dtype=np.int32),
        "shifts": frame.shift,
        "scale": np.array([frame.scale]),
    }


def upright(mesh: trimesh.Trimesh, up: str, yaw: float) -> trimesh.Trimesh:
    """Return the mesh turned so that +y is up and, after `yaw` degrees about +y, its front is +z.

    Args:
        mesh: The mesh.
        up: Axis that points up in the mesh, `y` or `z`.
        yaw: Degrees about +y that bring its front to +z.

    Raises:
        ValueError: `up` is neither `y` nor `z`.
    """
    return trimesh.Trimesh(_upright(np.asarray(mesh.vertices), up, yaw), mesh.faces, process=False)


def _upright(points: np.ndarray, up: str, yaw: float) -> Float[np.ndarray, "n 3"]:
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', not {up!r}")
    points = points if up == "y" else points[:, [0, 2, 1]] * [1, 1, -1]
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return points @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


def _made(
    file: Path, source: Source, recipe: Recipe, seed: int, device: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a record, and what its header says of them."""
    found, rig = read_rig(file) if recipe.rig else (read_mesh(file) if recipe.clouds else read_surface(file), None)
    if isinstance(found, trimesh.PointCloud):
        points = _upright(np.asarray(found.vertices), source.up, source.yaw)
        return sample_cloud(points, recipe, seed), {"sign_method": "none", "quality": {"points": len(points)}}
    arrays = sample(upright(found, source.up, source.yaw), recipe, seed, device)
    inside = round(float((arrays["vol_sdf"] < 0).mean()), 6) if recipe.volume_points else None
    quality = {**examine(found), "doubt": doubt(arrays["near_confidence"]), "inside": inside}
    if rig is None:
        return arrays, {"quality": quality}
    return {**arrays, **_rigged(rig, source, arrays)}, {"quality": quality, "joint_names": rig.names}


def _rigged(rig: Rig, source: Source, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A rig's arrays, its joints in the frame of the record's vertices."""
    joints = (_upright(rig.joints, source.up, source.yaw) - arrays["shifts"]) * arrays["scale"]
    return {
        "joints": joints.astype(np.float32),
        "joint_parents": rig.parents.astype(np.int32),
        "skin_joints": rig.skin_joints.astype(np.int16),
        "skin_weights": rig.skin_weights.astype(np.float32),
    }


def _digest(source: Source, file: Path) -> str:
    """Hash of a file, if it is the one that is wanted; a missing file is the reader's to name."""
    if not file.is_file():
        return "0" * 64
    digest = sha256_of(file)
    if source.sha256 and digest != source.sha256.lower():
        raise MeshChanged(f"{source.path}: wanted sha256 {source.sha256}, found {digest}")
    return digest


def _near(points: np.ndarray, sigmas: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Points moved by Gaussian offsets, the standard deviations taken in turn, kept inside the cube."""
    sigma = np.resize(np.asarray(sigmas), len(points))[:, None]
    return (points + sigma * rng.standard_normal(points.shape)).clip(-1, 1).astype(np.float32)
