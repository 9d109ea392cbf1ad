"""Flow-map trajectory tilting: weighted particles, which draw from p(data) exp(strength reward) if there are many.

Let X_t = psi_{t->1} be the look-ahead. The densities p_t(x) exp(tau(t) strength R(X_t(x))), with tau up to 1, go from
the noise to the tilted data (arXiv 2511.22688). Particles follow them from t to r by a restart of the flow map - a jump
past r and back by fresh noise of deviation f, which takes p_t to p_r whatever the step - whose mean is moved uphill by

    delta = f^2 tau(r) strength grad R(X),

and what remains is in their log-weights, which grow by

    strength (tau(r) R(X_r) - tau(t) R(X_t)) - noise . delta / f - |delta|^2 / (2 f^2).

The paper's SDE, with the rate strength R(X_t) d tau / dt of the log-weights, is for short steps. With these weights the
law is right, in the limit of many particles, for any number of steps: few steps and a rough gradient cost particles (a
low effective sample size), not truth. The bias of a finite population falls as one over its size.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.flow import FlowMap, Path
from geomflow.flow.formulation import per_sample
from geomflow.flow.random import normal, uniform
from geomflow.flow.sampler import before_noise
from geomflow.steer.look_ahead import deviation, from_state, levels
from geomflow.steer.reward import Ahead, Reward, score_and_gradient
from geomflow.steer.steered import Steered

FEWEST = 0.5
"""Effective share of the particles under which they are resampled."""


@torch.no_grad()
def tilt(
    flow_map: FlowMap,
    reward: Reward,
    noise: Float[Tensor, " particles *shape"],
    steps: int = 8,
    strength: float = 1.0,
    churn: float = 1.0,
    condition: Any = None,
    generator: torch.Generator | None = None,
) -> Steered:
    """Return particles of equal weight, whose law is the tilted one in the limit of many of them.

    Some are the same where the last resampling copied them.

    Args:
        flow_map: The map.
        reward: What is to be high, differentiable.
        noise: Unit noise of the particles, which are one population.
        steps: Time steps; ``2 steps - 1`` network calls, ``steps`` of them with a gradient.
        strength: Nats per unit of the reward.
        churn: How much noise, in units of the reverse-time SDE; with 0 particles are only weighted and resampled.
        condition: Passed to the network; the same for all particles.
        generator: Source of noise and resampling.

    Raises:
        ValueError: ``steps`` under 1 or ``churn`` under 0; or it is not 0 and the states lie on a manifold, where no
            multiple of noise can be added.
        RewardError: The reward is no finite number per sample, or has no gradient.
    """
    if churn < 0:
        raise ValueError(f"churn must be at least 0, given {churn}")
    if churn and not flow_map.formulation.linear:
        raise ValueError(f"churn must be 0 where states lie on a manifold, given {churn}")
    times = flow_map.formulation.jump_grid(steps).tolist()[:-1]
    cloud = _Cloud(flow_map, reward, strength, churn, condition, generator)
    cloud.begin(noise)
    for t, r in pairwise(times):
        cloud.move(t, r)
        cloud.resample_below(FEWEST)
    cloud.finish(times[-1])
    return Steered(cloud.ahead.data, cloud.ahead.reward, 2 * steps - 1, steps, cloud.trace)


class _Cloud:
    """Particles, what is ahead of them, and their log-weights."""

    x: Tensor
    ahead: Ahead
    weights: Float[Tensor, " particles"]

    def __init__(
        self,
        flow_map: FlowMap,
        reward: Reward,
        strength: float,
        churn: float,
        condition: Any,
        generator: torch.Generator | None,
    ) -> None:
        self.flow_map, self.reward, self.strength, self.churn = flow_map, reward, strength, churn
        self.condition, self.generator, self.path = condition, generator, flow_map.formulation.path
        self.trace: dict[str, list[float]] = {"ess": [], "reward": []}

    def begin(self, noise: Tensor) -> None:
        """Start at noise."""
        self.x = self.flow_map.formulation.start(noise)
        self.ahead = self._look(0.0)
        self.weights = _tempering(self.path, 0.0) * self.strength * self.ahead.reward

    def move(self, t: float, r: float) -> None:
        """Go from t to r."""
        gamma, before = _gamma(self.path, t, r, self.churn), self.ahead
        mean, deviations = before_noise(self.flow_map, self.x, t, r, gamma, self.condition)
        fresh = per_sample(deviations, self.x)
        rescaled = deviation(self.path, t) / deviation(self.path, r) * before.gradient
        push = fresh * _tempering(self.path, r) * self.strength * rescaled  # delta / f
        noise = normal(self.x.shape, self.generator, self.x.dtype, self.x.device)
        self.x = mean + fresh * (push + noise)
        self.ahead = self._look(r)
        gained = _tempering(self.path, r) * self.ahead.reward - _tempering(self.path, t) * before.reward
        self.weights = self.weights + self.strength * gained - ((noise + push / 2) * push).flatten(1).sum(1)

    def finish(self, t: float) -> None:
        """Take what is ahead for what is there, with the whole reward, and give all particles one weight."""
        self.weights = self.weights + (1 - _tempering(self.path, t)) * self.strength * self.ahead.reward
        self.resample_below(math.inf)

    def resample_below(self, share: float) -> None:
        """Note the effective sample size, and if it is too small let particles die and multiply by their weights."""
        self.trace["ess"].append(effective_share(self.weights))
        self.trace["reward"].append(float((self.weights.softmax(0) * self.ahead.reward).sum()))
        if self.trace["ess"][-1] >= share:
            return
        kept = resample(self.weights, self.generator)
        ahead = self.ahead
        self.x, self.ahead = self.x[kept], Ahead(ahead.data[kept], ahead.reward[kept], ahead.gradient[kept])
        self.weights = torch.zeros_like(self.weights)

    def _look(self, time: float) -> Ahead:
        return score_and_gradient(self.reward, from_state(self.flow_map, time, self.condition), self.x)


def effective_share(weights: Float[Tensor, " particles"]) -> float:
    """Return the effective sample size of log-weights, (sum w)^2 / sum w^2, as a share of their number.

    Args:
        weights: Log-weights of the particles.
    """
    return float((2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp() / len(weights))


def resample(
    weights: Float[Tensor, " particles"], generator: torch.Generator | None = None
) -> Int[Tensor, " particles"]:
    """Return which particles survive: systematic resampling, each floor or ceil of its expected number of times.

    Args:
        weights: Log-weights of the particles.
        generator: Source of chance; torch's own if None.
    """
    count = len(weights)
    shift = uniform(1, generator, torch.float64, weights.device)
    places = (torch.arange(count, device=weights.device) + shift) / count
    ladder = weights.double().softmax(0).cumsum(0)
    return torch.searchsorted(ladder, places).clamp(max=count - 1)


def _gamma(path: Path, t: float, r: float, churn: float) -> float:
    """The share of fresh noise of a restart: 1 - gamma^2 = (ratio_r / ratio_t)^(2 churn), ratio = sigma / signal."""
    (a, b), (c, d) = levels(path, t), levels(path, r)
    return (1 - (d * a / (c * b)) ** (2 * churn)) ** 0.5


def _tempering(path: Path, time: float) -> float:
    """How much of the reward counts at a time: the signal's share of a state's deviation.

    For normal data of unit variance and a linear reward the tilted densities are then those of the tilted data's path.
    """
    return levels(path, time)[0] / deviation(path, time)
