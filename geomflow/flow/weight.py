"""How the errors of a batch become its loss: robust and adaptive weighting, both off by default."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ErrorWeight:
    """Turns the weighted mean squared error of each sample into its share of the loss.

    Attributes:
        adaptive_power: power p of the weight 1 / (error + adaptive_floor)^p, taken of the squared error and held
            constant (MeanFlow, arXiv 2505.13447). 1 suits images; on points it makes samples look sharper and their
            distribution wrong, hence 0.
        adaptive_floor: keeps that weight finite.
        huber: width of the pseudo-Huber loss (iCT, arXiv 2310.14189) of each sample; 0 is the squared error.
    """

    adaptive_power: float = 0.0
    adaptive_floor: float = 1e-3
    huber: float = 0.0

    def __post_init__(self) -> None:
        """Checks the constants."""
        for name in ("adaptive_power", "huber"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, given {getattr(self, name)}")
        if not self.adaptive_floor > 0:
            raise ValueError(f"adaptive_floor must be positive, given {self.adaptive_floor}")

    def __call__(self, error: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The loss of each sample from its error.

        Args:
            error: error of each sample.
        """
        weight = 1 / (error.detach() + self.adaptive_floor) ** self.adaptive_power
        if self.huber:
            error = pseudo_huber(error, self.huber)
        return weight * error


def pseudo_huber(square: Float[Tensor, "*batch"], width: float) -> Float[Tensor, "*batch"]:
    """Return sqrt(square + width^2) - width of squared errors.

    Args:
        square: squared errors.
        width: error beyond which it grows like the distance rather than its square.
    """
    return (square + width**2).sqrt() - width
