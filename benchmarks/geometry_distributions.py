"""Geometry distributions of known meshes in few calls, beside a plain diffusion of the same budget: one table.

python -m benchmarks.geometry_distributions --out docs/results            # an hour on 2 cores; goes on where it stopped
python -m benchmarks.geometry_distributions --out docs/results --tables   # only tables and pictures, of what is there

Every training runs on one thread, two at a time; runs, points and numbers are kept in build/geometry_distributions.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

BUILD = Path("build/geometry_distributions")
RECORD = BUILD / "record.jsonl"
DATA = Path(os.environ.get("GEOMFLOW_DATA", "../shared/data"))
POINTS, STEPS, BASELINE_STEPS, ABLATION_STEPS, STUDY_STEPS = 100_000, 5800, 5300, 1500, 800

SHAPES = {
    "bunny": "classics/stanford_bunny.obj",
    "armadillo": "classics/armadillo.obj",
    "spot": "classics/spot.obj",
    "suzanne": "classics/suzanne.obj",
    "teapot": "classics/utah_teapot.obj",
    "fandisk": "classics/fandisk.obj",
    "drill": "classics/ycb_power_drill.obj",
    "menger sponge": "classics/menger_sponge_3.glb",
}
DIFFICULT = {
    "gear housing": "classics/cycloidal.ply",
    "milk truck": "classics/cesium_milk_truck.glb",
    "tray": "messy/files/027_1002_tray_bottom.STL",
    "pond": "messy/files/043_pond.0.ply",
}
"""Shapes that are no single closed surface."""

WHY = {
    "gear housing": "100 bodies, 242 edges of more than two faces",
    "milk truck": "13 bodies, open; texture colours fitted with the points",
    "tray": "a sheet of metal, 3 mm thick, 356 mm wide; triangles that share no vertices",
    "pond": "no faces: a cloud of 70,051 points",
}

BESIDE = ("bunny", "fandisk")
"""Shapes that are also fitted by the baseline."""

TRIED = ("bunny", "spot", "fandisk")
"""Shapes of the study of formulations and objectives, with a smaller network."""

FLOW_MAP = [(1, False), (2, False), (4, False), (8, False), (18, True)]
DIFFUSION = [(64, True), (18, True), (6, True), (3, True)]
STUDIED = [(1, False), (4, False), (18, True)]
"""Steps, and whether they are Heun's of the ODE."""

FORMULATIONS = ("edm", "x1_prediction", "u_prediction", "ddim")
OBJECTIVES = ("semigroup", "eulerian", "lagrangian")


OTHERWISE: dict[str, dict[str, str]] = {
    "the recipe": {},
    "jumps: squared error": {"objective.huber": "0"},
    "jumps: targets that move, one stage": {"optimization.second_stage": "0"},
    "jumps: two parts, targets that move": {"objective.split": "random"},
    "instants: single draws as targets": {"dataset.neighbours": "0"},
    "AdamW": {"optimization.optimizer": "adamw", "optimization.learning_rate": "2e-3"},
    "eight octaves": {"network.octaves": "8"},
}
"""What the recipe would be without one of its parts, on the bunny."""


@dataclass(frozen=True)
class Fit:
    """One training and how it is sampled."""

    shape: str
    kind: str
    formulation: str = "edm"
    objective: str = "semigroup"
    settings: dict[str, str] = field(default_factory=dict)
    samples: Sequence[tuple[int, bool]] = ()
    points: int = POINTS
    attributes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Folder of its run."""
        return f"{self.kind} {self.formulation} {self.shape}".replace(" ", "_").replace(",", "").replace(":", "")


def steps_of(count: int) -> dict[str, str]:
    """Settings of a training of a fixed length, which depends on no clock; the learning rate of long ones."""
    return {
        "optimization.steps": str(count),
        "optimization.save_every": str(-(-count // 5)),
        "optimization.learning_rate": "4e-3",
    }


def fits() -> list[Fit]:
    """All trainings, in order."""
    ours = [Fit(shape, "flow map", settings=steps_of(STEPS), samples=FLOW_MAP) for shape in SHAPES]
    plain = {**steps_of(BASELINE_STEPS), "times.warm_up": "1.0", "times.full_span": "1.0"}
    theirs = [Fit(s, "diffusion", "edm", "instantaneous", plain, DIFFUSION) for s in BESIDE]
    studied = [
        Fit(
            *(shape, f"study {objective}", formulation, objective),
            {**steps_of(STUDY_STEPS), "network.width": "64", "network.depth": "3"},
            STUDIED,
            20_000,
        )
        for objective in OBJECTIVES
        for formulation in FORMULATIONS
        for shape in TRIED
    ]
    ablations = [
        Fit("bunny", kind, settings={**steps_of(ABLATION_STEPS), **changes}, samples=FLOW_MAP)
        for kind, changes in OTHERWISE.items()
    ]
    colors = {"milk truck": ["colors"]}
    difficult = [
        Fit(shape, "difficult", settings=steps_of(ABLATION_STEPS), attributes=colors.get(shape, ()))
        for shape in DIFFICULT
    ]
    return ours + theirs + difficult + ablations + studied


def run(fit: Fit) -> None:
    """Train, sample and measure one fit, and add it to the record."""
    import torch

    from geomflow.errors import TrainingError
    from geomflow.fit import fit as train
    from geomflow.pipelines.points import PointPipeline

    torch.set_num_threads(1)
    folder, mesh = BUILD / fit.name, DATA / (SHAPES | DIFFICULT)[fit.shape]
    resume = (folder / "state" / "training.pt").is_file()
    start = time.process_time()
    try:
        train(
            *(mesh, folder),
            formulation=fit.formulation,
            objective=fit.objective,
            attributes=fit.attributes,
            settings=None if resume else fit.settings,
            resume=resume,
            progress=False,
        )
    except TrainingError as error:
        diverged = {way: {"chamfer-over-floor": float("inf")} for way in map(called, fit.samples)}
        add({"name": fit.name, "cpu": time.process_time() - start, "found": diverged, "error": str(error)})
        return
    cpu = time.process_time() - start
    pipeline = PointPipeline.from_pretrained(folder)
    weights = sum(weight.numel() for weight in pipeline.model.flow_map.parameters())
    row: dict[str, Any] = {"name": fit.name, "cpu": cpu, "resumed": resume, "weights": weights, "found": {}}
    row["facts"] = pipeline.saved.facts
    for steps, ode in fit.samples:
        row["found"][called((steps, ode))] = measured(pipeline, steps, ode, mesh, fit.points)
    if fit.kind in OTHERWISE:
        spread = pipeline.model.flow_map.formulation
        pipeline.model.flow_map.formulation = replace(spread, jump_ratios=None)
        row["found"]["4 jumps, ODE's times"] = measured(pipeline, 4, False, mesh, fit.points)
    add(row)


def called(way: tuple[int, bool]) -> str:
    """A way of sampling by its network calls."""
    steps, ode = way
    return f"{2 * steps - 1} ode" if ode else f"{steps} jumps"


def add(row: dict[str, Any]) -> None:
    """Add a row to the record."""
    with RECORD.open("a") as file:
        file.write(json.dumps(row) + "\n")


def measured(pipeline: Any, steps: int, ode: bool, mesh: Path, points: int) -> dict[str, float]:
    """Numbers of the protocol geomdist for one way of sampling, and the seconds that sampling took."""
    from geomflow.metrics import Options, evaluate

    start = time.perf_counter()
    cloud = pipeline(points, steps, seed=7, ode=ode).points
    seconds = time.perf_counter() - start
    if not np.isfinite(cloud).all():
        return {"chamfer-over-floor": float("inf")}
    file = BUILD / f"points-{os.getpid()}.npy"
    np.save(file, cloud)
    found = evaluate(file, mesh, "geomdist", points=points, options=Options(cache=None, workers=1, any_frame=True))
    file.unlink()
    return {**found.as_dict()["results"], "seconds": seconds}


def record() -> dict[str, dict[str, Any]]:
    """What was measured so far, by name."""
    rows = [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.is_file() else []
    return {row["name"]: row for row in rows}


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(row: dict[str, Any] | None, way: str, metric: str = "chamfer-over-floor", digits: int = 3) -> str:
    """One number of a row, or a dash."""
    if row is None or way not in row["found"] or metric not in row["found"][way]:
        return "-"
    return f"{row['found'][way][metric]:.{digits}f}"


def flow_map_table(rows: dict[str, dict[str, Any]]) -> str:
    """Chamfer over its floor by calls, the distance to the surface, and the evenness."""
    ways = ["1 jumps", "2 jumps", "4 jumps", "8 jumps", "35 ode"]
    names = {shape: Fit(shape, "flow map").name for shape in SHAPES}
    body = []
    for shape, name in names.items():
        row = rows.get(name)
        cells = [number(row, way) for way in ways]
        off = [number(row, way, "to-surface-mean", 4) for way in ("1 jumps", "4 jumps")]
        even = [number(row, way, "dispersion", 2) for way in ("1 jumps", "4 jumps", "35 ode")]
        body.append([shape, *cells, " / ".join(off), " / ".join(even), f"{row['cpu'] / 60:.1f}" if row else "-"])
    known = [rows[name]["found"] for name in names.values() if name in rows]
    if known:
        medians = [f"**{statistics.median(found[way]['chamfer-over-floor'] for found in known):.3f}**" for way in ways]
        body.append(["**median**", *medians, "", "", ""])
    header = ["shape", "1 call", "2", "4", "8", "ODE, 35", "to surface, 1 / 4", "dispersion, 1 / 4 / ODE", "CPU min"]
    return table(header, body)


def baseline_table(rows: dict[str, dict[str, Any]]) -> str:
    """Ours and the plain diffusion of the same budget, chamfer over floor and seconds."""
    body = []
    for shape in BESIDE:
        ours, theirs = rows.get(Fit(shape, "flow map").name), rows.get(Fit(shape, "diffusion").name)
        cells = [number(ours, way) for way in ("1 jumps", "4 jumps")]
        cells += [number(theirs, way) for way in ("127 ode", "35 ode", "11 ode", "5 ode")]
        times = [number(ours, "4 jumps", "seconds", 1), number(theirs, "35 ode", "seconds", 1)]
        cpu = [f"{row['cpu'] / 60:.1f}" if row else "-" for row in (ours, theirs)]
        body.append([shape, *cells, " / ".join(times), " / ".join(cpu)])
    header = ["shape", "ours, 1 call", "4 calls", "diffusion, 127 calls", "35", "11 (6 steps)", "5 (3 steps)"]
    return table([*header, "seconds, 4 / 35 calls", "CPU min, ours / diffusion"], body)


def difficult_table(rows: dict[str, dict[str, Any]]) -> str:
    """The fits' own scores: chamfer over its floor of 20,000 points."""
    body = []
    for shape, why in WHY.items():
        facts = rows.get(Fit(shape, "difficult").name, {}).get("facts", {})
        scores = [f"{facts[key]:.3f}" if key in facts else "-" for key in (f"chamfer-over-floor-{k}" for k in (1, 4))]
        body.append([shape, why, *scores])
    return table(["shape", "what is difficult", "1 call", "4 calls"], body)


def ablation_table(rows: dict[str, dict[str, Any]]) -> str:
    """Chamfer over its floor, by what was done otherwise."""
    ways = ["1 jumps", "2 jumps", "4 jumps", "4 jumps, ODE's times", "35 ode"]
    body = []
    for kind in OTHERWISE:
        row = rows.get(Fit("bunny", kind).name)
        even = [number(row, way, "dispersion", 2) for way in ("1 jumps", "4 jumps", "35 ode")]
        body.append([kind, *(number(row, way) for way in ways), " / ".join(even), f"{row['cpu']:.0f}" if row else "-"])
    return table(
        ["otherwise", "1 call", "2", "4", "4 at the ODE's times", "ODE, 35", "dispersion, 1 / 4 / ODE", "CPU s"], body
    )


def study_table(rows: dict[str, dict[str, Any]]) -> str:
    """Medians over the shapes for every formulation with every objective."""
    body = []
    for formulation in FORMULATIONS:
        for objective in OBJECTIVES:
            found = [rows.get(Fit(shape, f"study {objective}", formulation).name) for shape in TRIED]
            known = [row["found"] for row in found if row]
            cells = [
                f"{statistics.median(one[way]['chamfer-over-floor'] for one in known):.2f}" if known else "-"
                for way in ("1 jumps", "4 jumps", "35 ode")
            ]
            cpu = f"{statistics.mean(row['cpu'] for row in found if row):.0f}" if known else "-"
            body.append([formulation, objective, *cells, cpu])
    return table(["formulation", "objective", "1 call", "4 calls", "its ODE, 35 calls", "CPU s"], body)


def write_tables(out: Path) -> None:
    """Put the tables between the markers of docs/results/geometry_distributions.md."""
    rows, file = record(), out / "geometry_distributions.md"
    text = file.read_text() if file.is_file() else "# Geometry distributions\n"
    tables = {
        "flow map": flow_map_table,
        "baseline": baseline_table,
        "difficult": difficult_table,
        "ablation": ablation_table,
        "study": study_table,
    }
    for name, made in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if begin not in text:
            text += f"\n{begin}{end}\n"
        before, _, rest = text.partition(begin)
        text = before + begin + made(rows) + "\n" + end + rest.partition(end)[2]
    file.write_text(text)


def pictures(out: Path) -> None:
    """One, two and four calls of ours above 35, 11 and 5 calls of the diffusion, for the shapes that have both."""
    from geomflow.pipelines.points import PointPipeline
    from geomflow.viz import render_points, save_png

    lines = []
    for shape in BESIDE:
        for kind, ways in (
            ("flow map", [(1, False), (2, False), (4, False)]),
            ("diffusion", [(18, True), (6, True), (3, True)]),
        ):
            pipeline = PointPipeline.from_pretrained(BUILD / Fit(shape, kind).name)
            clouds = [pipeline(60_000, steps, seed=7, ode=ode).points for steps, ode in ways]
            frame = clouds[0] if kind == "flow map" else lines[-1][1]
            lines.append(([render_points(cloud, 360, frame=frame) for cloud in clouds], frame))
    rows = [np.concatenate(drawn, axis=1) for drawn, _ in lines]
    save_png(np.concatenate(rows), out / "geometry_distributions.png")


def main() -> None:
    """Run what is not there yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", action="store_true")
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    if not arguments.tables:
        todo = [fit for fit in fits() if fit.name not in record()]
        with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(run, todo):
                write_tables(arguments.out)
    write_tables(arguments.out)
    pictures(arguments.out)


if __name__ == "__main__":
    main()
