"""Whole preprocessing pipelines beside each other, from mesh files to files of samples: meshes per second, wrong signs.

python -m benchmarks.prep_peers --data DATA --out docs/results

DATA holds `shapes/` and `shapes_procedural/`, each with a manifest.csv of members of zip archives. All pipelines read
the same files and write as many surface, near and volume samples, uncompressed. Each has two cores: geomflow two
workers, the others either two processes of one thread or one process with threads of its own, whichever is faster.
"""

import argparse
import csv
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import trimesh

from benchmarks import signs
from benchmarks.pipelines import CORES, FAST, SIGMAS, SLOW, Peer, Size, run_peer
from geomflow.geometry import normalize, read_surface
from geomflow.prep import Recipe, prepare

Run = Callable[[Path, Path, Size], float]
"""Seconds of a pipeline for a folder of mesh files, a folder for the results, and how much to sample."""

SHARE = 50
"""trimesh is given one point in so many."""


def run_geomflow(folder: Path, out: Path, size: Size) -> float:
    """Seconds for all meshes of a folder by geomflow, less those for two boxes with hardly a point."""
    with tempfile.TemporaryDirectory() as boxes:
        for name in "ab":
            trimesh.creation.box((1, 1, 1)).export(Path(boxes, f"{name}.ply"))
        _prepare(Path(boxes), out / "warm", Size(10, 10))  # kernels may have to be compiled
        start_up = _prepare(Path(boxes), out / "boxes", Size(10, 10))
        return _prepare(folder, out / "all", size) - start_up


def _prepare(folder: Path, out: Path, size: Size) -> float:
    points, surface = size
    recipe = Recipe(resolution=0, volume_points=points, near_points=points, surface_points=surface, near_sigma=SIGMAS)
    recipe = replace(recipe, sharp_points=0)  # which the others do not have
    start = time.perf_counter()
    summary = prepare(folder, out, recipe, workers=CORES, timeout=3600, progress=False, pictures=False)
    if summary.failed:
        raise RuntimeError(f"{folder}: not all meshes were prepared: {summary.reasons}")
    return time.perf_counter() - start


def seconds(run: Run, folder: Path, size: Size) -> float:
    """Working time of a pipeline into an empty folder."""
    with tempfile.TemporaryDirectory() as out:
        return run(folder, Path(out), size)


def times(runs: dict[str, Run], folder: Path, size: Size, rounds: int) -> dict[str, float]:
    """Median working time of each pipeline, all of them in turns."""
    spent = [{name: seconds(run, folder, size) for name, run in runs.items()} for _ in range(rounds)]
    return {name: float(np.median([spell[name] for spell in spent])) for name in runs}


def choose(data: Path, count: int) -> list[tuple[Path, str]]:
    """Archives and members of `count` meshes, two thirds of them modelled and one third procedural."""
    rng, modelled = np.random.default_rng(0), round(0.7 * count)
    parts = (("shapes", modelled), ("shapes_procedural", count - modelled))
    rows = [(data / name, row) for name, share in parts for row in stratified(data / name / "manifest.csv", share, rng)]
    return [(folder / row["archive"], row["member"]) for folder, row in rows]


def stratified(manifest: Path, count: int, rng: np.random.Generator) -> list[dict[str, str]]:
    """One row at random from each of `count` equal parts by face count, of a class not yet taken if there is one."""
    with manifest.open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["n_faces"]))
    taken: list[dict[str, str]] = []
    for part in np.array_split(np.array(rows, dtype=object), count) if count else ():
        shuffled, known = list(rng.permutation(part)), {row["class"] for row in taken}
        taken.append(next((row for row in shuffled if row["class"] not in known), shuffled[0]))
    return taken


def extract(members: list[tuple[Path, str]], folder: Path) -> Path:
    """Unpack members of archives into a folder and return it."""
    for archive, member in members:
        with zipfile.ZipFile(archive) as file:
            file.extract(member, folder)
    return folder


def inside(peer: Peer) -> signs.Method:
    """A library's signs, from the code that the pipeline runs."""
    return lambda mesh, points: peer(mesh.vertices, mesh.faces).signed_distance(points) < 0


def on_solids(peers: dict[str, Peer], points: int) -> dict[str, tuple[float, float]]:
    """Shares of wrong signs near and in the cube, means over the damaged solids of `benchmarks.signs`."""
    rows = signs.measure(points, 1, {name: inside(peer) for name, peer in peers.items()})
    return {
        name: (float(np.mean([row.near[name] for row in rows])), float(np.mean([row.cube[name] for row in rows])))
        for name in ("geomflow", *peers)
    }


def on_closed(folder: Path, peers: dict[str, Peer], points: int) -> tuple[int, float, dict[str, float]]:
    """Number of watertight meshes, share of their points not judged, and mean shares of wrong signs.

    Judged are the points where the winding number and the majority of 31 rays of Open3D agree.
    """
    methods = {"geomflow": _geomflow_inside} | {name: inside(peer) for name, peer in peers.items()}
    meshes = (read_surface(file) for file in sorted(folder.rglob("*")) if file.is_file())
    found = [_on_mesh(normalize(mesh).mesh, methods, points) for mesh in meshes if _is_closed(mesh)]
    mean = {name: float(np.mean([wrong[name] for _, wrong in found] or [np.nan])) for name in methods}
    return len(found), float(np.mean([left for left, _ in found] or [np.nan])), mean


def _on_mesh(mesh: trimesh.Trimesh, methods: dict[str, signs.Method], points: int) -> tuple[float, dict[str, float]]:
    asked = signs.query_points(mesh, points, 0)
    reference = np.abs(signs.winding(mesh, asked)) > 0.5
    agreed = reference == signs.open3d_inside(mesh, asked, 31)
    wrong = {name: float((method(mesh, asked) != reference)[agreed].mean()) for name, method in methods.items()}
    return float(1 - agreed.mean()), wrong


def _geomflow_inside(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    return signs.SignedDistanceField(mesh)(points).distance < 0


def _is_closed(mesh: trimesh.Trimesh) -> bool:
    welded = mesh.copy()
    welded.merge_vertices(merge_tex=True, merge_norm=True)
    return bool(welded.is_watertight)


def speed_table(folder: Path, size: Size, rounds: int) -> list[str]:
    """Seconds per mesh of the fast pipelines, each in the better way of running it."""
    runs: dict[str, Run] = {"geomflow, 2 workers": run_geomflow}
    for name, peer in FAST.items():
        runs[f"{name}, 2 processes"] = partial(run_peer, peer, 2)
        runs[f"{name}, 1 process of 2 threads"] = partial(run_peer, peer, 1)
    found = times(runs, folder, size, rounds)
    best = [
        min((way for way in found if way.startswith(f"{name}, ")), key=lambda way: found[way])
        for name in ("geomflow", *FAST)
    ]
    return _speeds({way: found[way] for way in best}, sum(file.is_file() for file in folder.rglob("*")))


def slow_table(folder: Path, size: Size) -> list[str]:
    """The same for trimesh, from its time for a share of the points and for one point."""
    found = {"geomflow, 2 workers": seconds(run_geomflow, folder, size)}
    for name, peer in SLOW.items():
        run = partial(run_peer, peer, 2)
        few = seconds(run, folder, Size(size.points // SHARE, size.surface // SHARE))
        fixed = seconds(run, folder, Size(1, 1))
        found[f"{name}, 2 processes, extrapolated"] = fixed + SHARE * (few - fixed)
    return _speeds(found, sum(file.is_file() for file in folder.rglob("*")))


def _speeds(found: dict[str, float], count: int) -> list[str]:
    """A line per pipeline from its seconds for `count` meshes; geomflow's comes first."""
    ours = next(iter(found.values()))
    lines = ["| pipeline | seconds per mesh | meshes per second | seconds / geomflow's |", "|" + " --- |" * 4]
    lines += [
        f"| {way} | {spent / count:.3f} | {count / spent:.2f} | {spent / ours:.2f} |" for way, spent in found.items()
    ]
    print("\n".join(lines), flush=True)
    return [*lines, ""]


def sign_table(folder: Path, points: int) -> list[str]:
    """Wrong signs of every pipeline on damaged solids and on watertight meshes of the timing."""
    few = max(points // SHARE, 10)
    solids = on_solids(FAST, points) | (on_solids(SLOW, few) if SLOW else {})
    count, left, closed = on_closed(folder, FAST, points)
    closed |= {name: on_closed(folder, SLOW, few)[2][name] for name in SLOW}
    percent = "{:.3f} %".format
    lines = [
        f"Damaged solids: the mean over all rows of `benchmarks.signs`, {points:,} points near, as many in the cube. "
        f"Watertight: the {count} of the timed meshes that are so after welding; judged are the points at which the "
        f"winding number and the majority of 31 rays of Open3D agree, all but {percent(100 * left)}.",
        *([f"trimesh was asked {few:,} points."] if SLOW else []),
        "",
        "| pipeline | damaged solids, near | damaged solids, cube | watertight meshes |",
        "| --- | --- | --- | --- |",
    ]
    wrong = {name: (*solids[name], closed[name]) for name in ("geomflow", *FAST, *SLOW)}
    lines += [f"| {name} | {' | '.join(percent(100 * share) for share in wrong[name])} |" for name in wrong]
    print("\n".join(lines), flush=True)
    return lines


def report(members: list[tuple[Path, str]], options: argparse.Namespace) -> list[str]:
    """All tables."""
    lines = []
    with tempfile.TemporaryDirectory() as all_of_them, tempfile.TemporaryDirectory() as some:
        folder, few = extract(members, Path(all_of_them)), extract(members[::5], Path(some))
        for points in options.points:
            size = Size(points, 2 * points // 5)
            lines += [f"## {points:,} near and {points:,} volume samples, {size.surface:,} on the surface", ""]
            lines += speed_table(folder, size, options.rounds)
            lines += [SLOW_NOTE.format(len(members[::5])), "", *(slow_table(few, size) if SLOW else [])]
        return [*lines, "## Wrong signs", "", *sign_table(folder, options.sign_points)]


SLOW_NOTE = (
    f"trimesh on {{}} of the meshes, from its times for one point in {SHARE} and for one point:"
    if SLOW
    else "trimesh is left out: its queries need rtree, which is not installed here."
)

METHOD = """\
{meshes} meshes chosen by a fixed seed, of all sizes and as many classes as there are; {rounds} rounds in turns,
medians; on two cores. The start of workers with their imports is not counted: other libraries' workers are warmed up
with a box, and geomflow's time is that of the meshes less that of two boxes with ten points. Other libraries run as two
processes of one thread and as one process of two threads; the faster counts. Open3D's reader leaves out polygons of OBJ
files, so point-cloud-utils reads those for it; trimesh reads the GLB files of point-cloud-utils.
"""


def main() -> None:
    """Print the tables and, if asked, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GEOMFLOW_DATA"), help="default: GEOMFLOW_DATA")
    parser.add_argument("--meshes", type=int, default=20)
    parser.add_argument("--points", type=int, nargs="+", default=[250_000, 50_000], help="volume samples, as many near")
    parser.add_argument("--sign-points", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is wanted, or the environment variable GEOMFLOW_DATA")
    if hasattr(os, "sched_setaffinity"):  # inherited by all that is started
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    text = "\n".join([METHOD.format(**vars(options)), *report(choose(options.data, options.meshes), options)]) + "\n"
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        command = f"    python -m benchmarks.prep_peers --data DATA --rounds {options.rounds} --out docs/results\n"
        (options.out / "prep_peers.md").write_text(f"# Preprocessing beside other libraries\n\n{command}\n{text}")


if __name__ == "__main__":
    main()
