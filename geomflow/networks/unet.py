"""U-Net: a two-time network of convolutions on images and grids, for those too large for a transformer."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from geomflow.networks._conditions import condition_module, read_condition
from geomflow.networks._layers import Attention, TimeEmbedding, check_state, zero_linear

CONVOLUTIONS = {2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}
"""Convolutions by the number of axes, and their transposes."""


class UNet(nn.Module):
    """Convolutions at several resolutions, with attention at the coarsest (Ronneberger et al., arXiv 1505.04597).

    Cells are first gathered into patches, which is where most of the cost of a grid would be. Every block is told the
    times and, if asked, a class, by scaling and shifting its normalised features.

    Args:
        latent_shape: (channels, height, width) of an image or (channels, x, y, z) of a grid, its axes multiples of
            as many patches as make one cell of the coarsest resolution.
        widths: Channels at each resolution, the finest first, multiples of 8.
        patch: Cells per axis of a patch.
        depth: Residual blocks per resolution and direction.
        heads: Attention heads, a divisor of the last width.
        condition: `class`, or empty for none.
        classes: Number of classes, for that condition.

    Attributes:
        null: The condition that stands for none, one row by name; empty for an unconditional network.

    Raises:
        ValueError: A grid or widths that the levels cannot have, or no such condition.
    """

    def __init__(
        self,
        latent_shape: tuple[int, ...],
        widths: Sequence[int],
        patch: int,
        depth: int,
        heads: int,
        condition: str = "",
        classes: int = 0,
    ) -> None:
        super().__init__()
        channels, *cells = latent_shape
        axes, coarsest = len(cells), patch * 2 ** (len(widths) - 1)
        if axes not in CONVOLUTIONS or any(count % coarsest for count in cells):
            raise ValueError(
                f"latent_shape must have two or three axes that are multiples of {coarsest}, given {latent_shape}"
            )
        convolution, transposed = CONVOLUTIONS[axes]
        if any(width % 8 for width in widths) or widths[-1] % heads:
            raise ValueError(f"widths must be multiples of 8, the last one of heads, {heads}; given {list(widths)}")
        self.latent_shape = tuple(latent_shape)
        told = widths[-1]
        self.time = TimeEmbedding(told)
        self.condition = condition_module(condition, told, classes, kinds=("class",))
        self.null: dict[str, float] = self.condition.null if self.condition else {}  # pyright: ignore
        self.embed = convolution(channels, widths[0], patch, stride=patch)
        self.down = nn.ModuleList(_blocks(width, told, depth, axes) for width in widths[:-1])
        self.shrink = nn.ModuleList(convolution(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle, self.norm = _blocks(told, told, depth, axes), nn.RMSNorm(told)
        self.attention = Attention(told, heads)
        self.grow = nn.ModuleList(transposed(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_blocks(width, told, depth, axes) for width in widths[:-1])
        self.out = transposed(widths[0], channels, patch, stride=patch)
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        x: Float[Tensor, "batch c *cells"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Any = None,
    ) -> Float[Tensor, "batch c *cells"]:
        """Return an output of the shape of `x`; without a condition, a conditional network is told of none.

        Raises:
            ValueError: `x` is no grid of this network, or the condition is not of its kind.
        """
        check_state(x, self.latent_shape)
        told = F.silu(self.time(t, r) + read_condition(self.condition, condition, x)[0])
        kept, features = [], self.embed(x)
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            kept.append(_through(blocks, features, told))
            features = shrink(kept[-1])
        features = self._attend(_through(self.middle, features, told))
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            features = _through(blocks, grow(features) + kept.pop(), told)
        return self.out(features)

    def hidden_weights(self) -> list[nn.Parameter]:
        """Return the kernels of the residual blocks and the matrices of the attention."""
        inner = [block for block in self.modules() if isinstance(block, ConditionedResidual)]
        kernels = [layer.weight for block in inner for layer in (block.first, block.second)]
        return [*kernels, self.attention.qkv.weight, self.attention.out.weight]  # pyright: ignore[reportReturnType]

    def _attend(self, features: Float[Tensor, "batch c *cells"]) -> Float[Tensor, "batch c *cells"]:
        tokens = features.flatten(2).transpose(1, 2)
        return features + self.attention(self.norm(tokens)).transpose(1, 2).view_as(features)


class ConditionedResidual(nn.Module):
    """Two convolutions, 3 cells wide, on normalised, then scaled and shifted features, added to what came in.

    Args:
        width: Features per cell.
        told: Numbers that say what is known of times and condition.
        axes: Axes of the grid, 2 or 3.
    """

    def __init__(self, width: int, told: int, axes: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width, affine=False)
        self.modulation = zero_linear(told, 2 * width)
        self.first, self.second = (CONVOLUTIONS[axes][0](width, width, 3, padding=1) for _ in range(2))
        nn.init.normal_(self.second.weight, std=0.1 / (3**axes * width) ** 0.5)

    def forward(
        self, x: Float[Tensor, "batch width *cells"], told: Float[Tensor, "batch told"]
    ) -> Float[Tensor, "batch width *cells"]:
        """Return the features after the block.

        Args:
            x: Features of each cell.
            told: What is known of times and condition.
        """
        modulation = self.modulation(told)
        scale, shift = modulation.view(*modulation.shape, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        hidden = F.silu(self.first(F.silu(self.norm(x) * (1 + scale) + shift)))
        return x + self.second(hidden)


def _blocks(width: int, told: int, depth: int, axes: int) -> nn.ModuleList:
    return nn.ModuleList(ConditionedResidual(width, told, axes) for _ in range(depth))


def _through(blocks: Any, features: Tensor, told: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, told)
    return features


def make(
    latent_shape: tuple[int, ...],
    widths: Sequence[int] = (32, 64, 128),
    patch: int = 2,
    depth: int = 2,
    heads: int = 4,
    condition: str = "",
    classes: int = 0,
) -> UNet:
    """Return an untrained U-Net; see `UNet` for the options."""
    return UNet(latent_shape, widths, patch, depth, heads, condition, classes)
