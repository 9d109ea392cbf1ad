"""Grid transformer: a two-time network on small latent grids, one token per cell."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.networks._layers import ConditionedBlock, TimeEmbedding, zero_linear


class GridTransformer(nn.Module):
    """Transformer over the cells of a latent grid, conditioned on current and target time.

    Args:
        latent_shape: (channels, x, y, z) of one latent.
        width: Features per token.
        depth: Number of blocks.
        heads: Attention heads per block, a divisor of the width.

    Raises:
        ValueError: The width is not a multiple of the heads.
    """

    def __init__(self, latent_shape: tuple[int, ...], width: int, depth: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, given {width} and {heads}")
        channels, *cells = latent_shape
        self.latent_shape = tuple(latent_shape)
        self.place = nn.Parameter(0.02 * torch.randn(torch.Size(cells).numel(), width))
        self.embed = nn.Linear(channels, width)
        self.time = TimeEmbedding(width)
        self.blocks = nn.ModuleList(ConditionedBlock(width, heads) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, channels)

    def forward(
        self,
        x: Float[Tensor, "batch c x y z"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Tensor | None = None,
    ) -> Float[Tensor, "batch c x y z"]:
        """Return an output of the shape of `x`.

        Raises:
            ValueError: `x` is no latent grid of this network, or a condition is given to an unconditional network.
        """
        if tuple(x.shape[1:]) != self.latent_shape:
            wanted = ", ".join(map(str, self.latent_shape))
            raise ValueError(f"x must have shape (batch, {wanted}), given {tuple(x.shape)}")
        if condition is not None:
            raise ValueError("condition must be None: grid_transformer is unconditional")
        tokens = self.embed(x.flatten(2).transpose(1, 2)) + self.place
        embedding = self.time(t, r)
        for block in self.blocks:
            tokens = block(tokens, embedding)
        return self.out(self.norm(tokens)).transpose(1, 2).reshape(x.shape)


def make(latent_shape: tuple[int, ...], width: int = 192, depth: int = 6, heads: int = 6) -> GridTransformer:
    """Return an untrained grid transformer; see `GridTransformer` for the options."""
    return GridTransformer(latent_shape, width, depth, heads)
