"""The training loss of a flow map: draw noise and times, regress instants and jumps, weigh, average.

A batch is split once, by its time pairs: rows with r = t are regressed on the conditional prediction (the
instantaneous loss, ordinary flow matching or denoising), the other rows on the target of an ``Objective``. Every
objective is a regression, so it hands back a ``Regression``; errors, weights and averages are the same for all of them
and live here.

Derivatives an objective needs (a JVP) are taken inside this module's forward, so this module is what a distributed
wrapper must wrap: ``DistributedDataParallel(LossModule(...))``. A JVP through a wrapped network fails at the second
step, and a JVP of the network inside a wrapper skips the averaging of gradients without a word; both are refused.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow.distributed import refuse_unaveraged, refuse_wrapped
from geomflow.flow.expectation import Expectation, expected
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.guidance import Guidance
from geomflow.flow.objective import FlowBatch, Objective, Regression, instantaneous_regression
from geomflow.flow.random import NoiseSource, normal
from geomflow.flow.times import TimePairs
from geomflow.flow.weight import ErrorWeight


class LossModule(nn.Module):
    """The loss of a batch of data; wrap this module, not the network, for distributed training.

    Args:
        flow_map: what is trained.
        objective: target of the jumps.
        time_pairs: distribution of the times.
        weight: turns errors into the loss; the plain squared error if None.
        guidance: strengthens the condition, if given.
        noise: where paths begin; Gaussian noise by default.
        expectation: estimate of the data behind a noisy state, which instants are then regressed on instead of the data
            that were drawn; they are taken as drawn if None.
        averaged_elsewhere: several processes train and something else than DistributedDataParallel or FSDP2 averages
            their gradients, or nothing should; also if FSDP2 shards all of this module, since it is whole then where it
            computes.

    Raises:
        ValueError: the network is wrapped for distributed training, instead of this module.
    """

    def __init__(
        self,
        flow_map: FlowMap,
        objective: Objective,
        time_pairs: TimePairs | None = None,
        weight: ErrorWeight | None = None,
        guidance: Guidance | None = None,
        noise: NoiseSource = normal,
        expectation: Expectation | None = None,
        averaged_elsewhere: bool = False,
    ) -> None:
        """Joins what a training step needs."""
        super().__init__()
        refuse_wrapped(flow_map)
        self.flow_map = flow_map
        self.objective = objective
        self.time_pairs = time_pairs or TimePairs()
        self.weight = weight or ErrorWeight()
        self.guidance = guidance
        self.noise = noise
        self.expectation = expectation
        self.averaged_elsewhere = averaged_elsewhere

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
            The mean weighted error, squared unless objective or weight are robust, and for the log ``loss`` (the same),
            ``instantaneous`` and ``objective`` (raw mean squared errors of the rows with r = t and of the jumps),
            detached; a part without rows is left out.

        Raises:
            ValueError: an empty batch, progress outside [0, 1], or a call past the distributed wrapper.
        """
        if len(data) == 0:
            raise ValueError(f"data must hold at least one sample, given shape {tuple(data.shape)}")
        if not self.averaged_elsewhere:
            refuse_unaveraged(self)
        batch = self._draw(data, condition, progress, generator)
        instants = self.time_pairs.instants(len(data), progress)
        parts: dict[str, tuple[FlowBatch, Regression]] = {}
        if instants > 0:
            rows = batch.rows(slice(instants))
            if self.expectation is not None:
                rows = expected(rows, self.flow_map.formulation, self.expectation)
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
        noise = self.noise(data.shape, generator, data.dtype, data.device)
        clock = torch.promote_types(data.dtype, torch.float32)
        t, r = self.time_pairs.draw(len(data), self.flow_map.formulation.path, progress, generator, clock)
        if bool((t > r).any()):
            raise ValueError(f"time_pairs must give t <= r, given t = {t[t > r][0]:g}, r = {r[t > r][0]:g}")
        batch = FlowBatch(data, noise, t.to(data.device), r.to(data.device), condition, progress)
        if self.guidance is None:
            return batch
        batch, scale = self.guidance.prepare(batch, generator)
        return self.guidance.guide(self.flow_map, batch, scale)

    def _weighted(self, rows: FlowBatch, regression: Regression) -> Float[Tensor, " batch"]:
        """The loss of each sample."""
        weight = regression.weight
        if weight is None:
            weight = self.flow_map.formulation.preconditioner.weight(rows.t)
        return self.weight(regression.error(weight))
