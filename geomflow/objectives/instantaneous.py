"""Instantaneous objective: || m(x_t, t, t) - m_c ||^2 for every pair, whatever its r.

Flow matching (arXiv 2210.02747) for velocities, denoising (EDM, 2206.00364) for data. Its minimiser is the
instantaneous field alone: the result is a reference to be integrated with many steps, not a few-step flow map.
"""

from dataclasses import dataclass

import torch

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression, instantaneous_regression


@dataclass(frozen=True)
class Instantaneous:
    """Regression of the instantaneous field at the time of departure."""

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """m(x_t, t, t) against the conditional prediction."""
        return instantaneous_regression(flow_map, batch)


def make() -> Objective:
    """The instantaneous objective."""
    return Instantaneous()
