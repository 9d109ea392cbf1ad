"""What an objective is: a rule that turns a batch of jumps into a regression.

Every objective of the shelf ``geomflow.objectives`` is one function from a batch to a ``Regression``; drawing the
batch, weighing the errors and averaging them is the same for all of them and done by ``LossModule``.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.condition import rows
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import per_sample
from geomflow.flow.weight import pseudo_huber


@dataclass(frozen=True)
class FlowBatch:
    """What a loss is computed from: pairs of data and noise, each with its times of departure t and arrival r.

    Attributes:
        data: clean samples (batch, *shape).
        noise: unit Gaussian noise of the same shape.
        t: times of departure (batch,).
        r: times of arrival (batch,).
        condition: passed to the network: None, a tensor of (batch, ...), or a mapping of such.
        progress: share of the training that is done, from 0 to 1, for objectives that anneal.
        drawn: the pair as it was drawn, where guidance or an expectation has replaced it by one that holds at t alone.
    """

    data: Float[Tensor, " batch *shape"]
    noise: Float[Tensor, " batch *shape"]
    t: Float[Tensor, " batch"]
    r: Float[Tensor, " batch"]
    condition: Any = None
    progress: float = 1.0
    drawn: tuple[Float[Tensor, " batch *shape"], Float[Tensor, " batch *shape"]] | None = None

    def rows(self, which: slice) -> "FlowBatch":
        """Some of the rows.

        Args:
            which: the rows.
        """
        condition = rows(self.condition, which)
        drawn = self.drawn and (self.drawn[0][which], self.drawn[1][which])
        times = self.t[which], self.r[which]
        return FlowBatch(self.data[which], self.noise[which], *times, condition, self.progress, drawn)

    def moved(self, t: Float[Tensor, " batch"], r: Float[Tensor, " batch"]) -> "FlowBatch":
        """The pairs as they were drawn, at other times.

        Args:
            t: new times of departure.
            r: new times of arrival.
        """
        data, noise = self.drawn or (self.data, self.noise)
        return replace(self, data=data, noise=noise, t=t, r=r, drawn=None)


@dataclass(frozen=True)
class Regression:
    """A prediction and the target it should meet.

    Attributes:
        prediction: what the network says.
        target: what it should say, without gradient.
        weight: of each sample's squared error, or of each channel's; None stands for the formulation's weight at the
            time of departure.
        huber: width of the pseudo-Huber loss of every vector along the last axis (a point of a cloud), by which a few
            large errors count less; 0 is the mean squared error.
    """

    prediction: Float[Tensor, " batch *shape"]
    target: Float[Tensor, " batch *shape"]
    weight: Float[Tensor, " batch *channels"] | None = None
    huber: float = 0.0

    def error(self, weight: Float[Tensor, " batch *channels"]) -> Float[Tensor, " batch"]:
        """Weighted error of each sample: mean squared, or robust.

        Args:
            weight: weight of each sample, or of each of its channels.
        """
        square = (self.prediction - self.target).square()
        square = per_sample(weight, square) * square
        if not self.huber:
            return square.flatten(1).mean(1)
        return pseudo_huber(square.sum(-1).reshape(len(weight), -1), self.huber).mean(1)

    def squared_error(self) -> Float[Tensor, " batch"]:
        """Mean squared error of each sample."""
        return (self.prediction - self.target).square().flatten(1).mean(1)


@runtime_checkable
class Objective(Protocol):
    """A rule that says what the cumulative field of a jump should be: one file of the shelf ``objectives``.

    It may change r (an endpoint objective puts every r at 1), or all times by ``batch.moved``, but not the rows. The
    target carries no gradient; it is made with ``target_map``, an average of earlier weights or the flow map itself.
    Randomness comes from ``generator`` alone.
    """

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The regression of one batch of jumps.

        Args:
            flow_map: the map that is trained.
            batch: pairs of data and noise with the times of jumps.
            target_map: what makes targets: an average of earlier weights, or ``flow_map`` itself.
            generator: source of what the objective draws.
        """
        ...


def instantaneous_regression(flow_map: FlowMap, batch: FlowBatch) -> Regression:
    """m(x_t, t, t) against the conditional prediction: flow matching, or EDM's denoising, at the times t.

    Args:
        flow_map: the map that is trained.
        batch: pairs of data and noise with their times.
    """
    formulation = flow_map.formulation
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    prediction = flow_map.instantaneous_field(x, batch.t, batch.condition)
    return Regression(prediction, formulation.instantaneous_target(batch.data, batch.noise, batch.t))
