"""Sines and cosines of a vector's length as smooth functions of its square, so that derivatives exist at zero."""

from jaxtyping import Float
from torch import Tensor, where

SMALL = 1e-2
"""Squared length under which the series are used: the first term left out is below 1e-15 of the sum."""


def cosine(square: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return cos(sqrt(u))."""
    u = square.clamp(max=SMALL)
    series = 1 - u / 2 * (1 - u / 12 * (1 - u / 30 * (1 - u / 56 * (1 - u / 90))))
    return where(square < SMALL, series, square.clamp(min=SMALL).sqrt().cos())


def sine_ratio(square: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return sin(sqrt(u)) / sqrt(u)."""
    u, length = square.clamp(max=SMALL), square.clamp(min=SMALL).sqrt()
    series = 1 - u / 6 * (1 - u / 20 * (1 - u / 42 * (1 - u / 72 * (1 - u / 110))))
    return where(square < SMALL, series, length.sin() / length)


def arc_ratio(sine_square: Float[Tensor, "*batch"], cos: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return angle / sin(angle) of an angle in [0, pi) by the square of its sine and its cosine."""
    u, sine = sine_square.clamp(max=SMALL), sine_square.clamp(min=SMALL).sqrt()
    series = 1 + u / 6 * (1 + u * 9 / 20 * (1 + u * 25 / 42 * (1 + u * 49 / 72 * (1 + u * 81 / 110))))
    return where((sine_square < SMALL) & (cos > 0), series, _plain_ratio(sine_square, sine, cos))


def _plain_ratio(sine_square: Tensor, sine: Tensor, cos: Tensor) -> Tensor:
    """The ratio away from zero; near pi the sine is small again, but the cosine tells."""
    tiny = sine_square.clamp(min=1e-30).sqrt()
    sine = where(cos > 0, sine, tiny)
    return sine.atan2(cos) / sine
