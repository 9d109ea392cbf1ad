"""Set autoencoder: points on a surface with their normals to a latent set of tokens that know their place, and back.

The encoder's queries are surface points spread by farthest point sampling, as in 3DShape2VecSet (Zhang et al., arXiv
2301.11445): each begins with the features of its neighbourhood (two set abstractions, as in PointNet++), then attends
to tokens all over the surface and to the queries before it. It ends in a place, which is the point itself, and the mean
and log-variance of a few numbers. As farthest points come in an order in which every beginning covers the shape, and no
query sees those behind it, the first k tokens of a latent are the latent of k tokens: how many there are is a choice of
whoever encodes, decodes or generates. The decoder is local, see `_set_decoder.py`; irregular grids of latents were
proposed by 3DILG (Zhang et al., arXiv 2205.13914).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._attention import QueryBlock
from geomflow.encoders._blocks import Place
from geomflow.encoders._posterior import Posterior, posterior_of
from geomflow.encoders._set_decoder import SetDecoder
from geomflow.set_abstraction import SetAbstraction, by_place, spread_centers

FIRST_LOG_VARIANCE = -5.0
"""Where log-variances start: with little noise, the decoder sees what the encoder says from the first step on."""

PLACE_LOG_VARIANCE = 2 * math.log(0.005)
"""Log-variance of places: what the decoder learns to bear with where a token lies."""


class SetEncoder(nn.Module):
    """Surface points to tokens: a place and two numbers, mean and log-variance, per latent number.

    Args:
        fine: Centres of the set abstraction that the tokens to attend to come from.
        neighbours: Points per neighbourhood.
        fine_width: Features of those centres.
        width: Features per query and token.
        heads: Heads of every attention.
        rounds: Times that queries attend to tokens and to each other.
        latent_channels: Numbers per token beside its place.
        reach: Length that neighbourhoods of tokens are measured in.
    """

    def __init__(
        self,
        fine: int,
        neighbours: int,
        fine_width: int,
        width: int,
        heads: int,
        rounds: int,
        latent_channels: int,
        reach: float,
    ) -> None:
        super().__init__()
        self.centers = fine
        self.fine = SetAbstraction(3, fine_width, neighbours, 1 / math.sqrt(fine))
        self.around = SetAbstraction(fine_width, width, neighbours, reach / 2)
        self.tokens, self.place = nn.Linear(fine_width, width), Place(width)
        self.rounds = nn.ModuleList(QueryBlock(width, heads, causal=True) for _ in range(rounds))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 2 * latent_channels)
        self.out.bias.data[latent_channels:] = FIRST_LOG_VARIANCE

    def forward(
        self, surface: Float[Tensor, "batch n 6"], count: int
    ) -> tuple[Float[Tensor, "batch count 3"], Float[Tensor, "batch count c2"]]:
        """Return places of tokens, and mean and log-variance of their numbers one after the other.

        Args:
            surface: Points on the surface with unit normals.
            count: How many tokens to make.
        """
        present = surface.isfinite().all(-1, keepdim=True)
        points, normals = by_place(torch.where(present, surface, torch.nan)).split(3, dim=2)
        centers = spread_centers(points, self.centers)
        features = self.fine(points, normals.nan_to_num(0), centers)
        places = centers[:, :count]
        tokens = self.tokens(features) + self.place(centers)
        x = self.place(places) + self.around(centers, features, places)
        for block in self.rounds:
            x = block(x, tokens)
        return places, self.out(self.norm(x))


class SetAutoencoder(nn.Module):
    """Autoencoder of shapes given as points with normals in [-1, 1]^3, to latents (3 + channels, tokens).

    Args:
        points: Points that it is trained with, and that a mesh or record is read with; any other number works too.
        tokens: Tokens of a latent, unless another number is asked for; training sees no more.
        latent_channels: Numbers per token beside its place.
        fine: Centres of the first set abstraction, and most tokens that can be asked for.
        neighbours: Points per neighbourhood of the encoder.
        width: Features per query and token, a multiple of `heads`.
        heads: Heads of every attention.
        rounds: Times that the encoder's queries attend to tokens and to each other.
        decoder_rounds: Times that the decoder's tokens attend to each other.
        nearest: Tokens that the field at a point depends on.
        local_width: Planes per token, whose features make a point's.
        reach: Length that offsets of points from tokens are measured in.
        band: Unit in which distances are predicted, and where they are cut off.
    """

    reads = "surface"
    resolution = 64

    def __init__(
        self,
        points: int,
        tokens: int,
        latent_channels: int,
        fine: int,
        neighbours: int,
        width: int,
        heads: int,
        rounds: int,
        decoder_rounds: int,
        nearest: int,
        local_width: int,
        reach: float,
        band: float,
    ) -> None:
        if not points >= fine >= tokens > nearest >= 1:
            raise ValueError(
                "points, fine, tokens and nearest must fall in this order, the last at least 1, "
                f"given {points}, {fine}, {tokens} and {nearest}"
            )
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, {heads}, given {width}")
        super().__init__()
        self.points, self.tokens, self.latent_channels, self.band = points, tokens, latent_channels, band
        self.encoder = SetEncoder(fine, neighbours, width // 2, width, heads, rounds, latent_channels, reach)
        self.decoder = SetDecoder(latent_channels, width, heads, decoder_rounds, nearest, local_width, reach)

    @property
    def least_tokens(self) -> int:
        """Fewest tokens that can be decoded."""
        return self.decoder.nearest + 1

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Shape (channels, tokens) of one latent of all tokens; the first three channels are places."""
        return (3 + self.latent_channels, self.tokens)

    def hidden_weights(self) -> list[nn.Parameter]:
        """Return the matrices of the attentions and of what tokens think for themselves."""
        rounds = [*self.encoder.rounds.modules(), *self.decoder.rounds.modules()]
        return [layer.weight for layer in rounds if isinstance(layer, nn.Linear)]  # pyright: ignore[reportReturnType]

    def encode(self, surface: Float[Tensor, "batch n columns"], tokens: int | None = None) -> Posterior:
        """Return the Gaussian over latents of points and unit normals, whatever their order.

        Args:
            surface: Points and normals of each shape; rows that are not finite count as absent, so that shapes with
                fewer points can be filled up with NaN. With fewer points than tokens some tokens are alike.
            tokens: Tokens of the latents, which are the first ones of those with more. More than the model was trained
                with, up to `fine`, make the field finer still.

        Raises:
            ValueError: The rows do not have six columns, or more tokens are wanted than there are.
        """
        if surface.ndim != 3 or surface.shape[2] != 6:
            raise ValueError(f"surface must have shape (batch, points, 6), given {tuple(surface.shape)}")
        if tokens is not None and not self.least_tokens <= tokens <= self.encoder.centers:
            raise ValueError(f"tokens must lie in [{self.least_tokens}, {self.encoder.centers}], given {tokens}")
        places, moments = self.encoder(surface, tokens or self.tokens)
        mean, log_variance = moments.float().chunk(2, dim=2)
        mean = torch.cat([places, mean], dim=2)
        log_variance = torch.cat([torch.full_like(places, PLACE_LOG_VARIANCE), log_variance], dim=2)
        return posterior_of(torch.cat([mean, log_variance], dim=2).transpose(1, 2))

    def decode(self, latent: Float[Tensor, "batch c tokens"]) -> Float[Tensor, "batch tokens k"]:
        """Return places and features of tokens, of as many as there are, which `sdf` looks up.

        Raises:
            ValueError: There are fewer tokens than a point looks at.
        """
        if latent.shape[-1] < self.least_tokens:
            raise ValueError(f"latent must have at least {self.least_tokens} tokens, given {latent.shape[-1]}")
        places, numbers = latent.transpose(1, 2).split((3, self.latent_channels), dim=2)
        return self.decoder.keys(places, numbers).float()

    def sdf(
        self, features: Float[Tensor, "batch tokens k"], points: Float[Tensor, "batch n 3"]
    ) -> Float[Tensor, "batch n"]:
        """Return signed distances, cut off near the model's band, at points of [-1, 1]^3."""
        return self.band * self.decoder(features, points).float()


def make(
    points: int = 4096,
    tokens: int = 256,
    latent_channels: int = 16,
    fine: int = 512,
    neighbours: int = 16,
    width: int = 128,
    heads: int = 4,
    rounds: int = 2,
    decoder_rounds: int = 2,
    nearest: int = 8,
    local_width: int = 32,
    reach: float = 0.125,
    band: float = 0.1,
) -> SetAutoencoder:
    """Return an untrained set autoencoder; see `SetAutoencoder` for the options."""
    return SetAutoencoder(
        points,
        tokens,
        latent_channels,
        fine,
        neighbours,
        width,
        heads,
        rounds,
        decoder_rounds,
        nearest,
        local_width,
        reach,
        band,
    )
