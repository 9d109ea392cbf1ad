"""From a set of tokens that know their place to a signed distance field: what a set autoencoder decodes with.

Tokens first attend to each other, once per shape, and each ends in some oriented planes. A point then attends to the
tokens nearest to it alone: how far it is from each of their planes makes features, which are averaged with weights that
vanish at the first token left out, so that the field has no seams, and a small network turns them into a distance. A
point's cost depends neither on the number of tokens nor on the resolution of anything.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.encoders._attention import SelfBlock
from geomflow.encoders._blocks import Place
from geomflow.ops import knn_points

CHUNK = 1 << 12
"""Points that are asked at a time, so that memory does not grow with their number."""


class SetDecoder(nn.Module):
    """Tokens with places to features of tokens, and these to values at points.

    Args:
        latent_channels: Numbers per token beside its place.
        width: Features per token.
        heads: Heads of the attention between tokens.
        rounds: Times that tokens attend to each other.
        nearest: Tokens that a point attends to.
        local_width: Planes per token, and features of a point.
        reach: Length that offsets from tokens are measured in.
    """

    def __init__(
        self, latent_channels: int, width: int, heads: int, rounds: int, nearest: int, local_width: int, reach: float
    ) -> None:
        super().__init__()
        self.nearest, self.reach = nearest, reach
        self.lift, self.place = nn.Linear(latent_channels, width), Place(width)
        self.rounds = nn.Sequential(*(SelfBlock(width, heads) for _ in range(rounds)))
        self.planes = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * local_width))
        self.score = nn.Linear(local_width, 1)
        self.head = nn.Sequential(nn.Linear(local_width, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def keys(
        self, places: Float[Tensor, "batch tokens 3"], latents: Float[Tensor, "batch tokens c"]
    ) -> Float[Tensor, "batch tokens k"]:
        """Return what points need to know of the tokens: their places, and four numbers for each of their planes."""
        tokens = self.rounds(self.lift(latents) + self.place(places))
        return torch.cat([places, self.planes(tokens)], dim=2)

    def forward(
        self, keys: Float[Tensor, "batch tokens k"], points: Float[Tensor, "batch n 3"]
    ) -> Float[Tensor, "batch n"]:
        """Return the values at points, whatever their number."""
        return torch.cat([self._values(keys, part) for part in points.split(CHUNK, dim=1)], dim=1)

    def _values(self, keys: Tensor, points: Tensor) -> Tensor:
        places, planes = keys.split((3, keys.shape[2] - 3), dim=2)
        idx = knn_points(points, places, K=min(self.nearest + 1, keys.shape[1])).idx
        offsets = points[:, :, None] - _rows(places, idx)
        nearness, along = _nearness(offsets)[..., None], (offsets[:, :, :-1] / self.reach).split(1, dim=3)
        features, *slopes = _rows(planes, idx[:, :, :-1]).chunk(4, dim=3)
        for slope, offset in zip(slopes, along, strict=True):
            features = torch.addcmul(features, slope, offset)
        features = F.silu(features)
        weights = nearness * self.score(features).clamp(-6, 6).exp()
        return self.head((weights * features).sum(dim=2) / weights.sum(dim=2)).squeeze(-1)


def _rows(values: Float[Tensor, "batch m c"], idx: Int[Tensor, "batch n k"]) -> Float[Tensor, "batch n k c"]:
    """Rows of values by their number, all of which are present."""
    return values[torch.arange(len(values), device=idx.device)[:, None, None], idx]


def _nearness(offsets: Float[Tensor, "batch n k 3"]) -> Float[Tensor, "batch n k1"]:
    """Factors of all but the last of the nearest tokens, which fall smoothly to zero at the last one's distance."""
    squares = offsets.square().sum(-1)
    return (1 - squares[..., :-1] / squares[..., -1:].clamp(min=1e-12)).square() + 1e-12
