"""Guidance: stronger conditions, trained into the flow map, or extrapolated at test time.

Guidance by a scale omega replaces the instantaneous field by m_null + omega (m_c - m_null) (classifier-free guidance,
arXiv 2207.12598). The flow map of that field is not the same combination of cumulative fields, so a few-step map has
to be trained on it. The guided field is the fixed point of

    m* = w m_c + kappa m(x, t, t, c) + (1 - w - kappa) m(x, t, t, null),        omega = w / (1 - kappa),

with m_c the conditional prediction of a pair (data, noise) and m the network itself, held constant (MeanFlow, arXiv
2505.13447). ``Guidance`` replaces the pair by the one that m* implies at the same x_t, so every objective learns the
guided map unchanged. With w = 1 the scale may even be an input of the network, drawn anew for every sample in training
and chosen when sampling (improved MeanFlow, 2512.02012).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow.condition import fill, where
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import checked_steps, per_sample
from geomflow.flow.objective import FlowBatch
from geomflow.flow.random import uniform

SCALE = "guidance"
FEWEST_STEPS = 4


@dataclass(frozen=True)
class Guidance:
    """Trained-in guidance.

    Attributes:
        null: condition that stands for "none": what one row of the batch's condition is replaced by, a number, a tensor
            or a mapping of such.
        scale: omega; or, as a pair, the range from which each sample's omega is drawn (log-uniformly). In that case
            the condition must be a mapping, and the network finds omega in it as ``"guidance"``, shape (batch,).
        mix: kappa, the share of the network's own conditional field; None for w = 1, kappa = 1 - 1 / omega.
        drop: share of the samples whose condition is replaced by ``null``, which trains the unguided field.
    """

    null: Any
    scale: float | Sequence[float] = 2.0
    mix: float | None = None
    drop: float = 0.1

    def __post_init__(self) -> None:
        """Checks scale and shares."""
        low, high = self._range
        if not 1 <= low <= high:
            raise ValueError(f"scale must be at least 1, or such a range (low, high), given {self.scale}")
        if self.mix is not None and not 0 <= self.mix < 1:
            raise ValueError(f"mix must lie in [0, 1), given {self.mix}")
        if not 0 < self.drop < 1:
            raise ValueError(f"drop must lie in (0, 1): the unguided field must be learned too, given {self.drop}")

    @property
    def _range(self) -> tuple[float, float]:
        """Smallest and largest scale."""
        low, high = self.scale if isinstance(self.scale, Sequence) else (self.scale, self.scale)
        return low, high

    def prepare(self, batch: FlowBatch, generator: torch.Generator | None) -> tuple[FlowBatch, Float[Tensor, " batch"]]:
        """The batch with scales drawn and conditions dropped, and the scale of each row (1 where it was dropped).

        Args:
            batch: pairs with conditions.
            generator: source of scales and of which conditions are dropped.

        Raises:
            ValueError: a batch without condition, or a range of scales with a condition that is no mapping.
        """
        if batch.condition is None:
            raise ValueError("condition must be given for guidance, the batch has none")
        low, high = self._range
        share = uniform(len(batch.t), generator, batch.t.dtype, batch.t.device)
        scale = low * (high / low) ** share
        dropped = uniform(len(batch.t), generator, batch.t.dtype, batch.t.device) < self.drop
        condition = _with_scale(batch.condition, scale) if low < high else batch.condition
        condition = where(dropped, self._nothing(condition), condition)
        return replace(batch, condition=condition), torch.where(dropped, 1, scale)

    @torch.no_grad()
    def guide(self, flow_map: FlowMap, batch: FlowBatch, scale: Float[Tensor, " batch"]) -> FlowBatch:
        """The batch with each pair (data, noise) replaced by the one that the guided prediction m* implies.

        Args:
            flow_map: the map that is trained.
            batch: what ``prepare`` returned.
            scale: omega of each row.
        """
        formulation, t = flow_map.formulation, batch.t
        x = formulation.x_t(batch.data, batch.noise, t)
        own = flow_map.instantaneous_field(x, t, batch.condition)
        null = flow_map.instantaneous_field(x, t, self._nothing(batch.condition))
        kappa = 1 - 1 / scale if self.mix is None else torch.where(scale == 1, 0, self.mix)
        w = scale * (1 - kappa)
        target = formulation.instantaneous_target(batch.data, batch.noise, t)
        guided = per_sample(w, x) * target + per_sample(kappa, x) * own + per_sample(1 - w - kappa, x) * null
        data, noise = formulation.data_and_noise(guided, x, t)
        finite = data.isfinite() & noise.isfinite()  # a data prediction implies no noise at clean data
        keep = ~finite | (per_sample(scale, x) == 1)
        data, noise = torch.where(keep, batch.data, data), torch.where(keep, batch.noise, noise)
        return replace(batch, data=data, noise=noise, drawn=(batch.data, batch.noise))

    def _nothing(self, condition: Any) -> Any:
        """The null condition for every row, with the rows' own scales."""
        if not isinstance(condition, Mapping):
            return fill(self.null, condition)
        return fill({SCALE: 1.0, **self.null}, condition) | {k: v for k, v in condition.items() if k == SCALE}


class _Extrapolated(nn.Module):
    """A network that answers with null + scale (conditional - null)."""

    def __init__(self, network: Any, scale: float, null: Any) -> None:
        super().__init__()
        self.network, self.scale, self.null = network, scale, null

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: Any) -> Tensor:
        """The combination, in two calls of the network."""
        nothing = self.network(x, t, r, condition=fill(self.null, condition))
        return nothing + self.scale * (self.network(x, t, r, condition=condition) - nothing)


def sample_extrapolated(
    flow_map: FlowMap,
    noise: Float[Tensor, " batch *shape"],
    condition: Any,
    null: Any,
    scale: float,
    steps: int,
) -> Float[Tensor, " batch *shape"]:
    """Data from noise with cumulative fields extrapolated by classifier-free guidance: two network calls per step.

    Only right in the limit of short jumps: long ones do not land where the guided ODE does. For few steps train with
    ``Guidance``.

    Args:
        flow_map: trained with conditions, some of them replaced by ``null``.
        noise: unit Gaussian noise.
        condition: what to sample.
        null: the condition that stands for none, one row.
        scale: omega; 1 is the plain condition.
        steps: how many jumps.

    Raises:
        ValueError: fewer than 4 steps.
    """
    if checked_steps(steps) < FEWEST_STEPS:
        raise ValueError(f"steps must be at least {FEWEST_STEPS} for guidance at test time, given {steps}")
    network = _Extrapolated(flow_map.network, scale, null)
    return FlowMap(network, flow_map.formulation).sample(noise, steps, condition=condition)


def _with_scale(condition: Any, scale: Float[Tensor, " batch"]) -> dict[str, Any]:
    """The condition with the scale beside it."""
    if not isinstance(condition, Mapping):
        raise ValueError(f"condition must be a mapping where the scale is an input, given {type(condition).__name__}")
    return {**condition, SCALE: scale}
