"""Pipeline of images: noise, a few jumps of the flow map, decoder; and images completed where they are missing."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from geomflow.checkpoint import Checkpoint
from geomflow.flow.random import generator_of
from geomflow.image_generation import ImageGeneration
from geomflow.model import LatentModel
from geomflow.pipeline import Clock, Pipeline
from geomflow.pipelines._condition import told
from geomflow.pipelines._latents import NETWORK_BATCH, chosen_steps, draw, flow_map_of, noise_of
from geomflow.steer import inpaint


class ImagePipeline(Pipeline):
    """A model of images, ready to generate."""

    makes = "images (geomflow generate)"
    model: LatentModel

    def __call__(
        self,
        count: int = 1,
        steps: int | Literal["auto"] = 4,
        seed: int = 0,
        condition: str | None = None,
        tolerance: float = 0.04,
        ode: bool = False,
    ) -> ImageGeneration:
        """Generate images.

        Args:
            count: Number of images; image i has the seed `seed + i`.
            steps: Jumps from noise to data, each one network call; `auto` takes the fewest whose latents are within
                `tolerance` of those of twice as many.
            seed: Seed of the first image.
            condition: Name of a class, for a model that knows classes; None leaves it to the model, if it was trained
                with guidance.
            tolerance: Root-mean-square gap for `auto`, in standard deviations of a latent number.
            ode: Solve the instantaneous ODE by Heun's method (2 steps - 1 network calls) instead of jumping.

        Raises:
            ValueError: `count` or `steps` under 1, or a class that the model does not know; the message says what it
                knows.
            CheckpointError: The model has no flow map.
        """
        asked, clock = told(condition, self.saved.config), Clock()
        steps = chosen_steps(self.model, steps, tolerance, seed, asked, clock)
        with clock.stage("network"):
            latents = draw(self.model, count, steps, seed, asked, ode)
        with clock.stage("decode"):
            images = self.decode(latents)
        seeds, nfe = list(range(seed, seed + count)), 2 * steps - 1 if ode else steps
        return ImageGeneration(images, seeds, steps, nfe, clock.seconds, latents.cpu(), asked.name)

    def inpaint(
        self,
        images: UInt8[np.ndarray, "n height width channels"],
        known: Bool[np.ndarray, "n height width"],
        steps: int = 16,
        seed: int = 0,
        condition: str | None = None,
    ) -> ImageGeneration:
        """Complete images where they are not known, by the plug-and-play loop of `geomflow.steer.inpaint`.

        Args:
            images: Images of the model's size; what they hold where they are not known does not matter.
            known: Where they are known; there the result equals them.
            steps: Rounds of the loop, each one network call.
            seed: Seed of the first image's noise.
            condition: Name of a class, see `__call__`.

        Raises:
            ValueError: Images or masks of another shape or type, or a model whose latents are no pixels.
        """
        shape = self.model.autoencoder.latent_shape
        if shape != getattr(self.model.autoencoder, "image_shape", None):
            raise ValueError("inpaint wants a model of pixels, this one has latents of an autoencoder")
        wanted = (len(images), *shape[1:])
        if not len(images) or images.shape != (*wanted, shape[0]) or known.shape != wanted:
            given = f"{images.shape} and {known.shape}"
            raise ValueError(f"images and known must have shapes {(*wanted, shape[0])} and {wanted}, given {given}")
        if images.dtype != np.uint8 or known.dtype != bool:
            raise ValueError(f"images must be uint8 and known bool, given {images.dtype} and {known.dtype}")
        asked, clock = told(condition, self.saved.config), Clock()
        with clock.stage("network"):
            pixels = torch.from_numpy(images).movedim(-1, 1).to(self.device).float() / 127.5 - 1
            data, mask = self.model.scale.standardize(pixels), torch.from_numpy(known)[:, None].to(self.device)
            noise, parts = noise_of(self.model, len(images), seed), []
            for rows in torch.arange(len(images)).split(NETWORK_BATCH):
                fresh = [generator_of(seed + int(row), 1) for row in rows]
                condition_rows = asked.rows(len(rows), noise.device)
                part = (data[rows], mask[rows], noise[rows], steps, condition_rows, fresh)
                parts.append(inpaint(flow_map_of(self.model), *part))
            filled = torch.cat(parts)
        latents = self.model.scale.restore(filled)
        seeds = list(range(seed, seed + len(images)))
        return ImageGeneration(self.decode(latents), seeds, steps, steps, clock.seconds, latents.cpu(), asked.name)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, " n *latent"]) -> UInt8[np.ndarray, "n height width channels"]:
        """Return the images of latents.

        Args:
            latents: As `sample_latents` returns them.
        """
        decoded = self.model.autoencoder.decode(latents.to(self.device))
        return ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).cpu().numpy()


def make(model: LatentModel, saved: Checkpoint, device: str) -> ImagePipeline:
    """Return the pipeline of a restored model.

    Args:
        model: The model.
        saved: Its checkpoint.
        device: Where it is.
    """
    return ImagePipeline(model, saved, device)
