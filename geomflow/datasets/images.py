"""Images: an image set as data for a flow map, encoded as it goes or, by an autoencoder with weights, once."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from geomflow.datasets._encode import is_trained, posterior_of
from geomflow.errors import ConfigError, RecordError
from geomflow.image_sets import ImageSet, load_image_set

PIXELS_AT_ONCE = 1 << 18
"""Pixels per call of an autoencoder."""

MEASURED = 10_000
"""Images by which mean and spread of the latents are measured, spread over the set."""


class Images:
    """Standardised latents of images, each drawn anew from its posterior in every batch.

    Args:
        images: All images.
        autoencoder: Image to latent.
        scale: Standardises latents.
        mirror: Whether images are reflected left to right half of the time.
        condition: A row for every image, by the condition's name.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "n c h w"],
        autoencoder: Any,
        scale: Any,
        mirror: bool,
        condition: dict[str, Tensor],
    ) -> None:
        self.images, self.mirror, self.condition = images, mirror, condition
        self.encoded = _posteriors(images, autoencoder, mirror) if is_trained(autoencoder) else None
        some = images[:: max(1, len(images) // MEASURED)]
        measured = self.encoded or _posteriors(some, autoencoder, mirror=False)
        scale.fit(measured[0].flatten(0, 1), measured[1].flatten(0, 1).exp())
        self.scale = copy.deepcopy(scale)  # here, wherever the model goes
        self.encode = autoencoder.encode

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, *latent) and, by their names, rows of the condition."""
        mirrored = torch.rand(len(indices), generator=generator) < 0.5 * self.mirror
        if self.encoded is None:
            images = self.images[indices]
            chosen = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
            mean, log_variance = self.encode(_scaled(chosen))
        else:
            mean, log_variance = (part[indices, mirrored.long()] for part in self.encoded)
        noise = torch.randn(mean.shape, generator=generator)
        data = self.scale.standardize(mean + (0.5 * log_variance).exp() * noise)
        return {"data": data, **{name: rows[indices] for name, rows in self.condition.items()}}


def make(
    folder: str,
    autoencoder: Any,
    scale: Any,
    split: str = "train",
    mirror: bool = False,
    condition: str = "",
    classes: Sequence[str] = (),
) -> Images:
    """Return the images of a split.

    Args:
        folder: Image set, as `data_prep.idx_images`, `data_prep.emoji` and `data_prep.image_folder` write it.
        autoencoder: Image to latent; it is only used.
        scale: Fitted here to the latents: mean and spread per channel.
        split: Subset to read.
        mirror: Whether images are reflected left to right half of the time.
        condition: `class`, or empty for none.
        classes: Names of the classes that the network knows, for that condition.

    Raises:
        RecordError: No such set or split, a damaged one, or images of another size than the autoencoder's.
        ConfigError: Another condition, or classes of images that have none.
    """
    found = load_image_set(folder, split)
    _check_size(folder, found, autoencoder.image_shape)
    images = torch.from_numpy(found.images).movedim(-1, 1).contiguous()
    return Images(images, autoencoder, scale, mirror, _told(folder, found, condition, list(classes)))


def _check_size(folder: str, found: ImageSet, wanted: tuple[int, int, int]) -> None:
    height, width, channels = found.images.shape[1:]
    if (channels, height, width) != tuple(wanted):
        given = f"{height} x {width} pixels of {channels} channels"
        need = f"{wanted[1]} x {wanted[2]} of {wanted[0]}"
        raise RecordError(f"{folder}: the encoder wants images of {need} (see its options), found {given}")


def _told(folder: str, found: ImageSet, condition: str, classes: list[str]) -> dict[str, Tensor]:
    if condition not in ("", "class"):
        raise ConfigError(f"condition must be 'class' or '' for images, given {condition!r}")
    if not condition:
        return {}
    if found.labels is None:
        raise ConfigError(f"{folder}: condition 'class' wants labels, and these images have none")
    numbers = torch.tensor([classes.index(name) for name in found.classes])
    return {"class": numbers[torch.from_numpy(found.labels).long()]}


def _scaled(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Values from -1 to 1."""
    return images.float() / 127.5 - 1


def _posteriors(images: Tensor, autoencoder: Any, mirror: bool) -> tuple[Tensor, Tensor]:
    """Means and log-variances of latents (n, 1 or 2 with reflections, *latent)."""
    at_once = max(1, PIXELS_AT_ONCE // (images.shape[-2] * images.shape[-1]))
    views = [images, images.flip(-1)][: 1 + mirror]
    parts = [[posterior_of(autoencoder, _scaled(part)) for part in view.split(at_once)] for view in views]
    means, variances = (torch.stack([torch.cat([one[i] for one in view]) for view in parts], dim=1) for i in range(2))
    return means, variances
