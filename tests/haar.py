"""An autoencoder of images for the tests: one step of the Haar transform, so that nothing is lost; it has weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geomflow.encoders._posterior import Posterior


class Haar(nn.Module):
    """Four channels of half the size; the kernel is orthonormal, so decoding is its transpose."""

    reads, makes, pretrained = "image", "images", True
    image_shape, latent_shape, resolution = (1, 8, 8), (4, 4, 4), 8

    def __init__(self) -> None:
        super().__init__()
        signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        self.kernel = nn.Parameter(signs.view(4, 1, 2, 2))

    def encode(self, images: Tensor) -> Posterior:
        mean = F.conv2d(images, self.kernel, stride=2)
        return Posterior(mean, torch.full_like(mean, -12.0))

    def decode(self, latent: Tensor) -> Tensor:
        return F.conv_transpose2d(latent, self.kernel, stride=2)


def make() -> Haar:
    return Haar()
