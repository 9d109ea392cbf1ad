"""Stroke set: no autoencoder at all; the latent is a drawing, a token per stroke, its numbers the control points."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._posterior import Posterior

EXACT = -12.0
"""Log-variance of a coordinate: an offset of a quarter of a percent of the picture's half width."""


class StrokeSet(nn.Module):
    """Control points of B-spline strokes in the square [-1, 1]^2, x right and y down, as they are.

    Args:
        strokes: Strokes of a drawing.
        control_points: Control points of a stroke.
        size: Pixels per side of the grey images that a network is told.
    """

    reads, makes = "strokes", "strokes"

    def __init__(self, strokes: int, control_points: int, size: int) -> None:
        super().__init__()
        if strokes < 1 or control_points < 4 or size < 4:
            given = f"{strokes}, {control_points} and {size}"
            raise ValueError(f"strokes must be at least 1, control_points 4 and size 4, given {given}")
        self.strokes, self.control_points, self.size = strokes, control_points, size
        self.latent_shape = (2 * control_points, strokes)

    def encode(self, strokes: Float[Tensor, "batch strokes k 2"]) -> Posterior:
        """Return the control points, all but certain.

        Args:
            strokes: Control points, in the square [-1, 1]^2.

        Raises:
            ValueError: Other numbers of strokes or control points.
        """
        wanted = (self.strokes, self.control_points, 2)
        if tuple(strokes.shape[1:]) != wanted:
            raise ValueError(f"strokes must have shape (batch, *{wanted}), given {tuple(strokes.shape)}")
        mean = strokes.flatten(2).transpose(1, 2)
        return Posterior(mean, torch.full_like(mean, EXACT))

    def decode(self, latent: Float[Tensor, "batch numbers strokes"]) -> Float[Tensor, "batch strokes k 2"]:
        """Return control points."""
        return latent.transpose(1, 2).unflatten(2, (self.control_points, 2))


def make(strokes: int = 8, control_points: int = 6, size: int = 28) -> StrokeSet:
    """Return a stroke set; see `StrokeSet` for the options."""
    return StrokeSet(strokes, control_points, size)
