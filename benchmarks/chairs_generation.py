"""What the embedded model generates: protocols pointflow and solid at 1, 2 and 4 steps beside its own ODE.

python -m benchmarks.chairs_generation build/seating --model chairs --out docs/results

Meshes, evaluations and what they cost are kept in build/chairs_generated; running it again goes on.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
import trimesh
from tqdm import tqdm

from geomflow.geometry import repair, sample_surface, write_mesh
from geomflow.metrics import Evaluation, Options, evaluate, nearest, pairwise_chamfer
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.records import load_record
from geomflow.viz import contact_sheet, save_png

COUNT, POINTS, RESOLUTION, ODE_STEPS = 64, 2048, 128, 64


def clouds(data: Path, split: str) -> tuple[np.ndarray, list[trimesh.Trimesh]]:
    """Surface points (shapes, points, 3) and meshes of a split, in the order of ids."""
    names = ("surface_points", "vertices", "faces")
    records = [load_record(file, names) for file in record_files(data, split)]
    meshes = [trimesh.Trimesh(r.vertices.astype(float), r.faces, process=False) for r in records]
    return np.stack([record.surface_points[:POINTS] for record in records]).astype(float), meshes


def generated(pipeline: Pipeline, steps: int, ode: bool, seed: int) -> tuple[list[trimesh.Trimesh], list[str], float]:
    """Meshes, what is wrong with each (empty if nothing), and the seconds that the network took."""
    start = time.perf_counter()
    latents = pipeline.sample_latents(COUNT, steps, seed, ode=ode)
    network_seconds = time.perf_counter() - start
    meshes, problems = [], []
    for latent in tqdm(latents, desc=f"{'ODE' if ode else 'flow map'}, {steps} steps", leave=False):
        shape = pipeline.shape(latent, RESOLUTION)
        meshes.append(shape.mesh)
        problems.append("; ".join(shape.reasons))
    return meshes, problems, network_seconds


def kept(meshes: list[trimesh.Trimesh], folder: Path) -> Path:
    """A folder of the meshes that have a surface; generation.json counts those that have none."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = [f"{i:04d}.ply" if len(mesh.faces) else "" for i, mesh in enumerate(meshes)]
    for name, mesh in zip(names, meshes, strict=True):
        if name:
            write_mesh(mesh, folder / name)
    (folder / "generation.json").write_text(json.dumps({"shapes": [{"file": name} for name in names]}))
    return folder


COLUMNS = (
    "samples",
    "1-NNA, chamfer",
    "1-NNA, EMD",
    "coverage, EMD",
    "MMD, EMD",
    "JSD",
    "nearest training shape, chamfer x1e3",
    "duplicates of training shapes",
    "solid",
    "printable",
    "solid with --repair remesh",
    "network s",
)


def row(name: str, sets: dict[str, list], solids: list, repaired: str, seconds: str) -> str:
    """One line of the table from an evaluation's numbers, by metric: value, and null band or interval."""
    text = [
        *(_percent(sets, f"1-nna-{distance}") for distance in ("chamfer", "emd")),
        _percent(sets, "coverage-emd"),
        _number(sets, "mmd-emd", 1),
        _number(sets, "jsd", 1),
        _number(sets, "nearest-training-chamfer", 1e3),
        _percent(sets, "duplicate-rate"),
        *(_percent({n.metric: n for n in solids}, share) for share in ("solid", "printable")),
    ]
    return f"| {name} | " + " | ".join([*text, repaired, seconds]) + " |"


def _percent(numbers: dict, metric: str) -> str:
    return _text(numbers.get(metric), 100, "{:.1f} % ({:.0f}-{:.0f})")


def _number(numbers: dict, metric: str, factor: float) -> str:
    return _text(numbers.get(metric), factor, "{:.3g} ({:.3g}-{:.3g})")


def _text(number, factor: float, form: str) -> str:
    """Value with the null band, or with the interval where there is no such band."""
    if number is None:
        return ""
    low, high = (number.low, number.high) if number.null_low is None else (number.null_low, number.null_high)
    return form.format(factor * number.value, factor * low, factor * high)


def main() -> None:
    """Generate, measure, print, and write table and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="chairs")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--work", type=Path, default=Path("build/chairs_generated"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline.from_pretrained(options.model)
    how = Options(workers=2, cache=options.work / "cache", progress=True)
    lines, failures, made = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"], {}, {}
    for steps, ode in ((1, False), (2, False), (4, False), (ODE_STEPS, True)):
        name = f"{steps}-step ODE (Heun)" if ode else f"{steps} step{'s' if steps > 1 else ''}"
        meshes, problems, seconds = generated(pipeline, steps, ode, options.seed)
        made[name] = meshes
        failures[name] = {str(i): problem for i, problem in enumerate(problems) if problem}
        folder = kept(meshes, options.work / name.split(" (")[0].replace(" ", "-"))
        sets = evaluate(folder, options.data, "pointflow", train=options.data, options=how)
        solids = evaluate(folder, None, "solid", options=how)
        for found, kind in ((sets, "pointflow"), (solids, "solid")):
            found.save(options.work / f"{folder.name}-{kind}.json")
        solid = [not problem or repair(mesh).report.passes for mesh, problem in zip(meshes, problems, strict=True)]
        share = f"{100 * sum(solid) / COUNT:.1f} %"
        lines.append(row(name, {n.metric: n for n in sets.numbers}, solids.numbers, share, f"{seconds:.2f}"))
        print(lines[-1], flush=True)
    lines += controls(sets)
    (options.out / "chairs_generation.md").write_text("\n".join(lines) + "\n")
    (options.out / "chairs_generation.json").write_text(json.dumps(failures, indent=1) + "\n")
    draw(options, made, failures["2 steps"])
    print("\n".join(lines))


def controls(found: Evaluation) -> list[str]:
    """Rows of training shapes as generated ones, and of what the test shapes are to the training shapes."""
    ((name, numbers),) = found.controls.items()
    reference = {n.metric.removeprefix("reference-"): n for n in found.numbers if n.metric.startswith("reference-")}
    return [row(name, {n.metric: n for n in numbers}, [], "", ""), row("test shapes", reference, [], "", "")]


def draw(options: argparse.Namespace, made: dict[str, list[trimesh.Trimesh]], failed: dict[str, str]) -> None:
    """Pictures: samples that pass; whatever came out at every step count, and above its nearest training shape."""
    out, two, (train, train_meshes) = options.out, made["2 steps"], clouds(options.data, "train")
    passing = [mesh for i, mesh in enumerate(two) if str(i) not in failed]
    save_png(contact_sheet(passing[:24], columns=8, size=220), out / "chairs_generated.png")
    whole = [i for i in range(COUNT) if all(len(meshes[i].faces) for meshes in made.values())][:8]
    by_steps = [meshes[i] for meshes in made.values() for i in whole]
    save_png(contact_sheet(by_steps, columns=8, size=220), out / "chairs_steps.png")
    eight = [mesh for mesh in two if len(mesh.faces)][:8]
    points = np.stack([sample_surface(mesh, POINTS, seed).points for seed, mesh in enumerate(eight)])
    closest = nearest(pairwise_chamfer(points, train)).indices
    pairs = [*eight, *(train_meshes[i] for i in closest)]
    save_png(contact_sheet(pairs, columns=8, size=220), out / "chairs_nearest.png")


if __name__ == "__main__":
    main()
