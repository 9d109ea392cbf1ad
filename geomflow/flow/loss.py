"""The training loss of a flow map: draw noise and times, regress instants and jumps, weigh, average.

A batch is split once, by its time pairs: rows with r = t are regressed on the conditional prediction (the
instantaneous loss, ordinary flow matching or denoising), the other rows on the target of an ``Objective``. Every
objective is a regression with a constant target, so it hands back a ``Regression``; errors, weights and averages are
the same for all of them and live here. Derivatives an objective needs (a JVP) are taken inside this module's forward,
which is what a distributed wrapper must wrap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.times import TimePairs


@dataclass(frozen=True)
class FlowBatch:
    """What a loss is computed from: pairs of data and noise, each with its times of departure t and arrival r.

    ``condition`` is None, a tensor of (batch, ...), or a mapping of such.
    """

    data: Float[Tensor, " batch *shape"]
    noise: Float[Tensor, " batch *shape"]
    t: Float[Tensor, " batch"]
    r: Float[Tensor, " batch"]
    condition: Any = None

    def rows(self, which: slice) -> "FlowBatch":
        """Some of the rows."""
        condition = _rows(self.condition, which)
        return FlowBatch(self.data[which], self.noise[which], self.t[which], self.r[which], condition)


@dataclass(frozen=True)
class Regression:
    """A prediction and the constant target it should meet.

    ``weight`` of each sample's squared error; None stands for the formulation's weight at the time of departure.
    """

    prediction: Float[Tensor, " batch *shape"]
    target: Float[Tensor, " batch *shape"]
    weight: Float[Tensor, " batch"] | None = None

    def squared_error(self) -> Float[Tensor, " batch"]:
        """Mean squared error of each sample."""
        return (self.prediction - self.target).square().flatten(1).mean(1)


@runtime_checkable
class Objective(Protocol):
    """A rule that says what the cumulative field of a jump should be: one file of the shelf ``objectives``.

    It may move the times of the batch (an endpoint objective puts every r at 1) but not its rows. The target must carry
    no gradient; it is made with ``target_map``, an average of earlier weights or the flow map itself. Randomness comes
    from ``generator`` alone.
    """

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The regression of one batch of jumps."""
        ...


def instantaneous_regression(flow_map: FlowMap, batch: FlowBatch) -> Regression:
    """m(x_t, t, t) against the conditional prediction: flow matching, or EDM's denoising, at the times t."""
    formulation = flow_map.formulation
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    prediction = flow_map.instantaneous_field(x, batch.t, batch.condition)
    return Regression(prediction, formulation.instantaneous_target(batch.data, batch.noise, batch.t))


class LossModule(nn.Module):
    """The loss of a batch of data; wrap this module, not the network, for distributed training.

    Args:
        flow_map: what is trained.
        objective: target of the jumps.
        time_pairs: distribution of the times.
        adaptive_power: power p of the adaptive weight 1 / (error + adaptive_floor)^p, taken of the very error it weighs
            and held constant; 0 switches it off, which suits points and other low-dimensional data.
        adaptive_floor: keeps that weight finite.
    """

    def __init__(
        self,
        flow_map: FlowMap,
        objective: Objective,
        time_pairs: TimePairs | None = None,
        adaptive_power: float = 0.0,
        adaptive_floor: float = 1e-3,
    ) -> None:
        """Joins what a training step needs."""
        super().__init__()
        self.flow_map = flow_map
        self.objective = objective
        self.time_pairs = time_pairs or TimePairs()
        self.adaptive_power = adaptive_power
        self.adaptive_floor = adaptive_floor

    def forward(
        self,
        data: Float[Tensor, " batch *shape"],
        condition: Any = None,
        progress: float = 1.0,
        generator: torch.Generator | None = None,
        target_map: FlowMap | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Loss of a batch, and its parts for the log.

        Args:
            data: samples to learn from, (batch, ...).
            condition: what goes with them: None, a tensor of (batch, ...) or a mapping of such.
            progress: part of the training that is done, for the span curriculum.
            generator: source of noise and times; the same seed gives the same loss.
            target_map: averaged copy that makes the targets; the flow map itself if None.

        Returns:
            The weighted mean squared error, and for the log ``loss`` (the same), ``instantaneous`` and ``objective``
            (raw mean squared errors of the rows with r = t and of the jumps), detached; a part without rows is left
            out.

        Raises:
            ValueError: an empty batch, or progress outside [0, 1].
        """
        if len(data) == 0:
            raise ValueError(f"data must hold at least one sample, given shape {tuple(data.shape)}")
        batch = self._draw(data, condition, progress, generator)
        instants = self.time_pairs.instants(len(data), progress)
        parts: dict[str, tuple[FlowBatch, Regression]] = {}
        if instants > 0:
            rows = batch.rows(slice(instants))
            parts["instantaneous"] = rows, instantaneous_regression(self.flow_map, rows)
        if instants < len(data):
            rows = batch.rows(slice(instants, None))
            parts["objective"] = rows, self.objective(self.flow_map, rows, target_map or self.flow_map, generator)
        loss = torch.cat([self._weighted(*part) for part in parts.values()]).mean()
        raw = {name: regression.squared_error().mean().detach() for name, (_, regression) in parts.items()}
        return loss, {"loss": loss.detach(), **raw}

    def _draw(
        self, data: Float[Tensor, " batch *shape"], condition: Any, progress: float, generator: torch.Generator | None
    ) -> FlowBatch:
        """The data with noise and times, those with r = t first."""
        device = generator.device if generator else None
        noise = torch.randn(data.shape, generator=generator, dtype=data.dtype, device=device).to(data.device)
        clock = torch.promote_types(data.dtype, torch.float32)
        t, r = self.time_pairs.draw(len(data), self.flow_map.formulation.path, progress, generator, clock)
        return FlowBatch(data, noise, t.to(data.device), r.to(data.device), condition)

    def _weighted(self, rows: FlowBatch, regression: Regression) -> Float[Tensor, " batch"]:
        """Weighted squared error of each sample."""
        weight = regression.weight
        if weight is None:
            weight = self.flow_map.formulation.preconditioner.weight(rows.t)
        error = weight * regression.squared_error()
        return error / (error.detach() + self.adaptive_floor) ** self.adaptive_power


def _rows(condition: Any, which: slice) -> Any:
    """Some rows of a condition."""
    if isinstance(condition, Mapping):
        return {name: _rows(value, which) for name, value in condition.items()}
    return None if condition is None else condition[which]
