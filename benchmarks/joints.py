"""Skeletal joints in few steps beside plain diffusion of the same network, on rigs seen in training and not.

python -m benchmarks.joints build/joints --runs build/runs/joints --out docs/results
python -m benchmarks.joints build/joints --only flow-0 plain-0 --device cuda

Runs are the preset `joints` with three seeds, and plain ones (`--objective instantaneous`) of as many steps. Each run
predicts joints for at most three rigs of a cluster, two sets of 128 points gathered together; scores are averaged over
the rigs of a cluster, then over clusters. What is trained, drawn or measured already is not done again.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from tqdm import tqdm

from geomflow import shelves
from geomflow.config import RunConfig, override
from geomflow.geometry.skeleton import cluster_joints
from geomflow.metrics.joints import joint_chamfer, local_diameters, match_joints
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines.joints import RADIUS, JointPipeline
from geomflow.prep.manifest import class_names, record_files
from geomflow.records import load_record
from geomflow.train import train

SEEDS, DRAWS, BATCH, RIGS = (0, 1, 2), 2, 64, 3
RUNS = {
    **{f"flow-{seed}": {"optimization.seed": str(seed)} for seed in SEEDS},
    **{f"plain-{seed}": {"optimization.seed": str(seed), "objective": "instantaneous"} for seed in SEEDS},
}
"""Settings of every run, by name."""

WAYS = {
    "flow": [*(("jumps", steps) for steps in (1, 2, 5, 10, 50)), ("euler", 50)],
    "plain": [("euler", steps) for steps in (1, 5, 10, 50, 1000)],
}
ARRAYS = ("surface_points", "surface_normals", "joints", "skin_joints", "skin_weights", "vertices", "faces")
GROUPS = ("seen rigs", "unseen rigs", "unseen procedural rigs")


def config_of(name: str) -> RunConfig:
    """The configuration of a run."""
    return override(shelves.load("presets", "joints"), RUNS[name])


def rigs(data: Path) -> list[tuple[str, str, Path]]:
    """Group, cluster and record of the rigs that are measured."""
    found: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for split in ("train", "test"):
        for file, cluster in zip(record_files(data, split), class_names(data, split), strict=True):
            made = load_record(file, ("joints",)).header.creator == "geomflow"
            group = {("train", False): 0, ("test", False): 1, ("test", True): 2}.get((split, made))
            if group is not None:
                found[GROUPS[group], cluster].append(file)
    return [(*which, file) for which, files in found.items() for file in files[:RIGS]]


@torch.no_grad()
def draw(pipeline: JointPipeline, surfaces: torch.Tensor, steps: int, way: str) -> np.ndarray:
    """Points (rigs, draws * tokens, 3) of every surface."""
    model, device = pipeline.model, pipeline.model.scale.mean.device
    flow_map, parts = model.flow_map, []
    for start in range(0, len(surfaces), BATCH):
        told = flow_map.network.encode_condition({"surface": surfaces[start : start + BATCH].to(device)})
        told = {name: rows.repeat_interleave(DRAWS, 0) for name, rows in told.items()}
        noise = noise_of(model, len(told["vector"]), start * DRAWS)
        if way == "euler":
            latents = flow_map.sample_ode(noise, steps, "euler", condition=told)
        else:
            latents = flow_map.sample(noise, steps, condition=told)
        points = model.autoencoder.decode(model.scale.restore(latents))
        parts.append(points.unflatten(0, (-1, DRAWS)).flatten(1, 2).cpu())
    return torch.cat(parts).numpy()


def predict(name: str, data: Path, runs: Path, device: str) -> None:
    """Train a run and draw its points, as far as that is not done."""
    run = runs / name
    if not (run / "config.json").is_file():
        train(config_of(name), data, run, device=device, progress=False)
    if (run / "points.npz").is_file():
        return
    pipeline = JointPipeline.from_pretrained(run, device)
    records = [load_record(file, ARRAYS[:2]) for _, _, file in rigs(data)]
    count = pipeline.model.autoencoder.points
    rows = [np.concatenate([one.surface_points[:count], one.surface_normals[:count]], 1) for one in records]
    surfaces, ways = torch.from_numpy(np.stack(rows)), WAYS[name.split("-")[0]]
    points: dict[str, Any] = {f"{way}-{steps}": draw(pipeline, surfaces, steps, way) for way, steps in ways}
    np.savez(run / "points.npz", **points)


def measure(run: Path, data: Path) -> dict[str, dict[str, list[float]]]:
    """CD-J2J, precision, recall and IoU by way and group."""
    scores: dict[str, dict[str, dict[str, list]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    with np.load(run / "points.npz") as points:
        arrays = {way: points[way] for way in points.files}
    for i, (group, cluster, file) in enumerate(tqdm(rigs(data), desc=run.name)):
        record = load_record(file, ARRAYS)
        mesh = trimesh.Trimesh(record.vertices, record.faces, process=False)
        wanted = record.distinct_joints().astype(float)
        tolerance, size = local_diameters(wanted, mesh) / 2, float(mesh.extents.max())
        for way, drawn in arrays.items():
            found = cluster_joints(drawn[i].astype(float), RADIUS)[0]
            row = [joint_chamfer(found, wanted, size), *match_joints(found, wanted, tolerance)]
            scores[way][group][cluster].append(row)
    return {
        way: {group: np.mean([np.mean(rows, 0) for rows in own.values()], 0).tolist() for group, own in groups.items()}
        for way, groups in scores.items()
    }


def write(runs: Path, out: Path) -> None:
    """The table: mean and spread over seeds."""
    lines = []
    for group in GROUPS:
        lines += [f"\n## {group.capitalize()}\n", "| way | CD-J2J % | precision % | recall % | IoU % |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for kind, label in (("plain", "plain diffusion"), ("flow", "flow map")):
            found = [json.loads(file.read_text()) for file in sorted(runs.glob(f"{kind}-*/scores.json"))]
            for way in found[0] if found else ():
                rows = 100 * np.array([one[way][group] for one in found])
                cells = [f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(rows.mean(0), rows.std(0), strict=True)]
                lines.append(f"| {label}, {way.replace('-', ' ')} | {' | '.join(cells)} |")
    print("\n".join(lines))
    (out / "joints_table.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Make runs, measure those that are there, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("build/runs/joints"))
    parser.add_argument("--only", nargs="*", choices=RUNS, default=tuple(RUNS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="folder of the table; without it nothing is measured")
    options = parser.parse_args()
    for name in options.only:
        predict(name, options.data, options.runs, options.device)
        if options.out and not (options.runs / name / "scores.json").is_file():
            scores = measure(options.runs / name, options.data)
            (options.runs / name / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    if options.out:
        write(options.runs, options.out)


if __name__ == "__main__":
    main()
