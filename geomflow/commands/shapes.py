"""Verbs for whole shapes: generate them (and images), encode and decode a mesh, extract a surface."""

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from geomflow.commands._common import Device, say
from geomflow.errors import CheckpointError, ConditionError, ConfigError, EmptySurface

MeshFormat = Literal["ply", "obj", "glb", "stl"]


def generate(
    model: tyro.conf.Positional[str] = "chairs",
    /,
    *,
    count: int = 8,
    steps: int | Literal["auto"] = 2,
    seed: int = 0,
    out: Path = Path("out/generate"),
    format: MeshFormat = "ply",
    resolution: int = 128,
    refine: int = 0,
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None,
    floaters: Literal["keep", "specks", "largest"] = "specks",
    repair: Literal["none", "fill", "remesh"] = "none",
    up: Literal["y", "z"] = "y",
    size: float | None = None,
    reward: str | None = None,
    method: str | None = None,
    particles: int | None = None,
    strength: float | None = None,
    device: Device = "cpu",
    settings: Annotated[dict[str, str] | None, tyro.conf.Suppress] = None,
) -> None:
    """Generate shapes, or images, from an embedded model or a checkpoint folder.

    Args:
        model: Embedded name or checkpoint folder.
        count: Number of shapes.
        steps: Jumps from noise to data; any number works with any model, `auto` takes as few as make no difference.
        seed: Seed of the first shape; shape i has seed + i and does not depend on the others (but by the method tilt).
        out: Folder for the meshes or images, generation.json and preview.png.
        format: Mesh format.
        resolution: Samples per axis of the surface extraction.
        refine: Rounds in which vertices are moved on to the surface of the decoded field.
        class_name: What to generate, for a model that knows classes.
        floaters: Bodies beside the largest that stay: all, all but specks under 2 % of its volume, or none.
        repair: What may be done to a mesh that is no solid: nothing, filling holes, or remeshing its signed distance.
        up: Axis that points up in the files; the front is +z, or -y where z is up.
        size: Longest edge of every shape in the files, in the unit they are to have; by default about 1.9.
        reward: What shapes are steered towards (see `geomflow list rewards`, or a dotted module path); its options
            are given as --reward.NAME VALUE.
        method: How: best_of_n (the default), guide, ascend, tilt, langevin, plug_and_play or dps.
        particles: How many shapes are looked at: candidates for each (best_of_n, by default 8), moves of each (ascend,
            8, langevin, 16), or the population that all are drawn from (tilt, 64). The other methods take none.
        strength: How far to steer, above 0, in standard deviations of the reward of unsteered shapes; 2 by default.
            best_of_n takes none.
        device: Where to compute.
        settings: What was given as --reward.NAME VALUE.
    """
    from geomflow.files import check_folder
    from geomflow.generation import check_placing
    from geomflow.pipeline import Pipeline

    check_placing(up, size)
    check_folder(out)
    made = _reward(reward, settings or {})
    asked = {"format": format, "resolution": resolution, "refine": refine}
    asked |= {"floaters": floaters, "repair": repair, "up": up, "size": size}
    asked |= {"reward": made, "method": method, "particles": particles, "strength": strength}
    pipeline = Pipeline.from_pretrained(model, device)
    _GENERATORS.get(pipeline.model.makes, _refuse_model)(pipeline, model, count, steps, seed, out, class_name, asked)


def _generate_shapes(
    pipeline: Any, model: str, count: int, steps: Any, seed: int, out: Path, condition: Any, asked: dict[str, Any]
) -> None:
    from geomflow.generation import save_generation

    options = {name: value for name, value in asked.items() if name not in ("format", "up", "size")}
    result = pipeline(count, steps, seed, progress=True, condition=condition, **options)
    save_generation(result, out, asked["format"], model, asked["up"], asked["size"])
    if not any(len(mesh.faces) for mesh in result.meshes):
        raise EmptySurface(f"no shape has a surface; the reasons are in {out}/generation.json")
    solid = sum(not shape.reasons for shape in result.shapes)
    say(f"{count} shapes in {result.steps} steps, {sum(result.seconds.values()):.1f} s; {solid} pass the solid report")
    if steering := result.settings.get("steering"):
        before, after = (sum(steering[name]) / count for name in ("before", "after"))
        gained = f"{steering['reward']} {before:.4g} -> {after:.4g} by {steering['method']}"
        say(f"{gained}, {result.nfe} network calls each; {steering['measuring_calls']} more in all to measure by")
    say(f"wrote {out}/0000.{asked['format']} ..., {out}/generation.json, {out}/preview.png")


def _reward(name: str | None, settings: dict[str, str]) -> Any:
    """The reward of a name, with the options that were given as --reward.NAME VALUE."""
    from geomflow import shelves
    from geomflow.config import value_of

    for key in settings:
        if not key.startswith("reward.") or name is None:
            raise ConfigError(f"unknown option --{key}; options of a --reward are given as --reward.NAME VALUE")
    if name is None:
        return None
    options = {key.removeprefix("reward."): value_of(text) for key, text in settings.items()}
    return shelves.load("rewards", name, **options)


def _generate_images(
    pipeline: Any, model: str, count: int, steps: Any, seed: int, out: Path, condition: Any, asked: dict[str, Any]
) -> None:
    from geomflow.image_generation import save_images

    usual = inspect.signature(generate).parameters
    for name, value in asked.items():
        if value != usual[name].default:
            raise ConfigError(f"--{name} is for models of shapes, and {model} makes images")
    result = pipeline(count, steps, seed, condition)
    save_images(result, out, model)
    say(f"{count} images in {result.steps} steps, {sum(result.seconds.values()):.1f} s")
    say(f"wrote {out}/0000.png ..., {out}/generation.json, {out}/preview.png")


def _refuse_model(pipeline: Any, model: str, *_: Any) -> None:
    raise CheckpointError(f"{model}: wanted a model that makes whole shapes or images, found one of {pipeline.makes}")


_GENERATORS = {"shapes": _generate_shapes, "images": _generate_images}
"""How what a pipeline makes is generated and written."""


def reconstruct(
    model: tyro.conf.Positional[str],
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    resolution: int = 128,
    tokens: int | None = None,
    refine: int = 0,
) -> None:
    """Encode a mesh, decode it and write the surface, in the mesh's own frame.

    Args:
        model: Embedded name or checkpoint folder.
        mesh: Mesh file; +y is up and +z the front in the embedded models' data.
        out: Mesh file to write; its suffix decides the format.
        resolution: Samples per axis of the surface extraction.
        tokens: Tokens of a latent set, fewer for a coarser and more for a finer shape.
        refine: Rounds in which vertices are moved on to the surface of the decoded field.
    """
    from geomflow.geometry.read import read_surface
    from geomflow.geometry.write import check_writable, write_mesh
    from geomflow.pipelines.shapes import ShapePipeline

    check_writable(out)
    surface = read_surface(mesh)
    write_mesh(ShapePipeline.from_pretrained(model).reconstruct(surface, resolution, tokens, refine), out)
    say(f"wrote {out}")


def complete(
    model: tyro.conf.Positional[str],
    points: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    steps: int | Literal["auto"] = 4,
    seed: int = 0,
    resolution: int = 128,
    refine: int = 0,
    candidates: int = 1,
    device: Device = "cpu",
) -> None:
    """Make a whole surface of a few points on it, in the points' own unit and place, with y up and the front at +z.

    Args:
        model: Embedded name or checkpoint folder of a model that was trained for it.
        points: Point file (.ply, .npy, ...), or a mesh whose vertices are taken; models are trained with 64 points.
        out: Mesh file to write; its suffix decides the format.
        steps: Jumps from noise to data; any number works with any model, `auto` takes as few as make no difference.
        seed: What the points leave open is decided by it.
        resolution: Samples per axis of the surface extraction.
        refine: Rounds in which vertices are moved on to the surface of the decoded field.
        candidates: Completions to choose from: the one is meshed whose surface is nearest to the points.
        device: Where to compute.

    Raises:
        ConditionError: The points are none of a surface; the message names the file.
        EmptySurface: The field has no surface.
    """
    import numpy as np

    from geomflow.geometry.read import read_mesh
    from geomflow.geometry.write import check_writable, write_mesh
    from geomflow.pipelines.shapes import ShapePipeline

    check_writable(out)
    given = np.asarray(read_mesh(points).vertices)
    pipeline = ShapePipeline.from_pretrained(model, device)
    try:
        result = pipeline(1, steps, seed, resolution, condition=given, refine=refine, candidates=candidates)
    except ConditionError as error:
        raise ConditionError(f"{points}: {error}") from error
    shape = result.shapes[0]
    if shape.problem:
        raise EmptySurface(f"{points}: {shape.problem}")
    write_mesh(shape.mesh, out)
    say(f"wrote {out}, from {len(given)} points in {result.steps} steps; solid: {'; '.join(shape.reasons) or 'yes'}")


def extract(grid: tyro.conf.Positional[Path], /, *, out: Path, level: float = 0.0) -> None:
    """Extract the surface of a grid of signed distances over [-1, 1]^3.

    Args:
        grid: .npy array (x, y, z), or .safetensors with a tensor `sdf_grid`, as shape records have.
        out: Mesh file to write; its suffix decides the format.
        level: Distance of the extracted surface.
    """
    from geomflow.geometry.extract import extract_mesh
    from geomflow.geometry.read_grid import read_grid
    from geomflow.geometry.write import check_writable, write_mesh

    check_writable(out)
    write_mesh(extract_mesh(read_grid(grid), level=level), out)
    say(f"wrote {out}")
