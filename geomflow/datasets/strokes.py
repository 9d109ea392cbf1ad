"""Strokes: drawings and the images they were traced from, for a flow map that is told an image."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from geomflow.errors import ConfigError, RecordError
from geomflow.image_sets import load_image_set


class Strokes:
    """Standardised drawings, and what they are conditioned on.

    Args:
        latents: Drawings as latents.
        images: The grey image of each.
        scale: Standardises latents; fitted here.
    """

    def __init__(
        self, latents: Float[Tensor, "n numbers strokes"], images: UInt8[Tensor, "n 1 height width"], scale: Any
    ) -> None:
        scale.fit(latents, torch.zeros_like(latents))
        self.latents, self.images = scale.standardize(latents), images

    def __len__(self) -> int:
        """Return the number of drawings."""
        return len(self.latents)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, numbers, strokes) and `image` (batch, 1, height, width), values from -1 to 1."""
        return {"data": self.latents[indices], "image": self.images[indices].float() / 127.5 - 1}


def make(
    folder: str,
    autoencoder: Any,
    scale: Any,
    split: str = "train",
    condition: str = "image",
    classes: Sequence[str] = (),
) -> Strokes:
    """Return the drawings of a split.

    Args:
        folder: Image set with `strokes`, as `data_prep.strokes` writes it.
        autoencoder: `stroke_set`.
        scale: Fitted here to the latents: mean and spread per coordinate of a stroke.
        split: Subset to read.
        condition: `image`.
        classes: Not used.

    Raises:
        RecordError: No such set or split, images of another size or with colours, or drawings of another size.
        ConfigError: Another condition.
    """
    if condition != "image":
        raise ConfigError(f"condition must be 'image' for strokes, given {condition!r}")
    found = load_image_set(folder, split)
    wanted = {"images": (autoencoder.size, autoencoder.size, 1)}
    wanted["strokes"] = (autoencoder.strokes, autoencoder.control_points, 2)
    arrays = {"images": found.images, "strokes": found.arrays.get("strokes")}
    for name, array in arrays.items():
        given = None if array is None else array.shape[1:]
        if given != wanted[name]:
            raise RecordError(f"{folder}: wanted {name} of shape (n, *{wanted[name]}), found {given or 'none'}")
    latents = autoencoder.encode(torch.from_numpy(arrays["strokes"])).mean
    return Strokes(latents, torch.from_numpy(found.images).movedim(-1, 1), scale)
