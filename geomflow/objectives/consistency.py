"""Consistency objective: two neighbouring states of a trajectory have the same end.

Only jumps to the end of the clock are learned, m(x_t, t, 1) from m(x_s, s, 1) with s one step of a grid after t, the
pair's own line leading from x_t to x_s (consistency models, arXiv 2303.01469; improved, 2310.14189, from which the
doubling grid). It is the discrete Eulerian step at r = 1, a special case kept by its name: jumps that end
earlier are not learned, so several steps need ``sample(..., gamma=1)``, which renews the noise, and quality does not
grow with their number as that of a flow map does.
"""

import math
from dataclasses import dataclass, replace

import torch

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._identities import conditional_regression


@dataclass(frozen=True)
class Consistency:
    """Regression of a jump to the end on the same jump from a step later.

    Attributes:
        coarsest: steps of the clock's grid at the start of training.
        finest: steps at the end; the number doubles in between.
    """

    coarsest: int = 10
    finest: int = 160

    def __post_init__(self) -> None:
        """Checks the grids."""
        if not 1 <= self.coarsest <= self.finest:
            raise ValueError(
                f"coarsest and finest must satisfy 1 <= coarsest <= finest, given {self.coarsest}, {self.finest}"
            )

    def grid_steps(self, progress: float) -> int:
        """Steps of the grid at a progress of training.

        Args:
            progress: share of the training that is done, from 0 to 1.
        """
        doublings = math.floor(progress * (1 + math.log2(self.finest / self.coarsest)))
        return min(self.finest, self.coarsest * 2**doublings)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """m(x_t, t, 1) against m(x_s, s, 1)."""
        s = (batch.t + 1 / self.grid_steps(batch.progress)).clamp(max=1)
        return conditional_regression(flow_map, target_map, replace(batch, r=torch.ones_like(batch.r)), s)


def make(coarsest: int = 10, finest: int = 160) -> Objective:
    """The consistency objective.

    Args:
        coarsest: steps of the grid at first.
        finest: steps of the grid at last.

    Raises:
        ValueError: counts out of order.
    """
    return Consistency(coarsest, finest)
