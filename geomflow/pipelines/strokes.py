"""Pipeline of drawings: strokes travel from noise to the outline of an image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from geomflow.checkpoint import Checkpoint
from geomflow.geometry.strokes import evaluate_strokes, rasterize_strokes
from geomflow.model import LatentModel
from geomflow.pipeline import Clock, Pipeline
from geomflow.pipelines._condition import Told
from geomflow.pipelines._latents import chosen_steps, draw

SAMPLES = 16
"""Points at which each stroke is drawn."""


@dataclass(frozen=True)
class Sketch:
    """Drawings of one image and what they cost.

    Attributes:
        strokes: Control points of cubic B-splines in [-1, 1]^2, x right and y down.
        steps: Jumps of the flow map, or steps of the ODE.
        nfe: Network calls per drawing.
        seed: Seed of the first drawing's noise.
        seconds: Wall time of the network.
    """

    strokes: Float[np.ndarray, "count strokes k 2"]
    steps: int
    nfe: int
    seed: int
    seconds: dict[str, float]

    def pictures(self, size: int = 64) -> list[UInt8[np.ndarray, "size size"]]:
        """Return the drawings as grey images, black on white.

        Args:
            size: Pixels along each edge.
        """
        lines = [evaluate_strokes(strokes, SAMPLES) for strokes in self.strokes]
        return [(255 * (1 - rasterize_strokes(line, size))).round().astype(np.uint8) for line in lines]


class StrokePipeline(Pipeline):
    """A model of drawings, told an image."""

    makes = "drawings of an image (from Python)"
    model: LatentModel

    def __call__(
        self,
        condition: UInt8[np.ndarray, "height width"],
        count: int = 1,
        steps: int | Literal["auto"] = 4,
        seed: int = 0,
        *,
        tolerance: float = 0.04,
        ode: bool = False,
    ) -> Sketch:
        """Return drawings of an image.

        Args:
            condition: Grey image of the size that the model was trained on, bright on black.
            count: Number of drawings; drawing i has the seed `seed + i`.
            steps: Jumps from noise to strokes, each one network call; `auto` takes the fewest whose strokes are within
                `tolerance` of those of twice as many.
            seed: Seed of the first drawing's noise.
            tolerance: Root-mean-square gap for `auto`, in standard deviations of a coordinate.
            ode: Solve the instantaneous ODE by Heun's method instead of jumping.

        Raises:
            ValueError: An image of another size or type, or `count` or `steps` under 1.
        """
        size, condition = self.model.autoencoder.size, np.asarray(condition)
        if condition.dtype != np.uint8 or condition.shape != (size, size):
            given = f"{condition.dtype} of shape {condition.shape}"
            raise ValueError(f"condition must be a grey image, uint8 of shape ({size}, {size}), given {given}")
        clock = Clock()
        told = Told({"image": torch.from_numpy(condition)[None, None].float() / 127.5 - 1})
        steps = chosen_steps(self.model, steps, tolerance, seed, told, clock)
        with clock.stage("network"):
            latents = draw(self.model, count, steps, seed, told, ode)
        strokes = self.model.autoencoder.decode(latents).double().cpu().numpy()
        return Sketch(strokes, steps, 2 * steps - 1 if ode else steps, seed, clock.seconds)


def make(model: LatentModel, saved: Checkpoint, device: str) -> StrokePipeline:
    """Return the pipeline of a restored model.

    Args:
        model: The model.
        saved: Its checkpoint.
        device: Where it is.
    """
    return StrokePipeline(model, saved, device)
