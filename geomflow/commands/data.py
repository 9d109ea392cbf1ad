"""Verbs for datasets: prepare meshes, pack and export records."""

from pathlib import Path
from typing import Literal

import tyro

from geomflow.commands._common import CORES, say
from geomflow.errors import ConfigError, GeomflowError


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

    Raises:
        GeomflowError: Some meshes failed; what could be made is there.
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
        say(f"{len(plan.todo)} meshes to do, {len(plan.kept)} done, {len(plan.quarantined)} failed before")
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
    say(f"{done.made} records made, {done.kept} kept from before, {done.failed} failed; see {out}/report.html")
    for kind, count in reasons(done).items():
        say(f"  {count:6} {kind}")
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
    say(f"{done.shapes} shapes in {len(done.shards)} shards in {out}, listed in {out}/index.json")


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

    Raises:
        ConfigError: A folder is not given as CLASS=FOLDER.
    """
    from geomflow.prep.export import export as write_view

    if not all("=" in pair for pair in folders):
        raise ConfigError(f"folders must be pairs such as chair=03001627, given {' '.join(folders)}")
    named = dict(pair.split("=", 1) for pair in folders)
    options = {"front": front, "folders": named}
    done = write_view(dataset, out, to, **{name: value for name, value in options.items() if value})
    say(f"{done.made} shapes written, {done.kept} kept from before, in {out}")
