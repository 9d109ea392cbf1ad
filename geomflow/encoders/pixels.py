"""Pixels: no autoencoder at all; the latent is the image itself, its values from -1 to 1.

What stands here in another run is an autoencoder of images, by the dotted path of its module: `make(...)` returns a
module with the same attributes and methods, and `pretrained = True` if it brings its weights along; a flow map on its
latents is trained and sampled by the same commands.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._posterior import Posterior

ROUNDING = -12.0
"""Log-variance of pixels: a standard deviation of a third of a grey value, about what rounding hides."""


class Pixels(nn.Module):
    """Images as they are.

    Args:
        size: Pixels per side.
        channels: Numbers per pixel.
    """

    reads, makes = "image", "images"

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        if size < 1 or channels not in (1, 3):
            raise ValueError(f"size must be at least 1 and channels 1 or 3, given {size} and {channels}")
        self.resolution = size
        self.image_shape = self.latent_shape = (channels, size, size)

    def encode(self, images: Float[Tensor, "batch c h w"]) -> Posterior:
        """Return the images, values from -1 to 1, all but certain.

        Args:
            images: Images, values from -1 to 1.

        Raises:
            ValueError: Images of another size or number of channels.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(f"images must have shape (batch, *{self.image_shape}), given {tuple(images.shape)}")
        return Posterior(images, torch.full_like(images, ROUNDING))

    def decode(self, latent: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        """Return images, values from -1 to 1."""
        return latent.clamp(-1, 1)


def make(size: int = 28, channels: int = 1) -> Pixels:
    """Return pixels; see `Pixels` for the options."""
    return Pixels(size, channels)
