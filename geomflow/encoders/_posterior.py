"""Gaussian over a shape's latent, whatever the latent's shape."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.encoders._blocks import standard_normal


class Posterior(NamedTuple):
    """Gaussian over a shape's latent: mean and log-variance, its channels first."""

    mean: Float[Tensor, "batch c *cells"]
    log_variance: Float[Tensor, "batch c *cells"]

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "batch c *cells"]:
        """Return one draw per shape."""
        return self.mean + standard_normal(self.mean, generator) * (0.5 * self.log_variance).exp()

    def divergence(self) -> Float[Tensor, ""]:
        """Return the Kullback-Leibler divergence from the standard normal, in nats per latent number."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance).mean()


def posterior_of(moments: Float[Tensor, "batch c2 *cells"]) -> Posterior:
    """Return the Gaussian whose mean is the first half of the channels, and whose log-variance the second, cut off."""
    mean, log_variance = moments.float().chunk(2, dim=1)
    return Posterior(mean, log_variance.clamp(-12, 4))
