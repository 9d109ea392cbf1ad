"""Semigroup objective: one long jump must equal two shorter ones.

psi_{t->r} = psi_{s->r} o psi_{t->s} for t <= s <= r. Put P m + Q x for each map and use Q(t, r) = Q(t, s) Q(s, r) and
P(t, r) = P(s, r) + Q(s, r) P(t, s): in terms of the cumulative field the law is an average,

    m(x, t, r) = (1 - lam) m(x, t, s) + lam m(psi_{t->s}(x), s, r),        lam = P(s, r) / P(t, r) in [0, 1],

with no division that could blow up and no derivative, hence any network will do. The right-hand side is held constant,
so long jumps learn from short ones and, in the end, from the instantaneous field, at the cost of two extra network
calls without gradients.
Known as SplitMeanFlow (arXiv 2507.16884; random s), progressive self-distillation (2505.18825; random or midpoint) and
shortcut models (2410.12557; dyadic).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.choice import check_choice
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.flow.random import uniform
from geomflow.objectives._chain import Chain
from geomflow.objectives._identities import dyadic, semigroup_regression

Split = Literal["random", "midpoint", "dyadic"]


@dataclass(frozen=True)
class Semigroup:
    """Regression of a jump on its two parts.

    Attributes:
        split: where the jump is broken: uniformly between t and r, at the midpoint, or at the midpoint of a dyadic
            interval [j, j + 1] / 2^k, to which t and r are first moved.
        finest: largest k of the dyadic intervals.
    """

    split: Split = "random"
    finest: int = 7

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choice("split", self.split, Split)
        if self.finest < 0:
            raise ValueError(f"finest must not be negative, given {self.finest}")

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """m(x_t, t, r) against the average of its parts."""
        if self.split == "dyadic":
            batch = dyadic(batch, self._nearest_span(batch))
        return semigroup_regression(flow_map, target_map, batch, self._between(batch, generator))

    def _between(self, batch: FlowBatch, generator: torch.Generator | None) -> Float[Tensor, " batch"]:
        """The time s at which each jump is broken."""
        if self.split != "random":
            return (batch.t + batch.r) / 2
        share = uniform(len(batch.t), generator, batch.t.dtype, batch.t.device)
        return torch.lerp(batch.t, batch.r, share)

    def _nearest_span(self, batch: FlowBatch) -> Float[Tensor, " batch"]:
        """The dyadic length nearest, in its logarithm, to that of each jump."""
        return 2.0 ** (batch.r - batch.t).clamp(min=2.0**-self.finest).log2().round()


def make(
    split: Split | Literal["chain"] = "random", finest: int = 7, parts: int = 12, uses: int = 40, huber: float = 0.0
) -> Objective:
    """The semigroup objective.

    Args:
        split: ``random``, ``midpoint``, ``dyadic``, or ``chain`` for many short steps that are remembered: no error of
            a long jump is passed on to a longer one, which counts where the data has fine detail.
        finest: dyadic intervals are no shorter than 2^-finest.
        parts: steps of a chain.
        uses: batches between new chains.
        huber: width of the pseudo-Huber loss of jumps along chains, of each point of clouds (batch, points, channels);
            0 for the squared error.

    Raises:
        ValueError: another split, a negative ``finest`` or ``huber``, or ``parts`` or ``uses`` under 1.
    """
    if split != "chain":
        return Semigroup(split, finest)
    for name, value in (("parts", parts), ("uses", uses)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, given {value}")
    if huber < 0:
        raise ValueError(f"huber must not be negative, given {huber}")
    return Chain(parts, uses, huber)
