"""Progressive distillation: a jump equals two jumps, half as long, of the network as it was a phase ago.

Training goes through phases. In the first the teacher makes Euler steps of the instantaneous field on a grid of
2^levels steps, and the student learns steps twice as long; at every further phase the student as it is then becomes the
next frozen teacher, until one step spans the clock (progressive distillation, arXiv 2202.00512; of flow maps,
2406.07507). The frozen teacher is what tells it from the dyadic semigroup, which bootstraps from itself. Half of the
rows rehearse spans of earlier phases, so that the result keeps every power of two of steps.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.flow.random import uniform
from geomflow.objectives._identities import dyadic, semigroup_regression


class Progressive(nn.Module):
    """Regression on two half jumps of a frozen teacher, a snapshot of the trained map taken when a phase begins.

    Its state (phase and teacher) is part of ``state_dict``, so that training can be resumed within a phase.

    Attributes:
        copies_weights: says that weights are copied where the loss computes, after which FSDP2 has them cut again.

    Args:
        levels: phases; the first teacher makes 2^levels steps.
        begin: progress at which the first phase begins; TimePairs' warm-up should end there.
    """

    copies_weights = True

    def __init__(self, levels: int = 6, begin: float = 0.25) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, given {levels}")
        if not 0 <= begin < 1:
            raise ValueError(f"begin must lie in [0, 1), given {begin}")
        self.levels, self.begin = levels, begin
        self._snapshot: tuple[int, dict[str, Tensor]] | None = None
        self._teacher: list[FlowMap] = []  # in a list, lest its frozen weights count as this module's

    def phase(self, progress: float) -> int:
        """Phase, from 0, at a progress of training.

        Args:
            progress: share of the training that is done, from 0 to 1.
        """
        done = max(0.0, (progress - self.begin) / (1 - self.begin))
        return min(self.levels - 1, int(done * self.levels))

    def forward(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """The jump against the teacher's two; ``target_map`` is what a new phase's teacher is copied from.

        Raises:
            ValueError: training enters a phase that does not follow the last one.
        """
        phase, teacher = self._frozen(self.phase(batch.progress), target_map)
        batch, finest = self._snap(batch, phase, generator)
        return semigroup_regression(flow_map, teacher, batch, (batch.t + batch.r) / 2, instants=finest)

    def _snap(self, batch: FlowBatch, phase: int, generator: torch.Generator | None) -> tuple[FlowBatch, Tensor]:
        """Jumps moved to the dyadic interval of their row's phase, and which rows are of the first phase."""
        share = uniform(len(batch.t), generator, batch.t.dtype, batch.t.device)
        rehearsed = (2 * share * phase).floor().clamp(max=max(phase - 1, 0))
        learned = torch.where(share < 0.5, rehearsed, phase)
        return dyadic(batch, 2.0 ** (learned + 1 - self.levels)), learned == 0

    def _frozen(self, phase: int, source: FlowMap) -> tuple[int, FlowMap]:
        """Phase and teacher, which is copied from ``source`` when training enters the phase, never when measuring."""
        before, weights = self._snapshot or (-1, {})
        if before == phase or (before >= 0 and not torch.is_grad_enabled()):
            return before, self._thawed(source, weights)
        if before != phase - 1:
            raise ValueError(
                f"phase {phase} of the progressive objective must follow phase {phase - 1}, it follows {before}: pass "
                "progress from 0 to 1, end TimePairs' warm_up where `begin` is, and give every level some steps"
            )
        self._teacher.clear()
        self._snapshot = phase, {name: tensor.detach().clone() for name, tensor in source.state_dict().items()}
        return phase, self._thawed(source, self._snapshot[1])

    def _thawed(self, source: FlowMap, weights: dict[str, Tensor]) -> FlowMap:
        """The teacher as a flow map."""
        if not self._teacher:
            teacher = copy.deepcopy(source).requires_grad_(False).eval()
            teacher.load_state_dict(weights)
            self._teacher.append(teacher)
        return self._teacher[0]

    def get_extra_state(self) -> dict[str, Any]:
        """Phase and teacher."""
        phase, weights = self._snapshot or (-1, {})
        return {"phase": phase, "teacher": weights}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes up a saved phase and teacher.

        Args:
            state: what ``get_extra_state`` returned.
        """
        self._teacher.clear()
        self._snapshot = (state["phase"], state["teacher"]) if state["phase"] >= 0 else None


def make(levels: int = 6, begin: float = 0.25) -> Objective:
    """The progressive objective.

    Args:
        levels: phases; the first teacher makes 2^levels steps.
        begin: progress at which the first phase begins.

    Raises:
        ValueError: no phases, or a beginning outside [0, 1).
    """
    return Progressive(levels, begin)
