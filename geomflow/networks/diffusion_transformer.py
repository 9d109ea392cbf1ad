"""Diffusion transformer: a two-time network on latents, one token per cell of a grid or per token of a set."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.networks._conditions import condition_module, read_condition
from geomflow.networks._layers import ConditionedBlock, CrossAttention, TimeEmbedding, check_state, zero_linear


class DiffusionTransformer(nn.Module):
    """Transformer over the cells of a latent, which is told current and target time and, if asked, a condition.

    Blocks are those of DiT (see `ConditionedBlock`); condition points are looked at before each of them.

    Args:
        latent_shape: (channels, *cells) of one latent.
        width: Features per token.
        depth: Number of blocks.
        heads: Attention heads per block, a divisor of the width.
        condition: `class`, `points`, or empty for none.
        classes: Number of classes, for that condition.

    Attributes:
        null: The condition that stands for none, one row by name; empty for an unconditional network.

    Raises:
        ValueError: The width is not a multiple of the heads, or there is no such condition.
    """

    def __init__(
        self, latent_shape: tuple[int, ...], width: int, depth: int, heads: int, condition: str = "", classes: int = 0
    ) -> None:
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
        self.condition = condition_module(condition, width, classes)
        looks = depth if condition == "points" else 0
        self.looks = nn.ModuleList(CrossAttention(width, heads) for _ in range(looks))
        self.null: dict[str, float] = self.condition.null if self.condition else {}  # pyright: ignore

    def forward(
        self,
        x: Float[Tensor, "batch c *cells"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Any = None,
    ) -> Float[Tensor, "batch c *cells"]:
        """Return an output of the shape of `x`; without a condition, a conditional network is told of none.

        Raises:
            ValueError: `x` is no latent of this network, or the condition is not of its kind.
        """
        check_state(x, self.latent_shape)
        tokens = self.embed(x.flatten(2).transpose(1, 2)) + self.place
        vector, seen, present = read_condition(self.condition, condition, x)
        embedding = self.time(t, r) + vector
        for i, block in enumerate(self.blocks):
            if seen is not None:
                tokens = tokens + self.looks[i](tokens, seen, present)
            tokens = block(tokens, embedding)
        return self.out(self.norm(tokens)).transpose(1, 2).reshape(x.shape)

    def hidden_weights(self) -> list[nn.Parameter]:
        """Return the matrices of attentions and feed-forward parts."""
        parts = [part for block in self.blocks for part in (block.attention, block.feed)]  # pyright: ignore
        layers = [layer for part in (*parts, *self.looks) for layer in part.modules()]  # pyright: ignore
        return [layer.weight for layer in layers if isinstance(layer, nn.Linear)]  # pyright: ignore


def make(
    latent_shape: tuple[int, ...],
    width: int = 192,
    depth: int = 6,
    heads: int = 6,
    condition: str = "",
    classes: int = 0,
) -> DiffusionTransformer:
    """Return an untrained diffusion transformer; see `DiffusionTransformer` for the options."""
    return DiffusionTransformer(latent_shape, width, depth, heads, condition, classes)
