"""The loss of an autoencoder of signed distance fields, for any encoder of the shelf."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.errors import ConfigError

ASKED = 512
"""Points per shape at which surface and gradient are looked at."""

STEP = 0.05
"""Step of the differences that make a gradient, in units of the band."""


class ReconstructionLoss(nn.Module):
    """Mean absolute error of the truncated distance, in units of the band, and what is to be small beside it.

    Samples whose sign is doubtful (confidence under a half) do not count.

    Args:
        autoencoder: An encoder and decoder in one module.
        divergence_weight: Factor on the nats per latent number.
        surface_weight: Factor on the mean absolute value at the encoder's own surface points, in units of the band.
        eikonal_weight: Factor on the mean squared deviation of the gradient's length from 1, close to the surface.
        fewest_tokens: If not 0, latents are cut to a random number of tokens in every step, at least this many, so that
            the decoder learns to do with fewer.

    Raises:
        ConfigError: The autoencoder's latents have no tokens, or not between the fewest and all; or there are no
            surface points to look at.
    """

    def __init__(
        self,
        autoencoder: nn.Module,
        divergence_weight: float = 1e-3,
        surface_weight: float = 0.0,
        eikonal_weight: float = 0.0,
        fewest_tokens: int = 0,
    ) -> None:
        super().__init__()
        self.autoencoder: Any = autoencoder
        least, most = getattr(autoencoder, "least_tokens", 0), getattr(autoencoder, "tokens", 0)
        if fewest_tokens and not least <= fewest_tokens <= most:
            wanted = f"lie in [{least}, {most}], or be 0" if most else "be 0 for latents that are no sets"
            raise ConfigError(f"reconstruction.fewest_tokens must {wanted}, given {fewest_tokens}")
        if surface_weight and autoencoder.reads != "surface":
            raise ConfigError("reconstruction.surface_weight must be 0 for an encoder that reads no surface")
        self.divergence_weight, self.surface_weight = divergence_weight, surface_weight
        self.eikonal_weight, self.fewest_tokens = eikonal_weight, fewest_tokens

    def forward(
        self, batch: dict[str, Tensor], progress: float, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Return the loss of a batch with what the encoder reads, `points`, `sdf` and `confidence`, and its parts.

        Raises:
            ConfigError: The batch does not hold what the encoder reads.
        """
        posterior = self.autoencoder.encode(_reading(batch, str(self.autoencoder.reads)))
        features = self.autoencoder.decode(self._shortened(posterior.sample(generator), generator))
        predicted = self.autoencoder.sdf(features, batch["points"]) / self.autoencoder.band
        parts = {"error": (1.0, _error(predicted, batch, self.autoencoder.band))}
        parts["divergence"] = self.divergence_weight, posterior.divergence()
        if self.surface_weight:
            parts["surface"] = self.surface_weight, self._surface(features, batch)
        if self.eikonal_weight:
            parts["eikonal"] = self.eikonal_weight, self._eikonal(features, batch)
        loss = torch.stack([weight * part for weight, part in parts.values()]).sum()
        return loss, {name: float(part.detach()) for name, (_, part) in parts.items()}

    def _shortened(self, latent: Tensor, generator: torch.Generator) -> Tensor:
        """The first of the latents' tokens, a random number of them."""
        if not self.fewest_tokens:
            return latent
        count = torch.randint(self.fewest_tokens, latent.shape[-1] + 1, (), generator=generator)
        return latent[..., : int(count)]

    def _surface(self, features: Tensor, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """How far from zero the field is where it should be."""
        points = _reading(batch, "surface")[:, :ASKED, :3]
        return self.autoencoder.sdf(features, points).abs().mean() / self.autoencoder.band

    def _eikonal(self, features: Tensor, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Squared deviation of the gradient's length, by central differences, from 1 (Gropp et al., arXiv 2002.10099).

        Only points within half the band count, as distances are cut off further out.
        """
        step = STEP * self.autoencoder.band * torch.eye(3, device=batch["points"].device)
        points, near = batch["points"][:, :ASKED], batch["sdf"][:, :ASKED].abs() < self.autoencoder.band / 2
        ends = [(points[:, None] + sign * step[None, :, None]).flatten(1, 2) for sign in (1, -1)]
        ahead, behind = (self.autoencoder.sdf(features, end).unflatten(1, (3, -1)) for end in ends)
        slope = (ahead - behind).norm(dim=1) / (2 * STEP * self.autoencoder.band)
        return ((slope - 1).square() * near).sum() / near.sum().clamp(min=1)


def _error(predicted: Tensor, batch: dict[str, Tensor], band: float) -> Float[Tensor, ""]:
    """Mean absolute error of truncated distances, in units of the band, of samples that are sure."""
    sure = (batch["confidence"] >= 0.5).float()
    wanted = (batch["sdf"] / band).clamp(-1, 1)
    return ((predicted - wanted).abs() * sure).sum() / sure.sum().clamp(min=1)


def _reading(batch: dict[str, Tensor], name: str) -> Tensor:
    """The part of a batch that the encoder reads."""
    if name not in batch:
        raise ConfigError(f"the encoder reads {name!r}, and the dataset's batches hold only {', '.join(batch)}")
    return batch[name]
