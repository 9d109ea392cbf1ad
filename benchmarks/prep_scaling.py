"""How preprocessing grows: seconds for 50 to 800 meshes, and memory and seconds for single large ones, as tables.

python -m benchmarks.prep_scaling --data DATA --out docs/results

DATA holds `shapes/` with a manifest.csv of members of zip archives. psutil is wanted, and Linux for the memory.
"""

import argparse
import csv
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import trimesh

from geomflow.prep import PrepSummary, Recipe, prepare

LOOK = 0.02
"""Seconds between looks at the memory of the workers."""


def spread_rows(data: Path) -> list[dict[str, str]]:
    """Rows of the manifest in an order whose every beginning has small and large meshes in the proportions of all.

    Ranks by face count times the golden ratio, modulo 1, are evenly spread.
    """
    with (data / "shapes" / "manifest.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (int(row["n_faces"]), row["id"]))
    turns = np.arange(len(rows)) * (np.sqrt(5) - 1) / 2 % 1
    return [rows[k] for k in np.argsort(turns)]


def write_list(data: Path, rows: list[dict[str, str]], file: Path) -> Path:
    """Write a CSV that `prepare` reads, and return it."""
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["path", "class", "split", "id", "up"])
        for row in rows:
            path = data.resolve() / "shapes" / row["archive"] / row["member"]
            table.writerow([path, row["class"], row["split"], f"{row['class']}-{row['id']}", row["up"]])
    return file


def run(source: Path, recipe: Recipe, workers: int) -> tuple[PrepSummary, float]:
    """Prepare into an empty folder; what came of it, and seconds."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        return prepare(source, out, recipe, workers=workers, timeout=3600, progress=False), time.perf_counter() - start


def growth_table(data: Path, counts: list[int], points: int, workers: int) -> list[str]:
    """Seconds for the first `counts` meshes of one list."""
    rows, recipe = spread_rows(data), Recipe(resolution=0, volume_points=points, near_points=points)
    lines = ["| meshes | failed | seconds | seconds per mesh | / that of the first line |", "|" + " --- |" * 5]
    with tempfile.TemporaryDirectory() as folder:
        run(write_list(data, rows[:2], Path(folder, "warm.csv")), recipe, workers)
        each = []
        for count in counts:
            chosen = write_list(data, rows[:count], Path(folder, f"{count}.csv"))
            summary, seconds = run(chosen, recipe, workers)
            each.append(seconds / (summary.made + summary.failed))
            lines.append(
                f"| {summary.made + summary.failed} | {summary.failed} | {seconds:.1f} | {each[-1]:.3f} "
                f"| {each[-1] / each[0]:.2f} |"
            )
            print(lines[-1], flush=True)
    return lines


def bumpy_sphere(faces: int) -> trimesh.Trimesh:
    """A sphere of about so many faces whose vertices have moved at random along their radii."""
    sphere = trimesh.creation.uv_sphere(count=[round(np.sqrt(faces) / 2)] * 2)
    radius = 1 + 1e-3 * np.random.default_rng(0).standard_normal((len(sphere.vertices), 1))
    return trimesh.Trimesh(sphere.vertices * radius, sphere.faces, process=False)


def memory_table(faces: list[int], points: int, resolution: int) -> list[str]:
    """Peak memory of the one worker, and seconds, for a box and for large spheres."""
    recipe = Recipe(resolution=resolution, volume_points=points, near_points=points)
    lines = ["| mesh | faces | seconds | peak of the worker, MiB | more than for the box, bytes per face |"]
    lines += ["|" + " --- |" * 5]
    with tempfile.TemporaryDirectory() as folder:
        least = 0.0
        for name, mesh in {"box": trimesh.creation.box(), **{f"sphere {n}": bumpy_sphere(n) for n in faces}}.items():
            file, count = Path(folder, name.replace(" ", "_"), "mesh.ply"), len(mesh.faces)
            file.parent.mkdir()
            mesh.export(file)
            summary, seconds, peak = run_watched(file.parent, recipe)
            least = least or peak
            more = f"{(peak - least) / count:,.0f}" if peak > least else ""
            done = f"{seconds:.1f}" if not summary.failed else "failed"
            lines.append(f"| {name.split()[0]} | {count:,} | {done} | {peak / 2**20:,.0f} | {more} |")
            print(lines[-1], flush=True)
    return lines


def run_watched(source: Path, recipe: Recipe) -> tuple[PrepSummary, float, float]:
    """What came of preparing with one worker, seconds, and the largest peak of resident bytes of a worker."""
    peaks, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            peaks.extend(map(_peak, psutil.Process().children(recursive=True)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        summary, seconds = run(source, recipe, workers=1)
    finally:
        over.set()
        watcher.join()
    return summary, seconds, max(peaks)


def _peak(process: psutil.Process) -> float:
    """The kernel's high-water mark of a process, in bytes; 0 if it is gone."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    return next((1024.0 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def main() -> None:
    """Print the tables and, if asked, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GEOMFLOW_DATA"), help="default: GEOMFLOW_DATA")
    parser.add_argument("--meshes", type=int, nargs="+", default=[50, 200, 800])
    parser.add_argument("--faces", type=int, nargs="+", default=[500_000, 2_000_000])
    parser.add_argument("--points", type=int, default=50_000, help="volume samples, as many near")
    parser.add_argument("--resolution", type=int, default=64, help="of the grid of the large meshes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is wanted, or the environment variable GEOMFLOW_DATA")
    samples = f"{options.points:,} near and {options.points:,} volume samples"
    parts = [
        "## More meshes\n",
        f"{options.workers} workers, {samples}, no grid; the first of one list, start of the workers included.\n",
        *growth_table(options.data, options.meshes, options.points, options.workers),
        "\n## Larger meshes\n",
        f"One worker, {samples}, a grid of {options.resolution}^3.\n",
        *memory_table(options.faces, options.points, options.resolution),
    ]
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        command = "    python -m benchmarks.prep_scaling --data DATA --out docs/results\n"
        text = "\n".join(["# How preprocessing grows\n", command, *parts]) + "\n"
        (options.out / "prep_scaling.md").write_text(text)


if __name__ == "__main__":
    main()
