"""The command line: one verb parses its arguments and calls one plain function that scripts and notebooks call too.

Exit codes: 0 done, 1 the work failed, 2 the command was wrong, 130 interrupted. Errors are one line on stderr; with
GEOMFLOW_DEBUG set, those that were not foreseen keep their traceback.
"""

import contextlib
import functools
import io
import itertools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from geomflow.errors import ConfigError, EmptySurface, GeomflowError

MeshFormat = Literal["ply", "obj", "glb", "stl"]
Device = Literal["cpu", "cuda"]
Shelf = Literal[
    "formulations",
    "objectives",
    "networks",
    "encoders",
    "datasets",
    "noises",
    "presets",
    "pipelines",
    "views",
    "models",
]

DESCRIPTION = "Meshes to signed distance fields to few-step generators, and back to meshes."

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores that this process may use."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geomflow" / "evaluate"
"""Where results are kept that cost time."""

SETTINGS = ("pretrained_encoder", "dataset", "encoder", "network", "formulation", "objective", "times", "optimization")
"""Settings of a run that `train` takes whole, an item by its name."""


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
    device: Device = "cpu",
) -> None:
    """Generate shapes from an embedded model or a checkpoint folder.

    Args:
        model: Embedded name or checkpoint folder.
        count: Number of shapes.
        steps: Jumps from noise to data; any number works with any model, `auto` takes as few as make no difference.
        seed: Seed of the first shape; shape i has seed + i.
        out: Folder for the meshes, generation.json and preview.png.
        format: Mesh format.
        resolution: Samples per axis of the surface extraction.
        device: Where to compute.
    """
    from geomflow.generation import save_generation
    from geomflow.pipelines.shapes import ShapePipeline

    pipeline = ShapePipeline.from_pretrained(model, device)
    result = pipeline(count, steps, seed, resolution, progress=True)
    save_generation(result, out, format, model)
    if not any(len(mesh.faces) for mesh in result.meshes):
        raise EmptySurface(f"no shape has a surface; the reasons are in {out}/generation.json")
    solid = sum(not shape.reasons for shape in result.shapes)
    _say(f"{count} shapes in {result.steps} steps, {sum(result.seconds.values()):.1f} s; {solid} pass the solid report")
    _say(f"wrote {out}/0000.{format} ..., {out}/generation.json, {out}/preview.png")


def fit(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    minutes: float = 5.0,
    formulation: str = "edm",
    objective: str = "semigroup",
    attributes: str = "",
    noise: str = "gaussian",
    seed: int = 0,
    stop_at: float = 0.0,
    resume: bool = False,
    device: Device = "cpu",
    settings: Annotated[dict[str, str] | None, tyro.conf.Suppress] = None,
) -> None:
    """Fit one shape: a sampler of its surface, in one to a few steps.

    Args:
        mesh: Mesh file, or a file of points.
        out: Run folder.
        minutes: How long to train, about.
        formulation: edm, x1_prediction, u_prediction or ddim (see `geomflow list formulations`).
        objective: semigroup, eulerian, ... (see `geomflow list objectives`).
        attributes: What to generate with the points, such as normals,colors (and labels).
        noise: Where points start: gaussian, box, sphere, or a mesh file.
        seed: Seed of everything random.
        stop_at: Chamfer distance in four steps, over its floor, at which to stop early; 0 for never.
        resume: Go on with the run in the folder, with its own settings.
        device: Where to train.
        settings: What was given as --section.key value.
    """
    from geomflow.fit import fit as run

    names = [name.strip() for name in attributes.split(",") if name.strip()]
    run(
        *(mesh, out, minutes),
        formulation=formulation,
        objective=objective,
        attributes=names,
        noise=noise,
        seed=seed,
        stop_at=stop_at,
        settings=settings,
        resume=resume,
        device=device,
    )
    _say(f"wrote {out}; try: geomflow sample {out} --points 100000 --steps 4 --out points.ply")


def sample(
    run: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    points: int = 100_000,
    steps: int | Literal["auto"] = 4,
    seed: int = 0,
    from_mesh: Path | None = None,
    device: Device = "cpu",
) -> None:
    """Draw points of a fitted shape, with its attributes.

    Args:
        run: Folder that `geomflow fit` wrote.
        out: .ply or .npy file, written as points come.
        points: Number of points.
        steps: Jumps from noise to the surface; `auto` takes as few as make no difference.
        seed: Seed of the noise; the first points are the same whatever their number.
        from_mesh: Mesh whose surface the points start from, instead of the noise that was fitted.
        device: Where to compute.
    """
    from geomflow import shelves
    from geomflow.pipelines.points import PointPipeline

    pipeline = PointPipeline.from_pretrained(run, device)
    noise = shelves.load("noises", "mesh", file=str(from_mesh)) if from_mesh else None
    steps = pipeline.enough_steps(seed=seed) if steps == "auto" else steps
    pipeline.save(out, points, steps, seed, noise=noise, progress=True)
    _say(f"wrote {points} points in {steps} steps to {out}")


def reconstruct(
    model: tyro.conf.Positional[str], mesh: tyro.conf.Positional[Path], /, *, out: Path, resolution: int = 128
) -> None:
    """Encode a mesh, decode it and write the surface, in the mesh's own frame.

    Args:
        model: Embedded name or checkpoint folder.
        mesh: Mesh file; +y is up and +z the front in the embedded models' data.
        out: Mesh file to write; its suffix decides the format.
        resolution: Samples per axis of the surface extraction.
    """
    from geomflow.geometry.read import read_surface
    from geomflow.geometry.write import check_writable, write_mesh
    from geomflow.pipelines.shapes import ShapePipeline

    check_writable(out)
    surface = read_surface(mesh)
    write_mesh(ShapePipeline.from_pretrained(model).reconstruct(surface, resolution), out)
    _say(f"wrote {out}")


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
    _say(f"wrote {out}")


def prep(
    input: tyro.conf.Positional[str],
    out: tyro.conf.Positional[str],
    /,
    *,
    resolution: int = 64,
    workers: int = CORES,
    engine: Literal["local", "dask"] = "local",
    scheduler: str = "",
    timeout: float = 120.0,
    memory: float = 4.0,
    frame: Literal["box", "sphere"] = "box",
    surface_points: int = 20_000,
    volume_points: int = 20_000,
    near_points: int = 20_000,
    sharp_points: int = 10_000,
    near_sigma: tuple[float, ...] = (0.005, 0.02, 0.06),
    margin: float = 0.95,
    band: float = 0.2,
    internal_walls: bool = False,
    clouds: bool = False,
    rig: bool = False,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    resume: bool = True,
    retry: bool = False,
    dry_run: bool = False,
) -> None:
    """Turn a folder, zip or CSV of meshes into a dataset of shape records; running it again continues.

    Args:
        input: Folder, its URL, .zip, or .csv with columns path, class, split.
        out: Dataset folder, or its URL (s3://...).
        resolution: Samples per axis of each shape's grid; 0 leaves it out.
        workers: Number of processes.
        engine: Processes of this machine, or a Dask cluster.
        scheduler: Address of a running Dask scheduler; without one, dask makes a cluster on this machine.
        timeout: Seconds after which a mesh is given up.
        memory: GiB of memory that one mesh may use.
        frame: What of the shape fills the unit cube: its box or its bounding sphere.
        surface_points: Points on the surface, with normals.
        volume_points: Points in the cube, with signed distances.
        near_points: Points near the surface, with signed distances.
        sharp_points: Points on sharp edges, with normals.
        near_sigma: Standard deviations of the near points' offsets, shared out evenly.
        margin: Half extent (or radius) of the shape in the unit frame.
        band: Distance at which the grid's values are cut off.
        internal_walls: Count faces buried inside the solid as surface.
        clouds: Take files that hold only points, too (.npy of shape (n, 3) among them).
        rig: Keep joints and skin weights; files without them fail.
        seed: Seed of the sampling.
        device: Where distances are computed; auto takes a GPU where a worker has one.
        resume: Keep the records that are there; --no-resume makes all of them anew.
        retry: Try again what failed before.
        dry_run: Say what would be done, and do nothing.
    """
    from geomflow.prep.recipe import Recipe
    from geomflow.prep.runner import make_plan, prepare, reasons

    recipe = Recipe(
        frame=frame,
        resolution=resolution,
        surface_points=surface_points,
        volume_points=volume_points,
        near_points=near_points,
        sharp_points=sharp_points,
        near_sigma=near_sigma,
        margin=margin,
        band=band,
        internal_walls=internal_walls,
        clouds=clouds,
        rig=rig,
        seed=seed,
    )
    if dry_run:
        plan = make_plan(input, out, recipe, resume, retry)
        _say(f"{len(plan.todo)} meshes to do, {len(plan.kept)} done, {len(plan.quarantined)} failed before")
        return
    done = prepare(
        input,
        out,
        recipe,
        workers,
        timeout,
        memory=memory,
        engine=engine,
        scheduler=scheduler,
        device=device,
        resume=resume,
        retry=retry,
    )
    _say(f"{done.made} records made, {done.kept} kept from before, {done.failed} failed; see {out}/report.html")
    for kind, count in reasons(done).items():
        _say(f"  {count:6} {kind}")
    if done.failed:
        raise GeomflowError(f"{done.failed} meshes failed; {out}/quarantine.csv says why (--retry tries them again)")


def pack(
    dataset: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    /,
    *,
    shard_size: int = 256,
    seed: int | None = None,
) -> None:
    """Write a dataset's records into tar shards (WebDataset) and an index of them.

    Args:
        dataset: Folder made by `geomflow prep`.
        out: Folder of the shards.
        shard_size: Mebibytes of records in a shard.
        seed: Shuffles the shapes of each split.
    """
    from geomflow.prep.pack import pack as write_shards

    done = write_shards(dataset, out, shard_size << 20, seed=seed)
    _say(f"{done.shapes} shapes in {len(done.shards)} shards in {out}, listed in {out}/index.json")


def export(
    dataset: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    /,
    *,
    to: str,
    front: str = "",
    folders: tuple[str, ...] = (),
) -> None:
    """Write a dataset in another project's layout; running it again continues.

    Args:
        dataset: Folder made by `geomflow prep`.
        out: Folder that takes the place of that project's data.
        to: Layout: vecset, hunyuan, pointflow or unifi3d (see `geomflow list views`).
        front: Where the front, +z in records, is taken: z, -z or x; the layout's own if not given.
        folders: Folders of classes, such as chair=03001627, where they are not the class names.
    """
    from geomflow.prep.export import export as write_view

    if not all("=" in pair for pair in folders):
        raise ConfigError(f"folders must be pairs such as chair=03001627, given {' '.join(folders)}")
    named = dict(pair.split("=", 1) for pair in folders)
    options = {"front": front, "folders": named}
    done = write_view(dataset, out, to, **{name: value for name, value in options.items() if value})
    _say(f"{done.made} shapes written, {done.kept} kept from before, in {out}")


def train(
    preset: tyro.conf.Positional[str],
    /,
    *,
    data: Path,
    out: Path,
    minutes: float | None = None,
    resume: bool = False,
    device: Device = "cpu",
    settings: Annotated[dict[str, str] | None, tyro.conf.Suppress] = None,
) -> None:
    """Train a preset or a TOML file; any setting can be changed with --section.key value.

    Args:
        preset: Name of a preset (see `geomflow list presets`) or a .toml file.
        data: Dataset folder made by `geomflow prep`.
        out: Run folder.
        minutes: Stop after this time; the run can be resumed.
        resume: Go on from the state in the run folder.
        device: Where to compute.
        settings: What was given as --section.key value.
    """
    from geomflow import config as configs
    from geomflow import shelves
    from geomflow.train import train as run

    base = configs.read_toml(preset) if preset.endswith(".toml") else shelves.load("presets", preset)
    config = configs.override(base, settings or {})
    run(config, data, out, minutes, resume, device)
    _say(f"wrote {out}; try: geomflow {USES[config.task].format(out)}")


def evaluate(
    generated: tyro.conf.Positional[Path],
    reference: tyro.conf.Positional[Path | None] = None,
    /,
    *,
    protocol: str = "pointflow",
    out: Path | None = None,
    train: Path | None = None,
    split: str = "",
    points: int = 0,
    distances: tuple[str, ...] = (),
    seed: int = 0,
    draws: int = 1000,
    workers: int = CORES,
    cache: Path | None = CACHE,
    device: Device = "cpu",
    any_frame: bool = False,
) -> None:
    """Measure generated shapes by a named protocol, with uncertainty; running it again goes on where it stopped.

    Args:
        generated: Folder of meshes or point files, dataset, or .npy of clouds (shapes, points, 3).
        reference: The same, to judge by; `solid` does without.
        protocol: pointflow, lion-box, recon-unit, geomdist, solid or fashion-mnist (docs/evaluation.md).
        out: JSON file to write.
        train: What the model was trained on: adds a control row and finds what the model remembers.
        split: Split of the reference dataset; test, if there is one and none is given.
        points: Points per shape; 0 takes the protocol's.
        distances: Distances between sets, chamfer and emd; none takes the protocol's.
        seed: Seed of everything random.
        draws: Resamples behind the intervals.
        workers: Number of processes.
        cache: Folder of what was measured before; None for none.
        device: Where earth mover's distances are computed.
        any_frame: Compare sets in different frames all the same.
    """
    from geomflow.metrics import Options
    from geomflow.metrics import evaluate as measure

    options = Options(
        seed, draws=draws, workers=workers, cache=cache, device=device, any_frame=any_frame, progress=True
    )
    found = measure(
        *(generated, reference, protocol), train=train, split=split, points=points, distances=distances, options=options
    )
    _say(found.table())
    if out:
        found.save(out)
        _say(f"wrote {out}")


def compare(files: tyro.conf.Positional[tuple[Path, ...]], /) -> None:
    """Print results of `evaluate` side by side; those of different protocols, frames or references are refused.

    Args:
        files: JSON files.
    """
    from geomflow.metrics import compare as side_by_side

    _say(side_by_side(files))


def list_items(shelf: tyro.conf.Positional[Shelf], /) -> None:
    """List what stands on a shelf.

    Args:
        shelf: Which one.
    """
    from geomflow import shelves

    names = shelves.names(shelf) if shelf != "models" else _models()
    _say("\n".join(names))


def doctor() -> None:
    """Show versions, devices, and optional libraries with what each would add."""
    from geomflow.doctor import examine

    _say("\n".join(examine()))


VERBS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "fit": fit,
    "sample": sample,
    "prep": prep,
    "pack": pack,
    "export": export,
    "train": train,
    "reconstruct": reconstruct,
    "extract": extract,
    "evaluate": evaluate,
    "compare": compare,
    "list": list_items,
    "doctor": doctor,
}


USES = {
    "autoencoder": "reconstruct {} MESH --out back.ply",
    "flow_map": "generate {} --out out/mine",
    "points": "sample {} --out points.ply",
}
"""What to do with a run of a task."""

CONFIGURABLE = ("train", "fit")
"""Verbs that take `--section.key value`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="geomflow: %(message)s")
    arguments, settings = _split_settings(list(sys.argv[1:] if arguments is None else arguments))
    try:
        _parse_and_run(arguments, settings)
    except KeyboardInterrupt:
        sys.stderr.write("geomflow: interrupted\n")
        return 130
    except Exception as error:
        if os.environ.get("GEOMFLOW_DEBUG"):
            raise
        sys.stderr.write(f"geomflow: {_first_line(error)}\n")
        return 2 if _is_usage(error) else 1
    return 0


def _is_usage(error: Exception) -> bool:
    """Whether an argument was wrong, as opposed to what it led to."""
    return isinstance(error, ConfigError) or (isinstance(error, ValueError) and not isinstance(error, GeomflowError))


def _parse_and_run(arguments: list[str], settings: dict[str, str]) -> None:
    verb = arguments[0] if arguments else ""
    if settings and verb not in CONFIGURABLE:
        _refuse(f"unknown option --{next(iter(settings))}")
    _parse(arguments)(**({"settings": settings} if settings else {}))


def _parse(arguments: list[str]) -> Callable[..., None]:
    """The chosen verb with its arguments bound, not yet run, so that only errors of usage can come out of here."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _bound(function) for name, function in VERBS.items()},
                prog="geomflow",
                description=DESCRIPTION,
                args=arguments,
            )
    except SystemExit as stop:
        if stop.code:
            _refuse(_box_to_line(complaint.getvalue()))
        raise


def _bound(function: Callable[..., None]) -> Callable[..., Callable[..., None]]:
    """The function's own signature, but calling it only remembers the arguments."""

    @functools.wraps(function)
    def bind(*args: object, **kwargs: object) -> Callable[..., None]:
        return functools.partial(function, *args, **kwargs)

    return bind


def _box_to_line(box: str) -> str:
    """What tyro says in the first section of its box, as one line."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    said = itertools.takewhile(lambda line: line and line[0] not in "─╰", lines)
    return f"{' '.join(said)} (see geomflow --help)"


def _refuse(reason: str) -> None:
    sys.stderr.write(f"geomflow: {reason}\n")
    raise SystemExit(2)


def _split_settings(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--section.key value` and `--section.key=value` out of the arguments."""
    plain, settings = [], {}
    whole = SETTINGS if arguments[:1] == ["train"] else ()
    rest = iter(arguments)
    for argument in rest:
        key, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and ("." in key or key in whole):
            value = value if equals else next(rest, "--")
            if value.startswith("--"):
                _refuse(f"--{key} wants a value")
            settings[key] = value
        else:
            plain.append(argument)
    return plain, settings


def _first_line(error: Exception) -> str:
    """The error in one line, with its kind if geomflow did not foresee it."""
    line = str(error).strip().split("\n")[0]
    if isinstance(error, GeomflowError | OSError | ValueError) and line:
        return line
    return f"{type(error).__name__}: {line} (GEOMFLOW_DEBUG=1 shows where)"


def _models() -> list[str]:
    from geomflow.pipeline import pretrained_names

    return pretrained_names()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
