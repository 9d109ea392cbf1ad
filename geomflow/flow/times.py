"""Time pairs (t, r) for training a flow map: how many are instants, how long the jumps are, and when.

Jumps bootstrap from instants: a semigroup or Lagrangian target is only as good as the field at r = t it leans on, and
without instantaneous pairs training collapses (cumulative flow maps, arXiv 2605.03623). So a batch always holds an
exact share of pairs with r = t, and training has two phases (alpha-Flow, 2510.20771; shortcut models, 2410.12557):
first instants only, then jumps whose maximal span grows to the whole clock.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.choice import check_choice
from geomflow.flow.path import Path
from geomflow.flow.random import normal, uniform

Marginal = Literal["uniform", "lognormal"]
SHORTEST = 1e-4
"""Shortest jump, which float32 still tells from an instant."""


@dataclass(frozen=True)
class TimePairs:
    """A distribution of pairs t <= r on the clock; ``progress`` is the part of training done, from 0 to 1.

    Attributes:
        instantaneous_share: exact share of pairs with r = t in a batch (after the warm-up), rounded to the nearest
            count, halves up.
        marginal: how t of the instantaneous pairs is drawn: ``lognormal``, log(sigma / signal) ~ Normal(log_mean,
            log_std) clipped to the path (EDM, arXiv 2206.00364; on the linear path this is the logit-normal), or
            ``uniform`` on the clock. On eight Gaussians lognormal is better for EDM and for u-prediction.
        log_mean: mean of the log noise-to-signal ratio.
        log_std: its standard deviation.
        warm_up: progress until which all pairs are instants.
        full_span: progress from which jumps may span the whole clock; between the two the limit grows linearly.
        widest_share: share of the jumps that begin at noise (t = 0) and are as wide as allowed; at full span these are
            the jumps 0 -> 1 that one-step sampling makes. Rounded like the other share.
    """

    instantaneous_share: float = 0.5
    marginal: Marginal = "lognormal"
    log_mean: float = -1.2
    log_std: float = 1.2
    warm_up: float = 0.25
    full_span: float = 0.5
    widest_share: float = 0.1

    def __post_init__(self) -> None:
        """Checks shares and phases."""
        for name in ("instantaneous_share", "widest_share", "warm_up", "full_span"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], given {getattr(self, name)}")
        check_choice("marginal", self.marginal, Marginal)
        if self.warm_up > self.full_span:
            raise ValueError(f"warm_up must not exceed full_span, given {self.warm_up} > {self.full_span}")

    def instants(self, batch: int, progress: float = 1.0) -> int:
        """How many pairs of a batch have r = t.

        Args:
            batch: how many pairs.
            progress: share of the training that is done, from 0 to 1.
        """
        return batch if self.span_limit(progress) == 0 else _count(self.instantaneous_share, batch)

    def span_limit(self, progress: float) -> float:
        """Widest span r - t allowed at this progress: 0 in the warm-up, 1 from ``full_span`` on.

        Args:
            progress: share of the training that is done, from 0 to 1.

        Raises:
            ValueError: progress outside [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress must lie in [0, 1], given {progress}")
        if progress >= self.full_span:
            return 1.0
        if progress <= self.warm_up:
            return 0.0
        return (progress - self.warm_up) / (self.full_span - self.warm_up)

    def draw(
        self,
        batch: int,
        path: Path,
        progress: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Times t and r of a batch: first the instants, then the jumps; drawn on the generator's device.

        Args:
            batch: how many pairs.
            path: the path, for times drawn by noise level.
            progress: share of the training that is done, from 0 to 1.
            generator: source of the times; torch's own if None.
            dtype: type of the times.
        """
        instants = self.instants(batch, progress)
        at = self._instants(instants, path, generator, dtype)
        t, r = self._jumps(batch - instants, self.span_limit(progress), generator, dtype)
        return torch.cat([at, t]), torch.cat([at, r])

    def _instants(
        self, count: int, path: Path, generator: torch.Generator | None, dtype: torch.dtype
    ) -> Float[Tensor, " count"]:
        """Times of the instantaneous pairs."""
        if self.marginal == "uniform":
            return uniform(count, generator, dtype)
        return path.time((self.log_mean + self.log_std * normal((count,), generator, dtype)).exp())

    def _jumps(
        self, count: int, limit: float, generator: torch.Generator | None, dtype: torch.dtype
    ) -> tuple[Float[Tensor, " count"], Float[Tensor, " count"]]:
        """Both times of the jumps: spans uniform up to the limit, departures uniform where the span fits."""
        span = (limit * (1 - uniform(count, generator, dtype))).clamp(min=SHORTEST)
        t = (1 - span) * uniform(count, generator, dtype)
        widest = torch.arange(count, device=t.device) < _count(self.widest_share, count)
        span, t = torch.where(widest, max(limit, SHORTEST), span), torch.where(widest, 0, t)
        return t, (t + span).clamp(max=1)


def _count(share: float, total: int) -> int:
    """A share of a total as a count: nearest, halves up."""
    return int(share * total + 0.5)
