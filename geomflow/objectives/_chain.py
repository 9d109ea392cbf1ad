"""The semigroup law with the finest split: a jump equals a chain of short steps, solved once and learned from often.

A jump that learns from two jumps inherits the errors of both, and they from theirs. Here the other side of the law is a
whole chain from noise to data, whose steps are so short that Heun's method makes them from the instantaneous field. A
chain is expensive, and worth remembering: each two of its times are a jump with known ends.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Regression
from geomflow.flow.random import uniform
from geomflow.flow.sampler import euler, heun

REMEMBERED = 24
"""Sets of chains that are kept; a new set takes the place of the oldest."""

TO_DATA, FROM_NOISE = 0.8, 0.5
"""Shares of jumps that end at data, and that begin at noise: those that sampling in few steps makes."""

LARGEST_SHIFT = 1 - 1e-3
"""Part of a step by which times are moved at most, so that the last step is none of no length."""

Chains = tuple[Float[Tensor, "times chains *shape"], Float[Tensor, "times chains"]]
"""States of chains and their times."""


class Chain(nn.Module):
    """Regression of jumps on chains of the map's own instantaneous field.

    The chains that are remembered are part of ``state_dict``, so that training can be resumed.

    Attributes:
        remembers_batches: says that the next loss depends on the batches before, and on their order.

    Args:
        parts: steps of a chain, each but the last of two network calls.
        uses: batches between one set of chains and the next.
        huber: width of the pseudo-Huber loss. Where noise is parted between two ends far from each other, the least
            squares of a smooth network lie in the void between them, least distances on one side or the other.
    """

    remembers_batches = True

    def __init__(self, parts: int, uses: int, huber: float) -> None:
        super().__init__()
        self.parts, self.uses, self.huber = parts, uses, huber
        self._calls = 0
        self._chains: Chains | None = None

    def forward(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """Jumps between two times of remembered chains; ``target_map`` makes new ones, from the noise of the batch.

        Raises:
            ValueError: the batch has conditions, which are not remembered.
        """
        if batch.condition is not None:
            raise ValueError("condition must be None: chains are remembered without conditions")
        if self._calls % self.uses == 0:
            self._remember(self._solve(target_map, batch, generator))
        self._calls += 1
        x, t, landing, r = (part.to(batch.noise.device) for part in self._pick(len(batch.t), generator))
        formulation = flow_map.formulation
        target = formulation.field(landing, x, t, r)
        weight = formulation.preconditioner.weight(t)
        return Regression(flow_map.cumulative_field(x, t, r), target, weight, self.huber)

    @torch.no_grad()
    def _solve(self, flow_map: FlowMap, batch: FlowBatch, generator: torch.Generator | None) -> Chains:
        """Chains from the noise of a batch, their inner times moved by a random part of a step."""
        shift = LARGEST_SHIFT * uniform(len(batch.t), generator, batch.t.dtype, batch.t.device)
        inner = [(k + shift) / self.parts for k in range(1, self.parts)]
        times = [torch.zeros_like(shift), *inner, torch.ones_like(shift)]
        states = [flow_map.formulation.start(batch.noise)]
        for k, step in enumerate([*[heun(flow_map)] * (self.parts - 1), euler(flow_map)]):
            states.append(step(states[-1], times[k], times[k + 1], None))
        return torch.stack(states), torch.stack(times)

    def _remember(self, new: Chains) -> None:
        """Put new chains behind those that are kept, of which the oldest go."""
        kept = self._chains or tuple(part[:, :0] for part in new)
        most = REMEMBERED * new[1].shape[1]
        states, times = (torch.cat(parts, dim=1)[:, -most:] for parts in zip(kept, new, strict=True))
        self._chains = states, times

    def _pick(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Departures and arrivals, states and times, on random chains."""
        assert self._chains is not None
        states, times = self._chains
        of, depart, end, arrive = uniform(4 * count, generator, times.dtype, times.device).view(4, count)
        row = (of * times.shape[1]).long()
        i = torch.where(depart < FROM_NOISE, 0, (depart - FROM_NOISE) / (1 - FROM_NOISE) * self.parts).long()
        j = torch.where(end < TO_DATA, self.parts, i + 1 + (arrive * (self.parts - i)).long())
        return states[i, row], times[i, row], states[j, row], times[j, row]

    def get_extra_state(self) -> dict[str, Any]:
        """Calls and remembered chains."""
        return {"calls": self._calls, "chains": self._chains}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes up what was remembered."""
        self._calls, self._chains = state["calls"], state["chains"]
