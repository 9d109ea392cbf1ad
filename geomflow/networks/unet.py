"""U-Net: a two-time network of convolutions on grids, for those too large for a transformer with a token per cell."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from geomflow.networks._conditions import condition_module, read_condition
from geomflow.networks._layers import Attention, TimeEmbedding, check_state, zero_linear


class UNet(nn.Module):
    """Convolutions at three resolutions, with attention at the coarsest (Ronneberger et al., arXiv 1505.04597).

    Cells are first gathered into patches, which is where most of the cost of a grid would be. Every block is told the
    times and, if asked, a class, by scaling and shifting its normalised features.

    Args:
        latent_shape: (channels, x, y, z) of one grid, its axes multiples of four patches.
        widths: Channels at the three resolutions, multiples of 8.
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
        if len(cells) != 3 or any(count % (4 * patch) for count in cells):
            raise ValueError(
                f"latent_shape must have three axes that are multiples of {4 * patch}, given {latent_shape}"
            )
        if len(widths) != 3 or any(width % 8 for width in widths) or widths[2] % heads:
            raise ValueError(
                f"widths must be three multiples of 8, the last one of heads, {heads}; given {list(widths)}"
            )
        self.latent_shape = tuple(latent_shape)
        told = widths[2]
        self.time = TimeEmbedding(told)
        self.condition = condition_module(condition, told, classes, kinds=("class",))
        self.null: dict[str, float] = self.condition.null if self.condition else {}  # pyright: ignore
        self.embed = nn.Conv3d(channels, widths[0], patch, stride=patch)
        self.down = nn.ModuleList(_blocks(width, told, depth) for width in widths[:2])
        self.shrink = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle, self.norm = _blocks(widths[2], told, depth), nn.RMSNorm(widths[2])
        self.attention = Attention(widths[2], heads)
        self.grow = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_blocks(width, told, depth) for width in widths[:2])
        self.out = nn.ConvTranspose3d(widths[0], channels, patch, stride=patch)
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        x: Float[Tensor, "batch c x y z"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Any = None,
    ) -> Float[Tensor, "batch c x y z"]:
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

    def _attend(self, features: Float[Tensor, "batch c x y z"]) -> Float[Tensor, "batch c x y z"]:
        tokens = features.flatten(2).transpose(1, 2)
        return features + self.attention(self.norm(tokens)).transpose(1, 2).view_as(features)


class ConditionedResidual(nn.Module):
    """Two 3x3x3 convolutions on normalised, then scaled and shifted features, added to what came in."""

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width, affine=False)
        self.modulation = zero_linear(told, 2 * width)
        self.first, self.second = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        nn.init.normal_(self.second.weight, std=0.1 / (27 * width) ** 0.5)

    def forward(
        self, x: Float[Tensor, "batch width x y z"], told: Float[Tensor, "batch told"]
    ) -> Float[Tensor, "batch width x y z"]:
        """Return the features after the block."""
        scale, shift = self.modulation(told)[:, :, None, None, None].chunk(2, dim=1)
        hidden = F.silu(self.first(F.silu(self.norm(x) * (1 + scale) + shift)))
        return x + self.second(hidden)


def _blocks(width: int, told: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(ConditionedResidual(width, told) for _ in range(depth))


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
