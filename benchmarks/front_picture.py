"""The picture at the top of the README: what the embedded models make, first seeds, none left out.

python -m benchmarks.front_picture
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.procedural_rigs import rig
from geomflow.pipeline import Pipeline
from geomflow.viz import PALETTE, image_sheet, render, render_skeleton, save_png

TILE, COLUMNS, CAPTION = 220, 8, 30
FAMILIES = ("biped", "quadruped", "fish", "crawler")
UNSEEN = 9
"""Seed of the rigs: every tenth is not among those that `joints` was trained on."""

Row = tuple[str, list[np.ndarray]]


def chairs() -> Row:
    """Chairs in two network calls."""
    made = Pipeline.from_pretrained("chairs")(COLUMNS, steps=2, seed=0)
    pictures = [render(mesh, TILE, color=PALETTE[i % len(PALETTE)]) for i, mesh in enumerate(made.meshes)]
    return "noise to chairs in two network calls: model chairs", pictures


def steps() -> Row:
    """Two noises in one, two, four and eight network calls."""
    pipeline = Pipeline.from_pretrained("chairs")
    calls = (1, 2, 4, 8)
    made = [[pipeline(1, steps=steps, seed=seed).meshes[0] for steps in calls] for seed in (2, 6)]
    pictures = [render(mesh, TILE, color=PALETTE[i]) for i, meshes in enumerate(made) for mesh in meshes]
    return "the same noise in 1, 2, 4 and 8 calls, twice: steps are chosen after training", pictures


def skeletons_and_images() -> Row:
    """Skeletons of four rigs that were not trained on, and nine images of each of four classes."""
    joints, fashion = Pipeline.from_pretrained("joints"), Pipeline.from_pretrained("fashion")
    pictures = []
    for family in FAMILIES:
        mesh, _ = rig(family, UNSEEN)
        found = joints(mesh, steps=5, seed=0)
        pictures.append(render_skeleton(mesh, found.joints, found.parents, TILE))
    for name in ("Sandal", "Dress", "Bag", "Sneaker"):
        images = fashion(9, steps=4, seed=0, condition=name).pictures
        pictures.append(image_sheet([255 - image for image in images], 3, TILE // 3))
    return "surfaces to skeletons in five calls, classes to images in four: models joints, fashion", pictures


def band(row: Row) -> np.ndarray:
    """A caption over a row of tiles."""
    caption, pictures = row
    image = Image.new("RGB", (COLUMNS * TILE, CAPTION + TILE), (249, 249, 249))
    font = ImageFont.load_default(size=17)
    ImageDraw.Draw(image).text((10, CAPTION // 2), caption, fill=(70, 70, 70), anchor="lm", font=font)
    for i, picture in enumerate(pictures):
        image.paste(Image.fromarray(picture), (i * TILE, CAPTION))
    return np.asarray(image)


def main() -> None:
    """Draw the three rows into one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/figures/front.png"))
    path = parser.parse_args().out
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(np.vstack([band(row) for row in (chairs(), steps(), skeletons_and_images())]), path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
