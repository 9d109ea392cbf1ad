"""Perceptron: a two-time network on points, for distributions over low-dimensional vectors."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from geomflow.networks._layers import TimeEmbedding, zero_linear


class Perceptron(nn.Module):
    """Residual perceptron on single points, conditioned on current and target time and, if asked, on a class.

    Args:
        dimensions: Numbers per point.
        width: Features per layer.
        depth: Number of residual layers.
        classes: Number of classes, numbered from 0; the number itself stands for "no class". 0 for none.
    """

    def __init__(self, dimensions: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dimensions, width)
        self.time = TimeEmbedding(width)
        self.classes = nn.Embedding(classes + 1, width) if classes else None
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = zero_linear(width, dimensions)

    def forward(
        self,
        x: Float[Tensor, "batch dimensions"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch dimensions"]:
        """Return an output of the shape of `x`; `condition` is the class of each point.

        Raises:
            ValueError: A class is given to a network without classes, or missing.
        """
        if (condition is None) != (self.classes is None):
            raise ValueError(f"condition must be {'None' if self.classes is None else 'the class of each point'}")
        embedding = self.time(t, r)
        if self.classes is not None and condition is not None:
            embedding = embedding + self.classes(condition)
        hidden = self.embed(x) + embedding
        for layer in self.layers:
            hidden = hidden + layer(F.silu(hidden))
        return self.out(F.silu(hidden))


def make(dimensions: int = 2, width: int = 128, depth: int = 4, classes: int = 0) -> Perceptron:
    """Return an untrained perceptron; see `Perceptron` for the options."""
    return Perceptron(dimensions, width, depth, classes)
