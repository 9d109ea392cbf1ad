"""What every method of steering returns."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Steered:
    """Data that were steered, and what that took.

    Attributes:
        data: The data.
        reward: The reward of each.
        calls: Network calls for every row of the noise that was given.
        gradients: How many of them were differentiated, which costs about two more each.
        trace: What happened on the way, a number per step: ``ess`` (effective sample size as a share), ``accepted``
            (share of proposals), ``reward`` (mean).
    """

    data: Float[Tensor, " batch *shape"]
    reward: Float[Tensor, " batch"]
    calls: int
    gradients: int = 0
    trace: dict[str, list[float]] = field(default_factory=dict)
