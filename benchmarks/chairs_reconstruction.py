"""How well the embedded model's autoencoder reproduces chairs it has not seen, beside retrieval and PCA.

python -m benchmarks.chairs_reconstruction build/seating --model chairs --out docs/results
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import trimesh
from scipy.ndimage import zoom
from tqdm import tqdm

from geomflow.geometry import SdfGrid, SignedDistanceField, extract_mesh, sample_surface
from geomflow.geometry.grid import narrow_band
from geomflow.metrics import MeasuredShape, ReconstructionMetrics, compare_shapes, summaries
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.records import ShapeRecord, load_record
from geomflow.viz import contact_sheet, save_png

RESOLUTION = 128
POINTS = 100_000
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
    names = ("sdf_grid", "vertices", "faces")
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


def measured_model(pipeline: Pipeline, record: ShapeRecord, seed: int) -> tuple[MeasuredShape, trimesh.Trimesh]:
    """The autoencoder's reconstruction, asked at the nodes themselves."""
    field = pipeline.field(pipeline.encode(mesh_of(record)))
    mesh = extract_mesh(field, RESOLUTION)
    inside = narrow_band(field, RESOLUTION, slack=1.5).values < 0
    return MeasuredShape(inside, sample_surface(mesh, POINTS, seed), float(mesh.area)), mesh


def nearest_grid(occupied: np.ndarray, wanted: np.ndarray) -> int:
    """The training shape of the highest IoU with the wanted one on the coarse grid: the best that retrieval can do."""
    both = (occupied & wanted).sum(axis=(1, 2, 3))
    return int(np.argmax(both / (occupied | wanted).sum(axis=(1, 2, 3))))


def group(record: ShapeRecord) -> str:
    """Procedural or real, by where the mesh comes from."""
    return "procedural" if record.header.id.startswith(PROCEDURAL) and record.header.id[-5:].isdigit() else "real"


def measure(
    data: Path, model: str, limit: int | None
) -> tuple[dict[str, list[tuple[str, ReconstructionMetrics]]], list]:
    """Metrics per method and shape, and pairs of meshes for the picture."""
    pipeline, train, test = Pipeline.from_pretrained(model), records(data, "train"), records(data, "test")[:limit]
    grids = np.stack([record.sdf_grid for record in train]).astype(np.float32)
    linear, occupied = fit_linear(grids), grids < 0
    methods: dict[str, Callable[[ShapeRecord], MeasuredShape]] = {
        f"PCA, {n} numbers": lambda r, n=n: measured_grid(linear.reconstruct(r.sdf_grid.astype(np.float32), n), 1)
        for n in (64, 256, len(train) - 1)
    }
    methods["nearest training shape"] = lambda r: measure_reference_again(train[nearest_grid(occupied, r.sdf_grid < 0)])
    rows: dict[str, list[tuple[str, ReconstructionMetrics]]] = {name: [] for name in ("autoencoder", *methods)}
    pairs = []
    for record in tqdm(test, desc="test shapes"):
        reference = measured_reference(record, seed=0)
        found, mesh = measured_model(pipeline, record, seed=1)
        rows["autoencoder"].append((record.header.id, compare_shapes(reference, found)))
        pairs.append((mesh_of(record), mesh, group(record)))
        for name, method in methods.items():
            rows[name].append((record.header.id, compare_shapes(reference, method(record))))
    groups = {record.header.id: group(record) for record in test}
    return {"rows": rows, "groups": groups}, pairs


def measure_reference_again(record: ShapeRecord) -> MeasuredShape:
    """A training shape with other surface samples than a reference has."""
    return measured_reference(record, seed=1)


def table(rows: dict[str, list[tuple[str, ReconstructionMetrics]]], chosen: set[str]) -> list[str]:
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


def main() -> None:
    """Measure, print, and write tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="chairs")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    found, pairs = measure(options.data, options.model, options.limit)
    lines = []
    for name in ("procedural", "real"):
        chosen = {shape for shape, kind in found["groups"].items() if kind == name}
        if chosen:
            lines += [f"\n### {len(chosen)} {name} test shapes\n", *table(found["rows"], chosen)]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "chairs_reconstruction.md").write_text("\n".join(lines).strip() + "\n")
    flat = {name: {shape: asdict(m) for shape, m in results} for name, results in found["rows"].items()}
    (options.out / "chairs_reconstruction.json").write_text(json.dumps(flat, indent=1) + "\n")
    shown = [
        pair
        for kind in ("procedural", "real")
        for pair in [p for p in pairs if p[2] == kind][:: 12 if kind == "procedural" else 6]
    ][:8]
    sheet = [mesh for original, _, _ in shown for mesh in [original]] + [mesh for _, mesh, _ in shown]
    save_png(contact_sheet(sheet, columns=len(shown), size=220), options.out / "chairs_reconstruction.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
