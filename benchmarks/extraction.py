"""Extraction coarse to fine beside dense, as Markdown: samples asked for, seconds, memory and faces.

    python -m benchmarks.extraction

The tables of docs/results/extraction.md are what it printed. Every row runs in a process of its own, for its memory.
The last table is the embedded model's: noise to mesh in one step, its decoder asked coarse to fine or everywhere.
"""

import resource
import time
from collections.abc import Callable
from multiprocessing import get_context

import numpy as np

from geomflow.geometry import extract_mesh
from geomflow.geometry.primitives import Box, Difference, Moved, Sphere, Torus, Union

Field = Callable[[np.ndarray], np.ndarray]
FIELDS: dict[str, Field] = {
    "sphere": Sphere(0.8),
    "torus": Torus(),
    "box with a bite": Difference(Box((0.7, 0.7, 0.7)), Moved(Sphere(0.5), (0.6, 0.6, 0.6))),
    "sheet, 0.01 thick": Box((0.9, 0.005, 0.9)),
    "hollow ball, wall 0.01": Difference(Sphere(0.7), Sphere(0.69)),
    "two bodies": Union(Moved(Sphere(0.4), (-0.5, 0.0, 0.0)), Moved(Torus(), (0.3, 0.0, 0.0))),
}
RESOLUTIONS = (256, 512)


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock seconds, and the growth of the process's peak memory in GiB."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    work()
    return time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


def exact_row(name: str, resolution: int, method: str) -> str:
    """One field at one resolution."""
    asked, faces = [0], [0]

    def field(points: np.ndarray) -> np.ndarray:
        asked[0] += len(points)
        return FIELDS[name](points)

    def work() -> None:
        faces[0] = len(extract_mesh(field, resolution, method).faces)  # pyright: ignore[reportArgumentType]

    seconds, memory = measured(work)
    fewer = resolution**3 / asked[0]
    found = f"{asked[0]:,} | {fewer:.1f} | {seconds:.2f} | {memory:.2f} | {faces[0]:,}"
    return f"| {name} | {resolution} | {method} | {found} |"


def model_row(resolution: int, method: str) -> str:
    """Noise to mesh with the embedded model, one step, one shape, after a first one that warms up."""
    from geomflow.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained("chairs")
    asked = [0]

    def work() -> None:
        latent = pipeline.sample_latents(1, steps=1, seed=3)[0]
        field = pipeline.field(latent)
        asked[0] = 0

        def counted(points: np.ndarray) -> np.ndarray:
            asked[0] += len(points)
            return field(points)

        extract_mesh(counted, resolution, method)  # pyright: ignore[reportArgumentType]

    pipeline.sample_latents(1, steps=1, seed=0)
    network, _ = measured(lambda: pipeline.sample_latents(1, steps=1, seed=3))
    seconds, memory = measured(work)
    found = f"{asked[0]:,} | {resolution**3 / asked[0]:.1f} | {network:.3f} | {seconds:.2f} | {memory:.2f}"
    return f"| {resolution} | {method} | {found} |"


def alone(row: Callable[..., str], *arguments: object) -> str:
    """A row made in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(row, arguments)


def main() -> None:
    """Print the tables."""
    print("# Extraction\n\n    python -m benchmarks.extraction\n")
    print("Surfaces of exact fields. `times fewer` is nodes of the grid over samples asked for.\n")
    print("| field | resolution | method | samples | times fewer | s | GiB | faces |\n" + "| --- " * 8 + "|")
    for name in FIELDS:
        for resolution in RESOLUTIONS:
            print(alone(exact_row, name, resolution, "hierarchical"), flush=True)
    for resolution in RESOLUTIONS:
        print(alone(exact_row, "sphere", resolution, "dense"), flush=True)
    print("\nOne shape of the embedded model from noise to mesh, one step; `network s` is the sampling alone.\n")
    print("| resolution | method | samples | times fewer | network s | noise to mesh s | GiB |\n" + "| --- " * 7 + "|")
    for resolution, method in ((128, "hierarchical"), (256, "hierarchical"), (512, "hierarchical"), (256, "dense")):
        print(alone(model_row, resolution, method), flush=True)


if __name__ == "__main__":
    main()
