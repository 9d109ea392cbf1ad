"""Product: a formulation whose channels are shared out, such as positions in space and normals on the sphere.

The parts flow together: each moves its own channels by its own law, on one clock, while the network sees them all.
Every part keeps its field, its scaling of the network and its weight. Times are those of the first part. Manifolds side
by side under one formulation, with one distance, are the shelf's ``manifolds.product``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.formulation import Formulation
from geomflow.flow.geodesic import Curved, Field, Geodesic, Times

PerChannel = Float[Tensor, " batch channels"]


@dataclass(frozen=True)
class PartScales:
    """The preconditioners of parts side by side, one number per channel; times are told as the first part does.

    Attributes:
        parts: formulations.
        widths: how many channels each has.
    """

    parts: tuple[Formulation, ...]
    widths: tuple[int, ...]

    def c_skip(self, t: Times) -> PerChannel:
        """Shares of the channels that pass the network by."""
        return self._beside("c_skip", t)

    def c_out(self, t: Times) -> PerChannel:
        """Scales of the network's output."""
        return self._beside("c_out", t)

    def c_in(self, t: Times) -> PerChannel:
        """Scales of the network's input."""
        return self._beside("c_in", t)

    def c_noise(self, t: Times) -> Times:
        """What the network is told about a time."""
        return self.parts[0].preconditioner.c_noise(t)

    def weight(self, t: Times) -> PerChannel:
        """Weights of squared errors."""
        return self._beside("weight", t)

    def _beside(self, name: str, t: Times) -> PerChannel:
        columns = [getattr(part.preconditioner, name)(t)[:, None] for part in self.parts]
        return torch.cat([c.expand(-1, width) for c, width in zip(columns, self.widths, strict=True)], dim=1)


@dataclass(frozen=True)
class Product(Curved, Formulation):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Formulations side by side on the last axis; made by ``product``.

    Notation:
        - t, r: times of departure and of arrival, one per sample, in [0, 1].
        - output: what the network returns.
        - m: fields of the parts, side by side.
        - x, landing: states at t and at r.
        - data: clean samples.
        - noise: unit Gaussian noise.
        - ratio: sigma / signal, one per sample.
        - z: what ``evidence`` makes of data and noise.

    Attributes:
        parts: formulations, on one path.
        widths: how many channels each has.
    """

    parts: tuple[Formulation, ...] = field(kw_only=True)
    widths: tuple[int, ...] = field(kw_only=True)

    def predicted(self, output: Field, x: Field, t: Times) -> Field:
        """The fields that a network's output stands for."""
        return self._each(lambda part, output, x: part.predicted(output, x, t), output, x)

    def jump(self, m: Field, x: Field, t: Times, r: Times) -> Field:
        """Where fields take x from t to r."""
        return self._each(lambda part, m, x: part.jump(m, x, t, r), m, x)

    def _towards(self, landing: Field, x: Field, t: Times, r: Times) -> Field:
        """The fields of jumps that are not empty."""
        return self._each(lambda part, landing, x: part.field(landing, x, t, r), landing, x)

    def velocity(self, m: Field, x: Field, t: Times) -> Field:
        """The velocity on the clock from instantaneous fields."""
        return self._each(lambda part, m, x: part.velocity(m, x, t), m, x)

    def x_t(self, data: Field, noise: Field, t: Times) -> Field:
        """The state between noise and data."""
        return self._each(lambda part, data, noise: part.x_t(data, noise, t), data, noise)

    def instantaneous_target(self, data: Field, noise: Field, t: Times) -> Field:
        """The conditional predictions."""
        return self._each(lambda part, data, noise: part.instantaneous_target(data, noise, t), data, noise)

    def evidence(self, data: Field, noise: Field, ratio: Times) -> Field:
        """What is known of data where sigma / signal has a value."""
        return self._each(lambda part, data, noise: part.evidence(data, noise, ratio), data, noise)

    def noise_behind(self, data: Field, z: Field, ratio: Times) -> Field:
        """The noise that makes ``evidence`` of data."""
        return self._each(lambda part, data, z: part.noise_behind(data, z, ratio), data, z)

    def start(self, noise: Field) -> Field:
        """The state at t = 0 from unit Gaussian noise."""
        return self._each(lambda part, noise: part.start(noise), noise)

    def unstart(self, x: Field) -> Field:
        """Noise from a state at t = 0."""
        return self._each(lambda part, x: part.unstart(x), x)

    def _each(self, law: Callable[..., Tensor], *states: Field) -> Field:
        """A law of the parts, on the channels of each.

        Raises:
            ValueError: states of another number of channels.
        """
        if states[0].shape[-1] != sum(self.widths):
            raise ValueError(
                f"states must have channels {self.widths} on the last axis, given {tuple(states[0].shape)}"
            )
        split = zip(*(state.split(self.widths, dim=-1) for state in states), strict=True)
        return torch.cat([law(part, *own) for part, own in zip(self.parts, split, strict=True)], dim=-1)


def product(parts: Sequence[tuple[int, Formulation]]) -> Product:
    """Return formulations side by side.

    Args:
        parts: each formulation behind the number of its channels, all on one path. The first decides the grids of
            sampling and what the network is told of times.

    Raises:
        ValueError: no part, one without channels or with others than its manifold's, or parts on different paths.
    """
    widths, formulations = tuple(width for width, _ in parts), tuple(formulation for _, formulation in parts)
    if not parts or min(widths) < 1:
        raise ValueError(f"parts must be at least one, each of at least one channel, given widths {widths}")
    first = formulations[0]
    for width, part in parts:
        _check_part(width, part, first)
    scales: Any = PartScales(formulations, widths)
    times = {"spacing": first.spacing, "jump_ratios": first.jump_ratios, "preconditioner": scales}
    return Product(first.path, "velocity", **times, parts=formulations, widths=widths)


def _check_part(width: int, part: Formulation, first: Formulation) -> None:
    """Refuses a part that cannot have so many channels, or that would not keep pace."""
    if isinstance(part, Geodesic) and part.manifold.coordinates != width:
        raise ValueError(f"parts must be as wide as their manifolds, given {width} channels for {part.manifold}")
    if part.path != first.path:
        raise ValueError(f"parts must share a path, given {first.path} and {part.path}")
