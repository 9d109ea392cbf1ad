"""Whole shapes from 64 points of test shapes: few steps of a flow map, many plain ones, retrieval and the ceiling.

python -m benchmarks.completion build/seating build/runs/completion --plain build/runs/completion_plain \
    --out docs/results

Both runs are of one network, trained on the same latents; the plain one (`--objective instantaneous`) regresses
instants alone and is sampled by its ODE (Heun, two network calls a step but the last). The ceiling is what the
autoencoder makes of the whole surface with as many tokens.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import KDTree
from tqdm import tqdm

from benchmarks.chairs_reconstruction import Rows, mesh_of, records, table
from geomflow.errors import EmptySurface
from geomflow.geometry import extract_mesh
from geomflow.geometry.frame import Similarity, sparse_similarity
from geomflow.metrics import compare_shapes, measure_shape
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.records import ShapeRecord
from geomflow.viz import contact_sheet, save_png

POINTS, RESOLUTION, SAMPLES, PLAIN_STEPS, CANDIDATES, SHOWN = 64, 96, 30_000, 64, 16, 8
SHEET = ("4 steps", f"4 steps, best of {CANDIDATES}", f"{PLAIN_STEPS} plain steps")
"""Ways on the picture, under the shapes and their points."""

HEAD = """# Shapes from 64 points

    python -m benchmarks.completion {data} {run} --plain {plain}

{run} was trained for {steps:,} steps, {plain} for {plain_steps:,}. Rows are means over the test shapes, completed
from 64 points each; IoU at the nodes of 64^3, chamfer and F-score from 30,000 points in the box of edge 2, F-score
at 1 % of the edge.
"""


def sparse(record: ShapeRecord) -> tuple[np.ndarray, Similarity]:
    """The points that a shape is completed from, in the record's frame, and the frame that they suggest."""
    rows = np.random.default_rng(int(record.header.sha256[:8], 16)).choice(
        len(record.surface_points), POINTS, replace=False
    )
    points = record.surface_points[rows].astype(float)
    return points, sparse_similarity(points)


def retrieved(points: np.ndarray, trees: list[KDTree], train: list[ShapeRecord]) -> trimesh.Trimesh:
    """The training shape whose surface the points are nearest to."""
    return mesh_of(train[int(np.argmin([np.square(tree.query(points)[0]).mean() for tree in trees]))])


def completions(run: ShapePipeline, plain: ShapePipeline, record: ShapeRecord) -> Iterator[tuple[str, trimesh.Trimesh]]:
    """What each way makes of a shape's points, in the frame that they suggest."""
    points, frame = sparse(record)
    for steps in (1, 2, 4):
        yield f"{steps} step{'s' * (steps > 1)}", _mesh(run, run.sample_latents(1, steps, condition=points)[0])
    best = run.sample_latents(1, 4, condition=points, candidates=CANDIDATES)[0]
    yield f"4 steps, best of {CANDIDATES}", _mesh(run, best)
    ode = run.sample_latents(1, PLAIN_STEPS, ode=True, condition=points)[0]
    yield f"{PLAIN_STEPS} steps of its own ODE", _mesh(run, ode)
    ode = plain.sample_latents(1, PLAIN_STEPS, ode=True, condition=points)[0]
    yield f"{PLAIN_STEPS} plain steps", _mesh(plain, ode)
    mesh = mesh_of(record)
    whole = trimesh.Trimesh(frame.apply(np.asarray(mesh.vertices)), mesh.faces, process=False)
    yield "autoencoder, whole surface", _mesh(run, run.encode(whole))


def _mesh(pipeline: ShapePipeline, latent) -> trimesh.Trimesh:
    try:
        return extract_mesh(pipeline.field(latent), RESOLUTION)
    except EmptySurface:  # counts as a point in the middle
        return trimesh.creation.icosphere(subdivisions=1, radius=0.01)


def measure(
    data: Path, run: ShapePipeline, plain: ShapePipeline, limit: int | None
) -> tuple[Rows, list[trimesh.Trimesh]]:
    """Metrics of every way and shape in the records' frame, and the meshes of some."""
    train, test = records(data, "train"), records(data, "test")[:limit]
    trees = [KDTree(record.surface_points[:4096]) for record in train]
    rows: Rows = {}
    pictures: list[list[trimesh.Trimesh]] = []
    for record in tqdm(test, desc="test shapes"):
        points, frame = sparse(record)
        reference = measure_shape(mesh_of(record), 64, SAMPLES, seed=0)
        made = dict(completions(run, plain, record))
        back = {
            name: trimesh.Trimesh(frame.undo(np.asarray(mesh.vertices)), mesh.faces, process=False)
            for name, mesh in made.items()
        }
        back["nearest training shape"] = retrieved(points, trees, train)
        for name, mesh in back.items():
            found = measure_shape(_clipped(mesh), 64, SAMPLES, seed=1)
            rows.setdefault(name, []).append((record.header.id, compare_shapes(reference, found)))
        dots = trimesh.util.concatenate([trimesh.creation.icosphere(1, 0.025).apply_translation(p) for p in points])
        pictures.append([mesh_of(record), dots, *(back[name] for name in SHEET)])
    chosen = pictures[:: max(1, len(pictures) // SHOWN)][:SHOWN]
    return rows, [mesh for row in zip(*chosen, strict=True) for mesh in row]


def _clipped(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A mesh within the box that measures are taken in."""
    return trimesh.Trimesh(np.clip(mesh.vertices, -1.05, 1.05), mesh.faces, process=False)


def main() -> None:
    """Measure, print, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--plain", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    run, plain = (ShapePipeline.from_pretrained(folder) for folder in (options.run, options.plain))
    rows, pictures = measure(options.data, run, plain, options.limit)
    steps, plain_steps = (one.saved.facts["step"] for one in (run, plain))
    about = {"data": options.data, "run": options.run, "plain": options.plain}
    lines = [
        HEAD.format(**about, steps=steps, plain_steps=plain_steps),
        *table(rows, {shape for results in rows.values() for shape, _ in results}),
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "completion.md").write_text("\n".join(lines) + "\n")
    save_png(
        contact_sheet(pictures, columns=len(pictures) // (2 + len(SHEET)), size=220), options.out / "completion.png"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
