"""The loss of an autoencoder of signed distance fields, for any encoder of the shelf."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.errors import ConfigError


class ReconstructionLoss(nn.Module):
    """Mean absolute error of the truncated distance, in units of the band, plus the latent's divergence.

    Samples whose sign is doubtful (confidence under a half) do not count.

    Args:
        autoencoder: An encoder and decoder in one module.
        divergence_weight: Nats per latent number are multiplied by this.
    """

    def __init__(self, autoencoder: nn.Module, divergence_weight: float = 1e-3) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.divergence_weight = divergence_weight

    def forward(
        self, batch: dict[str, Tensor], progress: float, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Return the loss of a batch with what the encoder reads, `points`, `sdf` and `confidence`, and its parts.

        Raises:
            ConfigError: The batch does not hold what the encoder reads.
        """
        model = self.autoencoder
        posterior = model.encode(_reading(batch, str(model.reads)))  # pyright: ignore[reportCallIssue]
        features = model.decode(posterior.sample(generator))  # pyright: ignore[reportCallIssue]
        predicted = model.sdf(features, batch["points"])  # pyright: ignore[reportCallIssue]
        sure = (batch["confidence"] >= 0.5).float()
        wanted = batch["sdf"].clamp(-model.band, model.band)  # pyright: ignore
        error = ((predicted - wanted).abs() * sure).sum() / (sure.sum().clamp(min=1) * model.band)  # pyright: ignore
        divergence = posterior.divergence()
        logs = {"error": float(error.detach()), "divergence": float(divergence.detach())}
        return error + self.divergence_weight * divergence, logs


def _reading(batch: dict[str, Tensor], name: str) -> Tensor:
    """The part of a batch that the encoder reads."""
    if name not in batch:
        raise ConfigError(f"the encoder reads {name!r}, and the dataset's batches hold only {', '.join(batch)}")
    return batch[name]
