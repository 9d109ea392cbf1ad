"""Skeletal joints in few steps beside plain diffusion of the same network, on rigs seen in training and not.

python -m benchmarks.joints build/joints --runs build/runs/joints --out docs/results
python -m benchmarks.joints build/joints --only flow-0 plain-0 --device cuda
python -m benchmarks.joints build/joints --model joints

Runs are the preset `joints` with half of its steps and three seeds, and plain ones (`--objective instantaneous`) of as
many. Each run predicts joints for one rig of every cluster, from two sets of 64 points gathered together. How near
points are gathered is chosen for every way by itself: where it has the most joints matched on seen rigs. What is
trained, drawn or measured already is not done again.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from tqdm import tqdm

from geomflow import checkpoint, shelves
from geomflow.config import RunConfig, override
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.skeleton import cluster_joints, skeleton_tree, without_strays
from geomflow.metrics.joints import joint_chamfer, local_diameters, match_joints
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines.joints import STRAY, JointPipeline
from geomflow.prep.manifest import class_names, record_files
from geomflow.records import load_record
from geomflow.train import train
from geomflow.viz import image_sheet, render_skeleton, save_png

STEPS, SEEDS, DRAWS, BATCH = 1500, (0, 1, 2), 2, 32
RADII = (0.08, 0.11, 0.14, 0.17, 0.2, 0.23)
RUNS = {
    **{f"flow-{seed}": {"optimization.seed": str(seed)} for seed in SEEDS},
    **{f"plain-{seed}": {"optimization.seed": str(seed), "objective": "instantaneous"} for seed in SEEDS},
}
"""Settings of every run, by name."""

WAYS = {
    "flow": [*(("jumps", steps) for steps in (1, 2, 5, 10, 50)), ("euler", 50)],
    "plain": [("euler", steps) for steps in (1, 5, 10, 50, 1000)],
}
NAMES = {"plain": "plain diffusion", "flow": "flow map"}
ARRAYS = ("surface_points", "surface_normals", "joints", "skin_joints", "skin_weights", "vertices", "faces")
GROUPS = (SEEN, UNSEEN, MADE) = ("seen rigs", "unseen rigs", "unseen procedural rigs")

Scores = dict[str, dict[str, list[float]]]
"""CD-J2J, precision, recall and IoU by way and group of rigs."""


def config_of(name: str) -> RunConfig:
    """The configuration of a run."""
    return override(shelves.load("presets", "joints"), {"optimization.steps": str(STEPS), **RUNS[name]})


def rigs(data: Path) -> list[tuple[str, str, Path]]:
    """Group, cluster and record of the rigs that are measured: the first of each cluster."""
    found: dict[tuple[str, str], Path] = {}
    for split in ("train", "test"):
        for file, cluster in zip(record_files(data, split), class_names(data, split), strict=True):
            made = load_record(file, ("joints",)).header.creator == "geomflow"
            group = {("train", False): SEEN, ("test", False): UNSEEN, ("test", True): MADE}.get((split, made))
            if group:
                found.setdefault((group, cluster), file)
    return [(*which, file) for which, file in found.items()]


@torch.no_grad()
def draw(pipeline: JointPipeline, surfaces: torch.Tensor, steps: int, way: str, draws: int) -> np.ndarray:
    """Points (rigs, draws * tokens, 3) of every surface."""
    model, device = pipeline.model, pipeline.model.scale.mean.device
    flow_map, parts = model.flow_map, []
    for start in range(0, len(surfaces), BATCH):
        told = flow_map.network.encode_condition({"surface": surfaces[start : start + BATCH].to(device)})
        told = {name: rows.repeat_interleave(draws, 0) for name, rows in told.items()}
        noise = noise_of(model, len(told["vector"]), start * draws)
        if way == "euler":
            latents = flow_map.sample_ode(noise, steps, "euler", condition=told)
        else:
            latents = flow_map.sample(noise, steps, condition=told)
        points = model.autoencoder.decode(model.scale.restore(latents))
        parts.append(points.unflatten(0, (-1, draws)).flatten(1, 2).cpu())
    return torch.cat(parts).numpy()


def drawn(pipeline: JointPipeline, data: Path, ways: Sequence[tuple[str, int]], draws: int) -> dict[str, Any]:
    """Points of every rig by way."""
    records = [load_record(file, ARRAYS[:2]) for _, _, file in rigs(data)]
    count = pipeline.model.autoencoder.points
    rows = [np.concatenate([one.surface_points[:count], one.surface_normals[:count]], 1) for one in records]
    surfaces = torch.from_numpy(np.stack(rows))
    return {f"{way}-{steps}": draw(pipeline, surfaces, steps, way, draws) for way, steps in ways}


def predict(name: str, data: Path, runs: Path, device: str) -> None:
    """Train a run and draw its points, as far as that is not done."""
    run = runs / name
    if not (run / "config.json").is_file():
        train(config_of(name), data, run, device=device, progress=False)
    if not (run / "points.npz").is_file():
        pipeline = JointPipeline.from_pretrained(run, device)
        np.savez(run / "points.npz", **drawn(pipeline, data, WAYS[name.split("-")[0]], DRAWS))


def inside(points: np.ndarray, field: SignedDistanceField) -> np.ndarray:
    """Points without strays, as `geomflow joints` leaves them out."""
    return without_strays(points.astype(float), lambda places: field(places).distance, STRAY)


def measure(points: Mapping[str, np.ndarray], data: Path) -> Scores:
    """CD-J2J, precision, recall and IoU by way and group, each way with its own radius, which is there too."""
    scores: dict[tuple[str, float], dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for i, (group, _, file) in enumerate(tqdm(rigs(data))):
        record = load_record(file, ARRAYS)
        mesh = trimesh.Trimesh(record.vertices, record.faces, process=False)
        wanted = record.distinct_joints().astype(float)
        tolerance, size = local_diameters(wanted, mesh) / 2, float(mesh.extents.max())
        field = SignedDistanceField(mesh, internal_walls=False)
        kept = {way: inside(clouds[i], field) for way, clouds in points.items()}
        for way, radius in product(points, RADII):
            found = cluster_joints(kept[way], radius)[0]
            row = [joint_chamfer(found, wanted, size), *match_joints(found, wanted, tolerance)]
            scores[way, radius][group].append(row)
    means = {key: {group: np.mean(rows, 0).tolist() for group, rows in own.items()} for key, own in scores.items()}
    best = {way: max(RADII, key=lambda radius, way=way: means[way, radius][SEEN][3]) for way in points}
    return {way: {**means[way, radius], "radius": [radius]} for way, radius in best.items()}


HEAD = """# Skeletal joints in few steps

    python -m data_prep.joints DATA --out build/joints.csv
    geomflow prep build/joints.csv build/joints --rig --resolution 0 --volume-points 0 --near-points 0 --sharp-points 0
    python -m benchmarks.joints build/joints --out docs/results

Preset `joints` for {steps:,} steps, with {flow_seeds} seeds as a flow map and with {plain_seeds} as a plain diffusion
of the same network (`--objective instantaneous`); {flow:.0f} and {plain:.0f} minutes of a core each, on a machine with
other work. `jumps` are those of the flow map, `euler` steps those of the ODE of the same weights (DDIM); either makes
one network call a step. Mean and standard deviation over seeds of scores that are averaged over rigs, one of each
cluster ({rigs}). CD-J2J is relative to the longest edge of the box; tolerances are half the local thickness
([how](../../geomflow/metrics/joints.py)). Points are gathered with the radius that matches most joints (IoU) on the
seen rigs, chosen for every way and seed by itself; scores of seen rigs are by so much too good for all.
"""


def write(runs: Path, data: Path, out: Path) -> None:
    """The tables, mean and spread over seeds, and the picture."""
    done = {kind: sorted(file.parent for file in runs.glob(f"{kind}-*/scores.json")) for kind in NAMES}
    found = {kind: [json.loads((run / "scores.json").read_text()) for run in own] for kind, own in done.items()}
    facts = {kind: [checkpoint.load(run).facts for run in own] for kind, own in done.items()}
    minutes = {kind: np.mean([one["training_seconds"] for one in own]) / 60 for kind, own in facts.items()}
    seeds = {f"{kind}_seeds": len(own) for kind, own in done.items()}
    counts = Counter(group for group, _, _ in rigs(data))
    about = ", ".join(f"{counts[group]} {group}" for group in GROUPS)
    lines = [HEAD.format(steps=STEPS, rigs=about, **minutes, **seeds)]
    lines += [line for group in GROUPS for line in table(group, found)]
    lines += ["", "![Unseen rigs and their skeletons](joints.png)", "", CAPTION]
    print("\n".join(lines))
    (out / "joints.md").write_text("\n".join(lines) + "\n")
    save_png(image_sheet(pictures(runs, data), columns=counts[UNSEEN], size=SIZE), out / "joints.png")


def table(group: str, found: dict[str, list[Scores]]) -> list[str]:
    """Lines of the scores on a group of rigs, of models by kind: mean and, of several, standard deviation."""
    lines = [f"\n## {group.capitalize()}\n", "| way | CD-J2J % | precision % | recall % | IoU % |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for kind, models in found.items():
        for way in models[0] if models else ():
            rows = 100 * np.array([one[way][group] for one in models])
            spread = [f" ± {x:.1f}" for x in rows.std(0, ddof=1)] if len(rows) > 1 else [""] * rows.shape[1]
            cells = [f"{mean:.1f}{extra}" for mean, extra in zip(rows.mean(0), spread, strict=True)]
            lines.append(f"| {NAMES[kind]}, {way.replace('-', ' ')} | {' | '.join(cells)} |")
    return lines


SIZE = 200
CAPTION = """*The unseen rigs. Rows: their own joints; plain diffusion in 1,000 steps; the flow map in 5 jumps and in 1
(seed 0). Bones are in every row the shortest tree, bones outside the shape counting four times.*"""


def pictures(runs: Path, data: Path) -> list[np.ndarray]:
    """Skeletons of unseen rigs, row by row: their own, of plain diffusion, of five jumps and of one."""
    ways = (("plain-0", "euler-1000"), ("flow-0", "jumps-5"), ("flow-0", "jumps-1"))
    scores = [json.loads((runs / run / "scores.json").read_text())[way] for run, way in ways]
    points = [np.load(runs / run / "points.npz")[way] for run, way in ways]
    rows: list[list[np.ndarray]] = [[] for _ in range(4)]
    for i, (group, _, file) in enumerate(rigs(data)):
        if group != UNSEEN:
            continue
        record = load_record(file, ARRAYS)
        mesh = trimesh.Trimesh(record.vertices, record.faces, process=False)
        field = SignedDistanceField(mesh, internal_walls=False)
        found = [
            cluster_joints(inside(one[i], field), score["radius"][0])[0]
            for one, score in zip(points, scores, strict=True)
        ]
        for row, joints in zip(rows, [record.distinct_joints().astype(float), *found], strict=True):
            parents = skeleton_tree(joints, lambda places, field=field: field(places).distance)
            row.append(render_skeleton(mesh, joints, parents, SIZE))
    return [picture for row in rows for picture in row]


def main() -> None:
    """Make runs, measure those that are there, write the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("build/runs/joints"))
    parser.add_argument("--only", nargs="*", choices=RUNS, default=tuple(RUNS))
    parser.add_argument("--model", help="an embedded model or a run: measure it and nothing else")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="folder of tables and picture; without it nothing is measured")
    options = parser.parse_args()
    if options.model:
        pipeline = JointPipeline.from_pretrained(options.model, options.device)
        points = drawn(pipeline, options.data, WAYS["flow"], draws=4)
        print(*(line for group in GROUPS for line in table(group, {"flow": [measure(points, options.data)]})), sep="\n")
        return
    for name in options.only:
        predict(name, options.data, options.runs, options.device)
        if options.out and not (options.runs / name / "scores.json").is_file():
            with np.load(options.runs / name / "points.npz") as points:
                scores = measure({way: points[way] for way in points.files}, options.data)
            (options.runs / name / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    if options.out:
        write(options.runs, options.data, options.out)


if __name__ == "__main__":
    main()
