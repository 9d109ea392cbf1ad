"""Semigroup objective on manifolds: one long jump must end where two shorter ones do.

The average of fields that ``semigroup`` regresses on has no meaning where they are tangent to different points. Here
the target is the geodesic from x to where both jumps end; with linear jumps this is that average.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from geomflow.flow.choice import check_choice
from geomflow.flow.flow_map import FlowMap
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.flow.random import uniform
from geomflow.objectives._geodesic import semigroup_regression

Split = Literal["random", "midpoint"]


@dataclass(frozen=True)
class GeodesicSemigroup:
    """Regression of a jump on its two parts.

    Attributes:
        split: where the jump is broken: uniformly between t and r, or at the midpoint.
    """

    split: Split = "random"

    def __post_init__(self) -> None:
        """Checks the option."""
        check_choice("split", self.split, Split)

    def __call__(
        self, flow_map: FlowMap, batch: FlowBatch, target_map: FlowMap, generator: torch.Generator | None
    ) -> Regression:
        """m(x_t, t, r) against the geodesic to where its parts end."""
        share = uniform(len(batch.t), generator, batch.t.dtype, batch.t.device) if self.split == "random" else 0.5
        return semigroup_regression(flow_map, target_map, batch, torch.lerp(batch.t, batch.r, share))


def make(split: Split = "random") -> Objective:
    """The semigroup objective on manifolds.

    Args:
        split: ``random`` or ``midpoint``.

    Raises:
        ValueError: another split.
    """
    return GeodesicSemigroup(split)
