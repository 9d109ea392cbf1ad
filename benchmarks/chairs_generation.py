"""What the embedded model generates: solids, set metrics at 1, 2 and 4 steps beside its own ODE, memorisation.

python -m benchmarks.chairs_generation build/seating --model chairs --out docs/results
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import trimesh
from tqdm import tqdm

from geomflow.geometry import sample_surface
from geomflow.metrics import coverage, minimum_matching_distance, nearest, pairwise_chamfer, set_metrics
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


def sampled(meshes: list[trimesh.Trimesh]) -> np.ndarray:
    """Surface points (shapes, points, 3) of the meshes that have a surface."""
    return np.stack([sample_surface(mesh, POINTS, seed).points for seed, mesh in enumerate(meshes) if len(mesh.faces)])


def row(
    name: str, points: np.ndarray, test: np.ndarray, train: np.ndarray, within_test: np.ndarray, extra: list[str]
) -> str:
    """One line of the table; `within_test` holds the distances among the test shapes."""
    to_test, to_train = pairwise_chamfer(points, test), pairwise_chamfer(points, train)
    found = set_metrics(pairwise_chamfer(points, points), to_test, within_test)
    numbers = [
        f"{100 * found['1-nna']:.1f} ({100 * found['null_low']:.0f}-{100 * found['null_high']:.0f})",
        f"{100 * coverage(to_test):.1f}",
        f"{1e3 * minimum_matching_distance(to_test):.2f}",
        f"{100 * coverage(to_train):.1f}",
        f"{1e3 * minimum_matching_distance(to_train):.2f}",
        f"{1e3 * float(np.median(nearest(to_train).distances)):.2f}",
    ]
    return f"| {name} | " + " | ".join([*numbers, *extra]) + " |"


COLUMNS = (
    "samples",
    "1-NNA, test % (95 % null band)",
    "coverage, test %",
    "MMD, test x1e3",
    "coverage, train %",
    "MMD, train x1e3",
    "median distance to nearest training shape x1e3",
    f"solids of {COUNT}",
    "network s",
)


def main() -> None:
    """Generate, measure, print, and write table and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="chairs")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline.from_pretrained(options.model)
    (test, _), (train, train_meshes) = clouds(options.data, "test"), clouds(options.data, "train")
    within_test = pairwise_chamfer(test, test)
    lines, failures, made = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"], {}, {}
    for steps, ode in ((1, False), (2, False), (4, False), (ODE_STEPS, True)):
        name = f"{steps}-step ODE (Heun)" if ode else f"{steps} step{'s' if steps > 1 else ''}"
        meshes, problems, seconds = generated(pipeline, steps, ode, options.seed)
        made[name] = meshes
        failures[name] = {str(i): problem for i, problem in enumerate(problems) if problem}
        solids = str(sum(not problem for problem in problems))
        lines.append(row(name, sampled(meshes), test, train, within_test, [solids, f"{seconds:.2f}"]))
        print(lines[-1], flush=True)
    control = np.random.default_rng(options.seed).choice(len(train), COUNT, replace=False)
    rest = np.delete(train, control, axis=0)
    lines.append(row("training shapes (control)", train[control], test, rest, within_test, ["", ""]))
    usual = 1e3 * np.median(nearest(pairwise_chamfer(test, train)).distances)
    lines.append(f"\nMedian distance of a test shape to its nearest training shape: {usual:.2f}e-3.")
    (options.out / "chairs_generation.md").write_text("\n".join(lines) + "\n")
    (options.out / "chairs_generation.json").write_text(json.dumps(failures, indent=1) + "\n")
    draw(options.out, made, failures["2 steps"], train, train_meshes)
    print("\n".join(lines))


def draw(
    out: Path,
    made: dict[str, list[trimesh.Trimesh]],
    failed: dict[str, str],
    train: np.ndarray,
    train_meshes: list[trimesh.Trimesh],
) -> None:
    """Pictures: samples that pass; whatever came out at every step count, and above its nearest training shape."""
    two = made["2 steps"]
    passing = [mesh for i, mesh in enumerate(two) if str(i) not in failed]
    save_png(contact_sheet(passing[:24], columns=8, size=220), out / "chairs_generated.png")
    whole = [i for i in range(COUNT) if all(len(meshes[i].faces) for meshes in made.values())][:8]
    by_steps = [meshes[i] for meshes in made.values() for i in whole]
    save_png(contact_sheet(by_steps, columns=8, size=220), out / "chairs_steps.png")
    eight = [mesh for mesh in two if len(mesh.faces)][:8]
    closest = nearest(pairwise_chamfer(sampled(eight), train)).indices
    pairs = [*eight, *(train_meshes[i] for i in closest)]
    save_png(contact_sheet(pairs, columns=8, size=220), out / "chairs_nearest.png")


if __name__ == "__main__":
    main()
