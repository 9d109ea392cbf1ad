"""Bayes' rule over candidates for points some of whose parts lie on manifolds."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.formulation import Formulation
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.product import Product

SHARED = 128
"""Candidates that count where all rows share them: fewer than Gaussian parts take, as logarithms cost more."""


@dataclass(frozen=True)
class PartMean:
    """The expected data of each part: the mean of numbers, on a manifold the end of the mean tangent vector to them.

    A candidate weighs as much as it is likely to be behind all parts of what is seen.

    Attributes:
        formulation: how the parts flow.
    """

    formulation: Product

    def __call__(
        self,
        z: Float[Tensor, "n c"],
        ratio: Float[Tensor, " n"],
        own: Float[Tensor, "n c"],
        near: Float[Tensor, "m k c"],
    ) -> Float[Tensor, "n c"]:
        """Return the expectation over each row's own point and its k others, which all rows share if m is 1."""
        others = near[:, :SHARED] if len(near) == 1 else near
        candidates = torch.cat([own[:, None], others.to(z).expand(len(z), -1, -1)], dim=1)
        widths = self.formulation.widths
        parts = list(
            zip(self.formulation.parts, z.split(widths, dim=-1), candidates.split(widths, dim=-1), strict=True)
        )
        weights = sum(_log_likelihood(*part, ratio) for part in parts).softmax(dim=1)  # pyright: ignore
        return torch.cat([_mean(*part, weights) for part in parts], dim=-1)


def _log_likelihood(
    part: Formulation, z: Float[Tensor, "n c"], candidates: Float[Tensor, "n k c"], ratio: Float[Tensor, " n"]
) -> Float[Tensor, "n k"]:
    """Of candidates, up to a number for each row."""
    if isinstance(part, Geodesic):
        return part.log_likelihood(z[:, None].expand_as(candidates), candidates, ratio)
    return (z[:, None] - candidates).square().sum(-1) / (-2 * ratio[:, None].square())


def _mean(
    part: Formulation, z: Float[Tensor, "n c"], candidates: Float[Tensor, "n k c"], weights: Float[Tensor, "n k"]
) -> Float[Tensor, "n c"]:
    """The weighted mean of candidates, seen from z."""
    if not isinstance(part, Geodesic):
        return (weights[..., None] * candidates).sum(1)
    towards = part.manifold.log(z[:, None].expand_as(candidates), candidates)
    return part.manifold.exp(z, (weights[..., None] * towards).sum(1))
