"""How well autoencoders reproduce chairs they have not seen, beside retrieval and PCA.

python -m benchmarks.chairs_reconstruction build/seating --models chairs completion completion:128 --out docs/results

NAME:TOKENS takes that many tokens of a latent set. Test shapes that are nearer to a training shape than 1.5 times what
a second sample of that shape would be (`geomflow.metrics.duplicates`) count as near duplicates, and are left out of the
tables that say so.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import trimesh
from scipy.ndimage import zoom
from tqdm import tqdm

from geomflow.geometry import SdfGrid, SignedDistanceField, extract_mesh, sample_surface
from geomflow.geometry.grid import narrow_band
from geomflow.metrics import (
    MeasuredShape,
    ReconstructionMetrics,
    compare_shapes,
    duplicates,
    nearest,
    pairwise_chamfer,
    sampling_floors,
    summaries,
)
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.records import ShapeRecord, load_record
from geomflow.viz import contact_sheet, save_png

RESOLUTION = 128
POINTS = 100_000
CLOUD = 2048
Rows = dict[str, list[tuple[str, ReconstructionMetrics]]]
"""Metrics of every shape, by method."""

PROCEDURAL = ("chair_1", "chair_2", "chair_3", "bar_chair_", "office_chair_")


@dataclass(frozen=True)
class Linear:
    """Principal components of the training grids."""

    mean: np.ndarray
    components: np.ndarray

    def reconstruct(self, grid: np.ndarray, numbers: int) -> np.ndarray:
        """Project a grid on the first `numbers` components."""
        basis = self.components[:numbers]
        flat = grid.ravel() - self.mean
        return (self.mean + (basis @ flat) @ basis).reshape(grid.shape)


def fit_linear(grids: np.ndarray) -> Linear:
    """Principal components (n - 1, voxels) through the n x n Gram matrix."""
    flat = grids.reshape(len(grids), -1)
    mean = flat.mean(axis=0)
    centred = flat - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(values)[::-1][: len(grids) - 1]
    return Linear(mean, (vectors[:, order] / np.sqrt(values[order])).T @ centred)


def records(data: Path, split: str) -> list[ShapeRecord]:
    """Records of a split with the arrays needed here."""
    names = ("sdf_grid", "vertices", "faces", "surface_points")
    return [load_record(file, names) for file in record_files(data, split)]


def mesh_of(record: ShapeRecord) -> trimesh.Trimesh:
    """The record's normalised mesh."""
    return trimesh.Trimesh(record.vertices.astype(float), record.faces, process=False)


def measured_reference(record: ShapeRecord, seed: int) -> MeasuredShape:
    """Inside of the mesh and samples of its outer boundary: buried walls are no part of the solid."""
    field = SignedDistanceField(mesh_of(record), internal_walls=False)
    boundary = field.boundary()
    inside = narrow_band(lambda points: field(points).distance, RESOLUTION).values < 0
    return MeasuredShape(inside, sample_surface(boundary, POINTS, seed), float(boundary.area))


def measured_grid(values: np.ndarray, seed: int) -> MeasuredShape:
    """A coarse grid of distances as a shape: interpolated for the inside, extracted for the surface."""
    fine = zoom(values, RESOLUTION / values.shape[0], order=1)
    mesh = extract_mesh(SdfGrid(values.astype(np.float32)))
    return MeasuredShape(fine < 0, sample_surface(mesh, POINTS, seed), float(mesh.area))


def measured_model(
    pipeline: Pipeline, record: ShapeRecord, seed: int, tokens: int | None
) -> tuple[MeasuredShape, trimesh.Trimesh]:
    """The autoencoder's reconstruction, asked at the nodes near its surface."""
    field = pipeline.field(pipeline.encode(mesh_of(record), tokens))
    grid = narrow_band(field, RESOLUTION, slack=1.5)
    mesh = extract_mesh(grid)
    return MeasuredShape(grid.values < 0, sample_surface(mesh, POINTS, seed), float(mesh.area)), mesh


def nearest_grid(occupied: np.ndarray, wanted: np.ndarray) -> int:
    """The training shape of the highest IoU with the wanted one on the coarse grid: the best that retrieval can do."""
    both = (occupied & wanted).sum(axis=(1, 2, 3))
    return int(np.argmax(both / (occupied | wanted).sum(axis=(1, 2, 3))))


def group(record: ShapeRecord) -> str:
    """Procedural or real, by where the mesh comes from."""
    return "procedural" if record.header.id.startswith(PROCEDURAL) and record.header.id[-5:].isdigit() else "real"


def original(test: list[ShapeRecord], train: list[ShapeRecord]) -> set[str]:
    """Ids of test shapes that are no near duplicates of a training shape."""
    tested, trained = (np.stack([r.surface_points[:CLOUD] for r in part]).astype(float) for part in (test, train))
    copies = duplicates(nearest(pairwise_chamfer(tested, trained)), sampling_floors(trained))
    return {record.header.id for record, copy in zip(test, copies, strict=True) if not copy}


def baselines(train: list[ShapeRecord]) -> dict[str, Callable[[ShapeRecord], MeasuredShape]]:
    """Retrieval and PCA, on grids of the training shapes."""
    grids = np.stack([record.sdf_grid for record in train]).astype(np.float32)
    linear, occupied = fit_linear(grids), grids < 0
    methods: dict[str, Callable[[ShapeRecord], MeasuredShape]] = {
        f"PCA, {n} numbers": lambda r, n=n: measured_grid(linear.reconstruct(r.sdf_grid.astype(np.float32), n), 1)
        for n in (64, 256, len(train) - 1)
    }
    methods["nearest training shape"] = lambda r: measured_reference(train[nearest_grid(occupied, r.sdf_grid < 0)], 1)
    return methods


def measure(
    test: list[ShapeRecord], models: list[str], methods: dict[str, Callable[[ShapeRecord], MeasuredShape]]
) -> tuple[Rows, dict[str, trimesh.Trimesh]]:
    """Metrics per method and shape, and the meshes that the first model makes."""
    parts = [(name, int(tokens) if tokens else None) for name, _, tokens in (text.partition(":") for text in models)]
    pipelines = {name: Pipeline.from_pretrained(name) for name, _ in parts}
    rows: Rows = {row_name(*part): [] for part in parts} | {name: [] for name in methods}
    meshes = {}
    for record in tqdm(test, desc="test shapes"):
        reference = measured_reference(record, seed=0)
        for i, (name, tokens) in enumerate(parts):
            found, mesh = measured_model(pipelines[name], record, 1, tokens)
            rows[row_name(name, tokens)].append((record.header.id, compare_shapes(reference, found)))
            meshes |= {record.header.id: mesh} if i == 0 else {}
        for name, method in methods.items():
            rows[name].append((record.header.id, compare_shapes(reference, method(record))))
    return rows, meshes


def row_name(model: str, tokens: int | None) -> str:
    """What a table calls a model and its number of tokens."""
    return Path(model).name + (f", {tokens} tokens" if tokens else "")


def table(rows: Rows, chosen: Iterable[str]) -> list[str]:
    """Markdown table of mean, median and worst tenth over the chosen shapes."""
    lines = [
        "| method | IoU mean | median | worst 10 % | chamfer mean | F-score @ 1 % | normal consistency |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, results in rows.items():
        s = summaries(metrics for shape, metrics in results if shape in chosen)
        iou = s["iou"]
        numbers = [iou.mean, iou.median, iou.worst_tenth]
        rest = [s["chamfer"].mean, s["f_score"].mean, s["normal_consistency"].mean]
        lines.append(
            f"| {name} | "
            + " | ".join(f"{v:.3f}" for v in numbers)
            + " | "
            + " | ".join(f"{v:.4f}" for v in rest)
            + " |"
        )
    return lines


def groups(test: list[ShapeRecord], train: list[ShapeRecord]) -> dict[str, set[str]]:
    """Ids of the shapes of each table."""
    kinds = {kind: {r.header.id for r in test if group(r) == kind} for kind in ("procedural", "real")}
    every, fresh = set().union(*kinds.values()), original(test, train)
    return {"": every, "near-duplicate-free": fresh, **kinds, "near-duplicate-free real": fresh & kinds["real"]}


def sheet(test: list[ShapeRecord], meshes: dict[str, trimesh.Trimesh]) -> list[trimesh.Trimesh]:
    """Some test shapes, and what became of them."""
    kinds = {kind: [r for r in test if group(r) == kind] for kind in ("procedural", "real")}
    shown = [*kinds["procedural"][::12], *kinds["real"][::6]][:8]
    return [*map(mesh_of, shown), *(meshes[record.header.id] for record in shown)]


HEAD = """# Reconstruction of test chairs

    python -m benchmarks.chairs_reconstruction {data} --models {models}

IoU at the nodes of 128^3; chamfer and F-score from 100,000 points in the box of edge 2, F-score at 1 % of the edge.
Shapes are encoded from their meshes; nothing of the test split was trained on. Near-duplicate-free are shapes that no
training shape is within 1.5 times the distance of a second sample of it. PCA is fitted to the training grids; "nearest
training shape" is the one of highest IoU at 64^3.
"""


def main() -> None:
    """Measure, print, and write tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="+", default=["chairs"])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    train, test = records(options.data, "train"), records(options.data, "test")[: options.limit]
    rows, meshes = measure(test, options.models, baselines(train))
    lines = []
    for name, chosen in groups(test, train).items():
        if chosen:
            lines += [f"\n### {len(chosen)} {name} test shapes\n".replace("  ", " "), *table(rows, chosen)]
    options.out.mkdir(parents=True, exist_ok=True)
    head = HEAD.format(data=options.data, models=" ".join(options.models))
    (options.out / "chairs_reconstruction.md").write_text(head + "\n".join(lines) + "\n")
    flat = {name: {shape: asdict(m) for shape, m in results} for name, results in rows.items()}
    (options.out / "chairs_reconstruction.json").write_text(json.dumps(flat, indent=1) + "\n")
    meshes = sheet(test, meshes)
    save_png(contact_sheet(meshes, columns=len(meshes) // 2, size=220), options.out / "chairs_reconstruction.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
