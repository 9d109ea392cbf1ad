"""A network for the tests that predicts the same data whatever it sees: an x1-flow map then jumps right there."""

import torch
from torch import Tensor, nn


class Constant(nn.Module):
    """Data of one sample, and nothing learned but that."""

    null = {"surface": float("nan")}  # noqa: RUF012

    def __init__(self, latent_shape: tuple[int, ...], values: list) -> None:
        super().__init__()
        self.data = nn.Parameter(torch.tensor(values).expand(latent_shape).clone())

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: object = None) -> Tensor:
        return self.data.expand_as(x)


def make(latent_shape: tuple[int, ...], values: list, condition: str = "", classes: int = 0) -> Constant:
    return Constant(latent_shape, values)
