"""Whether a class-conditional model makes what it is asked for, and solids of it.

python -m benchmarks.classes_generation build/categories --model categories --out docs/results

A sample counts as of its class if the training shape nearest to it (squared chamfer of 1,024 points, both scaled to the
unit ball) is. Test shapes are measured in the same way: how well the classes can be told apart so. `chance` is the
class's share of the training shapes.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import trimesh
from tqdm import tqdm

from geomflow.generation import Shape
from geomflow.geometry import sample_surface
from geomflow.metrics import nearest, pairwise_chamfer
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.prep.manifest import class_names, record_files
from geomflow.records import load_record
from geomflow.viz import contact_sheet, save_png

EACH, POINTS, RESOLUTION, SHOWN = 8, 1024, 64, 4
WAYS = {"1 step": (1, False), "4 steps": (4, False), "64-step ODE": (64, True)}
PICTURED = "4 steps"
CACHE = Path("build/classes_generated")


def in_ball(points: np.ndarray) -> np.ndarray:
    """Points moved and scaled so that the farthest lies on the unit sphere."""
    centred = points - points.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1).max()


def clouds(data: Path, split: str) -> np.ndarray:
    """Surface points (shapes, points, 3) of a split."""
    records = [load_record(file, ("surface_points",)) for file in record_files(data, split)]
    return np.stack([in_ball(record.surface_points[:POINTS].astype(float)) for record in records])


def made(pipeline: ShapePipeline, name: str, steps: int, ode: bool) -> list[Shape]:
    """Shapes of a class."""
    latents = pipeline.sample_latents(EACH, steps, seed=0, ode=ode, condition=name)
    return [pipeline.shape(latent, RESOLUTION) for latent in latents]


def right(shapes: list[trimesh.Trimesh], name: str, train: np.ndarray, names: np.ndarray) -> int:
    """How many meshes have a nearest training shape of the class; one without a surface has none."""
    points = [in_ball(sample_surface(mesh, POINTS, seed=0).points) for mesh in shapes if len(mesh.faces)]
    return int((names[nearest(pairwise_chamfer(np.stack(points), train)).indices] == name).sum()) if points else 0


@dataclass(frozen=True)
class Counts:
    """What came out of the samples of each class and way: those of their class, solids, and meshes to show."""

    right: Counter[tuple[str, str]]
    solid: Counter[tuple[str, str]]
    shown: list[trimesh.Trimesh]


def measure(pipeline: ShapePipeline, train: np.ndarray, names: np.ndarray) -> Counts:
    """Generate shapes of every class in every way, and count."""
    counts = Counts(Counter(), Counter(), [])
    for name, way in tqdm(list(product(pipeline.classes, WAYS))):
        shapes = made(pipeline, name, *WAYS[way])
        counts.right[name, way] = right([shape.mesh for shape in shapes], name, train, names)
        counts.solid[name, way] = sum(not shape.reasons for shape in shapes)
        counts.shown.extend(shape.mesh for shape in shapes[:SHOWN] if way == PICTURED)
    return counts


def table(classes: list[str], names: np.ndarray, test: np.ndarray, told: np.ndarray, counts: Counts) -> list[str]:
    """Lines of Markdown: a row per class, and one of all."""
    lines = [
        f"| class | training shapes | chance | test shapes | {' | '.join(WAYS)} | {', solid | '.join(WAYS)}, solid |",
        "| --- " * (4 + 2 * len(WAYS)) + "|",
    ]
    for name in classes:
        size, known = (names == name).sum(), f"{told[test == name].sum()} of {(test == name).sum()}"
        cells = [f"{count[name, way]} of {EACH}" for count in (counts.right, counts.solid) for way in WAYS]
        lines.append(f"| {name} | {size} | {100 * size / len(names):.0f} % | {known} | {' | '.join(cells)} |")
    sums = [sum(count[name, way] for name in classes) for count in (counts.right, counts.solid) for way in WAYS]
    cells = [f"{100 * share:.0f} %" for share in (told.mean(), *(n / (EACH * len(classes)) for n in sums))]
    return [*lines, f"| all | {len(names)} | | {' | '.join(cells)} |"]


HEAD = """# Whether a model of classes makes what it is asked for

    python -m benchmarks.classes_generation {data} --model {model}

{each} shapes of each class, seeds 0 to {last}, meshed at {resolution}. A sample counts as of its class if the
training shape nearest to it is; test shapes, measured alike, say how well that can be told.
"""


def main() -> None:
    """Generate, measure, print, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="categories")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    pipeline = ShapePipeline.from_pretrained(options.model)
    train, names = clouds(options.data, "train"), np.array(class_names(options.data, "train"))
    test = np.array(class_names(options.data, "test"))
    told = names[nearest(pairwise_chamfer(clouds(options.data, "test"), train, cache=CACHE)).indices] == test
    counts = measure(pipeline, train, names)
    about = {"data": options.data, "model": options.model, "each": EACH, "last": EACH - 1, "resolution": RESOLUTION}
    lines = [HEAD.format(**about), *table(pipeline.classes, names, test, told, counts)]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "classes_generation.md").write_text("\n".join(lines) + "\n")
    save_png(contact_sheet(counts.shown, columns=3 * SHOWN, size=150), options.out / "classes_generated.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
