"""Outlines of images as strokes, in few steps and in many.

python -m benchmarks.strokes build/strokes --run build/runs/strokes --out docs/results

What is trained already is not trained again.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from geomflow import shelves
from geomflow.image_sets import ImageSet, load_image_set
from geomflow.metrics.strokes import StrokeAgreement, compare_strokes
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines.strokes import Sketch, StrokePipeline
from geomflow.train import train
from geomflow.viz import image_sheet, save_png

COUNT, BATCH, SHOWN = 2_000, 500, 16
WAYS = [*(("jumps", steps) for steps in (1, 2, 4, 50)), *(("Euler", steps) for steps in (1, 4, 50))]


@torch.no_grad()
def draw(pipeline: StrokePipeline, images: np.ndarray, way: str, steps: int) -> np.ndarray:
    """Control points of a drawing of each image."""
    model, device, parts = pipeline.model, pipeline.model.scale.mean.device, []
    for start in range(0, len(images), BATCH):
        told = torch.from_numpy(images[start : start + BATCH]).movedim(-1, 1).to(device).float() / 127.5 - 1
        noise = noise_of(model, len(told), start)
        condition = {"image": told}
        if way == "Euler":
            latents = model.flow_map.sample_ode(noise, steps, "euler", condition=condition)
        else:
            latents = model.flow_map.sample(noise, steps, condition=condition)
        parts.append(model.autoencoder.decode(model.scale.restore(latents)).double().cpu())
    return torch.cat(parts).numpy()


def row(name: str, found: StrokeAgreement) -> str:
    """A line of the table."""
    band = found.similarity_interval
    return f"| {name} | {found.similarity:.3f} | {band.low:.3f} to {band.high:.3f} | {found.chamfer:.4f} |"


def measure(pipeline: StrokePipeline, test: ImageSet) -> tuple[list[str], list[np.ndarray]]:
    """Lines of the table, and pictures: images, traced strokes, one step, four steps."""
    images, strokes = test.images[:COUNT], test.arrays["strokes"][:COUNT].astype(float)
    lines = [row("another test drawing", compare_strokes(np.roll(strokes, 1, axis=0), strokes))]
    small = [np.kron(image[..., 0], np.ones((2, 2), np.uint8)) for image in images[:SHOWN]]
    pictures = small + drawn(strokes[:SHOWN])
    for way, steps in WAYS:
        made = draw(pipeline, images, way, steps)
        lines.append(row(f"{steps} {way}", compare_strokes(made, strokes)))
        if (way, steps) in (("jumps", 1), ("jumps", 4)):
            pictures += drawn(made[:SHOWN])
    return lines, pictures


def drawn(strokes: np.ndarray) -> list[np.ndarray]:
    """Pictures of drawings."""
    return Sketch(strokes, 0, 0, 0, {}).pictures(56)


HEAD = """# Strokes

    python -m data_prep.strokes /usr/share/datasets/fashion-mnist --out build/strokes
    python -m benchmarks.strokes build/strokes

{count:,} test images of Fashion-MNIST, preset `strokes` ({minutes:.0f} minutes of a busy core). Similarity is the
structural similarity of drawings rasterised at 64 x 64, lines 2 pixels wide, against the strokes that were traced, with
95 % intervals; chamfer is the summed distance of points on the strokes, in units where the picture is 2 wide. `jumps`
are those of the flow map, `Euler` steps those of the ODE of the same weights.

| way | similarity | interval | chamfer |
| --- | --- | --- | --- |
"""


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, default=Path("build/runs/strokes"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    if not (options.run / "config.json").is_file():
        train(shelves.load("presets", "strokes"), options.data, options.run, device=options.device, progress=False)
    pipeline = StrokePipeline.from_pretrained(options.run, options.device)
    lines, pictures = measure(pipeline, load_image_set(options.data, "test"))
    minutes = pipeline.saved.facts["training_seconds"] / 60
    head = HEAD.format(count=COUNT, minutes=minutes)
    text = head + "\n".join([*lines, "", "![Images, traced strokes, one and four steps](strokes.png)"])
    print(text)
    (options.out / "strokes.md").write_text(text + "\n")
    save_png(image_sheet(pictures, columns=SHOWN, size=56), options.out / "strokes.png")


if __name__ == "__main__":
    main()
