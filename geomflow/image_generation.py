"""The images of a generation, and how they are written: numbered PNG files, generation.json and a preview."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from geomflow.generation import ABOUT, PREVIEW, PREVIEWED, replaced
from geomflow.viz import image_sheet, save_png


@dataclass(frozen=True)
class ImageGeneration:
    """The images of one call and what they cost.

    Attributes:
        images: Grey values or colours from 0 to 255; grey images have one channel.
        seeds: Seed of each image's noise: the same model, seed, steps and condition give it again, in any batch.
        steps: Jumps of the flow map, or steps of the ODE.
        nfe: Network calls per image.
        seconds: Wall time of each stage: `network`, `decode`, and for steps="auto" `choice of steps`.
        latents: What the decoder was given (count, *latent shape).
        condition: Name of the class that was asked for, if any.
    """

    images: UInt8[np.ndarray, "n height width channels"]
    seeds: list[int]
    steps: int
    nfe: int
    seconds: dict[str, float]
    latents: Tensor
    condition: str | None = None

    @property
    def pictures(self) -> list[np.ndarray]:
        """The images one by one, grey ones (height, width), others (height, width, 3)."""
        return [image[..., 0] if image.shape[-1] == 1 else image for image in self.images]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the images, for generation.json."""
        return {
            "count": len(self.images),
            "steps": self.steps,
            "nfe": self.nfe,
            "condition": self.condition,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "images": [{"seed": seed} for seed in self.seeds],
        }


def save_images(result: ImageGeneration, out: str | Path, model: str = "") -> Path:
    """Write 0000.png, 0001.png, ..., generation.json and preview.png into a folder, and return it.

    What an earlier generation left in the folder is removed once everything new is written.

    Args:
        result: What was generated.
        out: The folder.
        model: What generation.json calls the model.

    Raises:
        OSError: The folder cannot be written or the disk is full.
    """
    with replaced(Path(out)) as partial:
        start, about = time.perf_counter(), {"model": str(model), **result.as_dict()}
        for i, (picture, entry) in enumerate(zip(result.pictures, about["images"], strict=True)):
            entry["file"] = f"{i:04d}.png"
            Image.fromarray(picture).save(partial / entry["file"])
        save_png(image_sheet(result.pictures[:PREVIEWED]), partial / PREVIEW)
        about["seconds"]["export"] = round(time.perf_counter() - start, 3)
        (partial / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    return Path(out)
