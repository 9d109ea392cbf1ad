"""IoU of trained autoencoders, whatever they read, on the volume samples of every test record: a quick comparison.

python -m benchmarks.autoencoder_iou build/seating runs/point_autoencoder runs/grid_autoencoder

A minute for two runs, where `benchmarks.chairs_reconstruction` measures meshes and needs many.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.chairs_reconstruction import group
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.records import ShapeRecord, load_record


def view(record: ShapeRecord, autoencoder) -> torch.Tensor:
    """What the autoencoder reads of a record, as a batch of one."""
    if autoencoder.reads == "grid":
        return torch.from_numpy(np.asarray(record.sdf_grid, np.float32))[None]
    surface = np.concatenate([record.surface_points, record.surface_normals], axis=1)[: autoencoder.points]
    return torch.from_numpy(surface.astype(np.float32))[None]


@torch.no_grad()
def iou(pipeline: Pipeline, record: ShapeRecord) -> float:
    """Volume shared over volume covered, at the record's uniform points whose sign is sure."""
    latent = pipeline.model.autoencoder.encode(view(record, pipeline.model.autoencoder)).mean[0]
    inside, wanted = pipeline.field(latent)(record.vol_points) < 0, record.vol_sdf < 0
    sure = record.vol_confidence >= 0.5
    return float((inside & wanted & sure).sum() / max(1, ((inside | wanted) & sure).sum()))


def main() -> None:
    """Print a row per run and kind of shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    records = [load_record(file) for file in record_files(str(options.data), "test")]
    print("| run | shapes | mean IoU | median |\n| --- | --- | --- | --- |")
    for run in options.runs:
        pipeline = Pipeline.from_pretrained(str(run))
        found = [(group(record), iou(pipeline, record)) for record in records]
        for kind in sorted({name for name, _ in found}):
            values = np.array([value for name, value in found if name == kind])
            print(f"| {run.name} | {len(values)} {kind} | {values.mean():.3f} | {np.median(values):.3f} |", flush=True)


if __name__ == "__main__":
    main()
