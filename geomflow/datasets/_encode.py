"""Encoding with a trained autoencoder: on the device where it is, with results in main memory."""

from typing import Any

import torch
from torch import Tensor


def is_trained(autoencoder: Any) -> bool:
    """Return whether an autoencoder has weights, so that encoding is worth doing once."""
    return any(True for _ in autoencoder.parameters())


@torch.no_grad()
def posterior_of(autoencoder: Any, views: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means and log-variances of a batch of what the autoencoder reads."""
    device = next((weights.device for weights in autoencoder.parameters()), views.device)
    mean, log_variance = autoencoder.encode(views.to(device))
    return mean.cpu(), log_variance.cpu()
