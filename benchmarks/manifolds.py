"""Flow maps on manifolds: mixtures on the sphere and of rotations, and a shape's normals on the sphere or as channels.

python -m benchmarks.manifolds --data shared/data/classics --out docs/results

It goes on where it was stopped. Every training has one thread and a fixed number of steps.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geomflow.fit import fit
from geomflow.geometry.attributes import PointSource, point_source
from geomflow.metrics.judge_points import PointJudge
from geomflow.ops import closest_point_on_mesh
from geomflow.pipelines.points import PointPipeline
from geomflow.viz import render_points, save_png
from tests.flow.curved_learning import energy_distance, mixture, noise_and_data, train

BUILD = Path("build/manifolds")
OBJECTIVES = ("geodesic_semigroup", "geodesic_lagrangian", "geodesic_eulerian")
JUMPS, FIT_JUMPS = (1, 2, 4), (1, 2, 4, 8)
MIXTURE_STEPS, FIT_STEPS, POINTS = 700, "2000", 20_000
SHAPE = "spot.obj"
SPHERE, DRAWN = {"manifolds.normals": "sphere"}, {"dataset.neighbours": "0"}
SHORT = {"optimization.steps": "1440"}
WAYS = {
    "channels": {},
    "sphere": SPHERE,
    "sphere, in as much time": SPHERE | SHORT,
    "channels, targets as drawn": DRAWN,
    "sphere, targets as drawn": SPHERE | DRAWN,
}
"""Settings of fits; a step on the sphere takes 1.39 times a step with channels."""


def mixture_row(name: str, objective: str) -> dict[str, float]:
    """Energy distances of samples to 4,000 held-out ones."""
    target, begin = mixture(name), time.process_time()
    flow_map = train(target, objective, MIXTURE_STEPS)
    seconds = time.process_time() - begin
    noise, data = noise_and_data(target)
    row = {str(k): energy_distance(flow_map.sample(noise, k), data) for k in JUMPS}
    row["euler"] = energy_distance(flow_map.sample_ode(noise, 1, "euler"), data)
    row["ode"] = energy_distance(flow_map.sample_ode(noise, 32), data)
    floors = [abs(energy_distance(target.draw(4000, torch.Generator().manual_seed(k)), data)) for k in range(8)]
    off = flow_map.sample(noise, 4)
    error = float((target.manifold.project(off.double()) - off).abs().max())
    start = energy_distance(flow_map.formulation.start(noise), data)
    return {**row, "floor": max(floors), "start": start, "off": error, "seconds": seconds}


def fitted(way: str, data: Path) -> PointPipeline:
    """The fit of one way, made if it is not there yet."""
    run, settings = BUILD / way.replace(", ", "-").replace(" ", "-"), {"optimization.steps": FIT_STEPS, **WAYS[way]}
    if not run.is_dir():
        fit(data / SHAPE, run, attributes=["normals"], settings=settings)
    return PointPipeline.from_pretrained(run)


def draw(pipeline: PointPipeline, steps: int, count: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Points and their third to sixth numbers as they are, before a pipeline makes them unit normals."""
    rows = torch.cat(list(pipeline.model.draw(count, steps, seed=1))).numpy()
    return rows[:, :3], rows[:, 3:]


def true_normals(source: PointSource, points: np.ndarray) -> np.ndarray:
    """The normal of the surface where it is closest."""
    vertices, faces = (torch.from_numpy(np.asarray(part))[None] for part in (source.shape.vertices, source.shape.faces))  # pyright: ignore
    found = closest_point_on_mesh(torch.from_numpy(points)[None].double(), vertices.double(), faces.long())
    return np.asarray(source.shape.face_normals)[found[2][0].numpy()]  # pyright: ignore


def fit_row(way: str, steps: int, data: Path) -> dict[str, float]:
    """How long normals are, how far they are turned, and how well the points lie."""
    source = point_source(data / SHAPE, ["normals"])
    points, normals = draw(fitted(way, data), steps)
    length = np.linalg.norm(normals, axis=1)
    cosine = (normals * true_normals(source, points)).sum(axis=1) / length
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
    return {
        "length": float(abs(length - 1).max()),
        "angle": float(angle.mean()),
        "median": float(np.median(angle)),
        "beyond": float((angle > 30).mean()),
        **PointJudge(source)(points),
    }


def record(key: str, make: object) -> dict[str, float]:
    """A row by its name, measured once."""
    file = BUILD / "rows.json"
    rows = json.loads(file.read_text()) if file.is_file() else {}
    if key not in rows:
        rows[key] = make()  # pyright: ignore
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows, indent=1))
    return rows[key]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def mixture_table() -> str:
    """A row for each manifold and objective."""
    body = []
    for name in ("sphere", "rotations"):
        for objective in OBJECTIVES:
            row = record(f"{name} {objective}", lambda name=name, law=objective: mixture_row(name, law))
            ends = [f"{row[key]:.4f}" for key in ("1", "2", "4", "ode", "euler", "start", "floor")]
            body.append([name, f"`{objective}`", *ends, f"{row['off']:.0e}", f"{row['seconds']:.0f}"])
    header = "manifold,objective,1 jump,2,4,its ODE (63 calls),one Euler step,noise,floor,off the manifold,CPU s"
    return table(header.split(","), body)


def fit_table(data: Path) -> str:
    """A row for each way and number of jumps."""
    body = []
    for way in WAYS:
        for steps in FIT_JUMPS:
            row = record(f"{way} {steps}", lambda way=way, steps=steps: fit_row(way, steps, data))
            angles = [f"{row['angle']:.1f}", f"{row['median']:.1f}", f"{100 * row['beyond']:.1f}"]
            places = [f"{row['chamfer-over-floor']:.3f}", f"{row['to-surface']:.4f}"]
            body.append([way, str(steps), f"{row['length']:.0e}", *angles, *places])
    header = "normals,jumps,largest error of a length,mean angle,median,% beyond 30,chamfer over floor,to surface"
    return table(header.split(","), body)


def picture(data: Path) -> np.ndarray:
    """Above, the mixture on the sphere; below, a shape coloured by its normals."""
    target = mixture("sphere")
    flow_map = train(target, "geodesic_lagrangian", MIXTURE_STEPS)
    noise, held_out = noise_and_data(target, 20_000)
    clouds: list[Tensor] = [
        flow_map.sample(noise, 1, return_path=True)[0],
        *(flow_map.sample(noise, k) for k in (1, 4)),
    ]
    above = [render_points(cloud.numpy(), 300, frame=clouds[0].numpy()) for cloud in [*clouds, held_out]]
    source = point_source(data / SHAPE, ["normals"])
    true = source.draw(60_000, np.random.default_rng(0))
    shown = [draw(fitted(way, data), steps, 60_000) for way, steps in (("channels", 1), ("sphere", 1), ("sphere", 4))]
    below = [
        render_points(points, 300, azimuth=215, colors=(normals.clip(-1, 1) + 1) / 2, frame=true[:, :3])
        for points, normals in [*shown, (true[:, :3], true[:, 3:])]
    ]
    return np.concatenate([np.concatenate(above, axis=1), np.concatenate(below, axis=1)])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with spot.obj")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, made in (("mixtures", mixture_table()), ("normals", fit_table(options.data))):
        print(made)
        page = options.out / "manifolds.md"
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        text = page.read_text() if page.is_file() else ""
        text = text if begin in text else f"{text}\n{begin}{end}\n"
        before, _, rest = text.partition(begin)
        page.write_text(before + begin + made + end + rest.partition(end)[2])
    save_png(picture(options.data), options.out / "manifolds.png")


if __name__ == "__main__":
    main()
