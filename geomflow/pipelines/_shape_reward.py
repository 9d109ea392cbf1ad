"""A reward of shapes as a reward of latents, by way of the decoder."""

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.model import LatentModel
from geomflow.steer.reward import Reward, name_of

SAMPLES = 32
"""Samples per axis of the grid of distances that rewards see."""


class ShapeReward:
    """A reward of shapes as one of standardised latents: decoded, asked at the nodes of a grid, differentiable.

    Args:
        model: The model.
        reward: What is asked of the distances.
        name: What messages call it.
        samples: Samples per axis of the grid.
    """

    def __init__(self, model: LatentModel, reward: Reward, name: str = "", samples: int = SAMPLES) -> None:
        self.model, self.reward, self.samples = model, reward, samples
        self.__name__ = name or name_of(reward)

    def __call__(self, latents: Float[Tensor, " batch *latent"]) -> Tensor:
        """Return the reward of each latent's shape."""
        return self.reward(self.distances(latents))

    def distances(self, latents: Float[Tensor, " batch *latent"]) -> Float[Tensor, "batch n n n"]:
        """Return signed distances at the nodes of the grid."""
        axis = torch.linspace(-1, 1, self.samples, device=latents.device)
        nodes = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
        features = self.model.autoencoder.decode(self.model.scale.restore(latents))
        values = self.model.autoencoder.sdf(features, nodes.expand(len(latents), -1, -1))
        return values.reshape(-1, *(self.samples,) * 3)
