"""Diffusion transformer: a two-time network on latents, a token for each patch of an image or grid or item of a set."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.networks._conditions import READ, condition_module, read_condition
from geomflow.networks._layers import ConditionedBlock, CrossAttention, TimeEmbedding, check_state, zero_linear


class DiffusionTransformer(nn.Module):
    """Transformer over the cells of a latent, which is told current and target time and, if asked, a condition.

    Blocks are those of DiT (see `ConditionedBlock`); tokens of a condition are looked at before each of them.

    Args:
        latent_shape: (channels, *cells) of one latent.
        width: Features per token.
        depth: Number of blocks.
        heads: Attention heads per block, a divisor of the width.
        condition: `class`, `points`, `surface`, `image`, or empty for none.
        classes: Number of classes, for that condition.
        patch: Cells per axis that make a token together.
        ordered: Whether tokens know their place; without, they are a set, and so is what comes out.

    Attributes:
        null: The condition that stands for none, one row by name; empty for an unconditional network.

    Raises:
        ValueError: The width is not a multiple of the heads, an axis not of the patch, or there is no such condition.
    """

    def __init__(
        self,
        latent_shape: tuple[int, ...],
        width: int,
        depth: int,
        heads: int,
        condition: str = "",
        classes: int = 0,
        patch: int = 1,
        ordered: bool = True,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, given {width} and {heads}")
        channels, *cells = latent_shape
        if any(count % patch for count in cells):
            raise ValueError(f"latent_shape must have axes that are multiples of patch, {patch}, given {latent_shape}")
        self.latent_shape, self.patch = tuple(latent_shape), patch
        tokens, numbers = math.prod(count // patch for count in cells), channels * patch ** len(cells)
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width)) if ordered else 0.0
        self.embed = nn.Linear(numbers, width)
        self.time = TimeEmbedding(width)
        self.blocks = nn.ModuleList(ConditionedBlock(width, heads) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, numbers)
        self.condition = condition_module(condition, width, classes)
        looks = depth if getattr(self.condition, "shows", False) else 0
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
        tokens = self.embed(self._patches(x)) + self.place
        vector, seen, present = read_condition(self.condition, condition, x)
        embedding = self.time(t, r) + vector
        for i, block in enumerate(self.blocks):
            if seen is not None:
                tokens = tokens + self.looks[i](tokens, seen, present)
            tokens = block(tokens, embedding)
        return self._whole(self.out(self.norm(tokens)))

    def encode_condition(self, condition: dict[str, Tensor]) -> dict[str, Any]:
        """Return what stands for a condition in any number of calls, so that its tokens are made only once.

        Args:
            condition: Tensors by the kind's name, each shaped (batch, ...).

        Raises:
            ValueError: The condition is not of the network's kind.
        """
        if not self.looks:
            return condition
        return dict(zip(READ, read_condition(self.condition, condition, next(iter(condition.values()))), strict=True))

    def _patches(self, x: Float[Tensor, "batch c *cells"]) -> Float[Tensor, "batch tokens numbers"]:
        """Cells gathered into patches: a token's numbers are channels and, in each, the cells of its patch."""
        axes = range(x.ndim - 2)
        for axis in axes:
            x = x.unflatten(2 + 2 * axis, (-1, self.patch))
        order = (0, *(2 + 2 * axis for axis in axes), 1, *(3 + 2 * axis for axis in axes))
        return x.permute(order).flatten(1, len(axes)).flatten(2)

    def _whole(self, tokens: Float[Tensor, "batch tokens numbers"]) -> Float[Tensor, "batch c *cells"]:
        """The inverse of `_patches`."""
        channels, *cells = self.latent_shape
        counts = [count // self.patch for count in cells]
        x = tokens.unflatten(2, (channels, *[self.patch] * len(cells))).unflatten(1, counts)
        axes = range(len(cells))
        order = (0, 1 + len(cells), *(place for axis in axes for place in (1 + axis, 2 + len(cells) + axis)))
        return x.permute(order).reshape(-1, *self.latent_shape)

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
    patch: int = 1,
    ordered: bool = True,
) -> DiffusionTransformer:
    """Return an untrained diffusion transformer; see `DiffusionTransformer` for the options."""
    return DiffusionTransformer(latent_shape, width, depth, heads, condition, classes, patch, ordered)
