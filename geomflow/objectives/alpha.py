"""Alpha objective: from flow matching to the Eulerian objective by a shrinking discrete step.

The jump t -> r is broken at s = t + alpha (r - t), and its first part follows the pair of data and noise. At alpha = 1
the whole jump does: the target is the conditional prediction, flow matching. As alpha falls the target bootstraps more
and more, and in the limit its gradient is that of the Eulerian objective, without a derivative (alpha-Flow, arXiv
2510.20771).
"""

from dataclasses import dataclass

import torch

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.objectives._identities import conditional_regression


@dataclass(frozen=True)
class Alpha:
    """Regression on a first step along the pair and a second by the map.

    Attributes:
        last: smallest alpha; alpha falls geometrically from 1 to it.
        begin: progress at which alpha begins to fall.
        end: progress at which it has fallen.
    """

    last: float = 0.02
    begin: float = 0.25
    end: float = 0.75

    def __post_init__(self) -> None:
        """Checks the schedule."""
        if not 0 < self.last <= 1:
            raise ValueError(f"last must lie in (0, 1], given {self.last}")
        if not 0 <= self.begin < self.end <= 1:
            raise ValueError(f"begin and end must satisfy 0 <= begin < end <= 1, given {self.begin} and {self.end}")

    def alpha(self, progress: float) -> float:
        """Alpha at a progress of training.

        Args:
            progress: share of the training that is done, from 0 to 1.
        """
        done = min(1.0, max(0.0, (progress - self.begin) / (self.end - self.begin)))
        return self.last**done

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """m(x_t, t, r) against the first step's prediction and the rest of the jump."""
        s = torch.lerp(batch.t, batch.r, self.alpha(batch.progress))
        return conditional_regression(flow_map, target_map, batch, s)


def make(last: float = 0.02, begin: float = 0.25, end: float = 0.75) -> Objective:
    """The annealed objective.

    Args:
        last: smallest alpha.
        begin: progress at which alpha begins to fall from 1.
        end: progress at which it has fallen.

    Raises:
        ValueError: values out of order.
    """
    return Alpha(last, begin, end)
