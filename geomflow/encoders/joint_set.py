"""Joint set: no autoencoder at all; the latent is a set of points, as many at each joint, in no order.

How many joints there are is not fixed: more points than joints are made, and those that meet are one joint.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._posterior import Posterior

EXACT = -12.0
"""Log-variance of a point: an offset of 0.0025 of the unit frame."""


class JointSet(nn.Module):
    """Points in the unit frame as they are.

    Args:
        tokens: Points of a set, more than joints are expected.
        points: Surface points with normals that a network is told.
    """

    reads, makes = "surface", "joints"

    def __init__(self, tokens: int, points: int) -> None:
        super().__init__()
        if min(tokens, points) < 1:
            raise ValueError(f"tokens and points must be at least 1, given {tokens} and {points}")
        self.tokens, self.points = tokens, points
        self.latent_shape = (3, tokens)

    def encode(self, points: Float[Tensor, "batch 3 n"]) -> Posterior:
        """Return the points, all but certain.

        Args:
            points: Joints, one a column.
        """
        return Posterior(points, torch.full_like(points, EXACT))

    def decode(self, latent: Float[Tensor, "batch 3 n"]) -> Float[Tensor, "batch n 3"]:
        """Return the points as rows."""
        return latent.transpose(1, 2)


def make(tokens: int = 64, points: int = 1024) -> JointSet:
    """Return a joint set; see `JointSet` for the options."""
    return JointSet(tokens, points)
