"""Langevin in the noise: a Markov chain whose law, in the limit of many moves, is that of the tilted data.

The tilted law of data, p(data) exp(strength R), is the image of a law of noise, with the energy |z|^2 / 2 - strength
R(psi(z)), as far as the map is right. Metropolis-adjusted Langevin proposals for it are discretised semi-implicitly
(Cotter, Roberts, Stuart, White, MCMC methods for functions, arXiv 1202.0709),

    z' = rho z + (1 - rho) strength grad R(psi(z)) + sqrt(1 - rho^2) fresh noise,

so that without a reward every proposal is accepted, however many dimensions there are. After few moves a chain is still
near the noise that it began with.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geomflow.flow import FlowMap
from geomflow.flow.formulation import per_sample
from geomflow.steer.chance import Sources, normal_rows, uniform_rows
from geomflow.steer.look_ahead import from_noise
from geomflow.steer.reward import Ahead, Reward, chosen, score_and_gradient
from geomflow.steer.steered import Steered

WANTED = 0.574
"""Share of proposals that Langevin chains do best to accept (Roberts and Rosenthal, 1998)."""

WIDEST = 0.98
"""Largest share of fresh noise in a proposal."""


@torch.no_grad()
def langevin(
    flow_map: FlowMap,
    reward: Reward,
    noise: Float[Tensor, " batch *shape"],
    rounds: int = 16,
    strength: float = 1.0,
    fresh: float = 0.4,
    steps: int = 1,
    condition: Any = None,
    generator: Sources = None,
) -> Steered:
    """Return the ends of Markov chains, one for each noise.

    In the first half of the rounds each chain adapts the width of its proposals to its acceptance; in the second half
    it is fixed, as the right law in the limit of many rounds wants.

    Args:
        flow_map: The map.
        reward: What is to be high, differentiable.
        noise: Where the chains begin.
        rounds: Proposals; ``steps (rounds + 1)`` network calls.
        strength: Nats per unit of the reward.
        fresh: Share sqrt(1 - rho^2) of fresh noise in the first proposals, in (0, 1).
        steps: Jumps from noise to data; one or two, for a gradient goes through all.
        condition: Passed to the network.
        generator: Source of the chains' noise, or one for each chain, which then does not depend on the others.

    Raises:
        ValueError: ``rounds`` under 1, ``fresh`` outside (0, 1), or several generators, but not as many as chains.
        RewardError: The reward is no finite number per sample, or has no gradient.
    """
    if rounds < 1 or not 0 < fresh < 1:
        raise ValueError(f"rounds must be at least 1 and fresh in (0, 1), given {rounds} and {fresh}")
    look, width = from_noise(flow_map, steps, condition), noise.new_full((len(noise),), fresh)
    chains = _Chains(noise, score_and_gradient(reward, look, noise))
    trace: dict[str, list[float]] = {"accepted": [], "reward": []}
    for step in range(rounds):
        z = chains.propose(width, strength, generator)
        proposed = _Chains(z, score_and_gradient(reward, look, z))
        odds = chains.odds(proposed, width, strength)
        accepted = uniform_rows(z, generator).log() < odds
        chains = chains.moved(proposed, accepted)
        if 2 * step < rounds:
            width = (width * (odds.exp().clamp(max=1) - WANTED).exp()).clamp(1e-3, WIDEST)
        trace["accepted"].append(float(accepted.double().mean()))
        trace["reward"].append(float(chains.ahead.reward.mean()))
    return Steered(chains.ahead.data, chains.ahead.reward, steps * (rounds + 1), steps * (rounds + 1), trace)


@dataclass(frozen=True)
class _Chains:
    """States of all chains: the noise and what is ahead of it."""

    z: Tensor
    ahead: Ahead

    def propose(self, width: Float[Tensor, " batch"], strength: float, generator: Sources) -> Tensor:
        """Where the chains would go."""
        return self._mean(width, strength) + per_sample(width, self.z) * normal_rows(self.z, generator)

    def odds(self, to: "_Chains", width: Float[Tensor, " batch"], strength: float) -> Float[Tensor, " batch"]:
        """Log of the ratio by which Metropolis and Hastings accept a move."""
        there = strength * to.ahead.reward - _half_square(to.z) - self._log_density(to.z, width, strength)
        here = strength * self.ahead.reward - _half_square(self.z) - to._log_density(self.z, width, strength)
        return there - here

    def moved(self, to: "_Chains", accepted: Bool[Tensor, " batch"]) -> "_Chains":
        """The chains with those that were accepted moved."""
        return _Chains(chosen(accepted, to.z, self.z), self.ahead.replaced(accepted, to.ahead))

    def _mean(self, width: Tensor, strength: float) -> Tensor:
        rho = per_sample((1 - width**2).sqrt(), self.z)
        return rho * self.z + (1 - rho) * strength * self.ahead.gradient

    def _log_density(self, z: Tensor, width: Tensor, strength: float) -> Float[Tensor, " batch"]:
        """Of proposing z from here, up to what is the same for both ways."""
        return -_half_square((z - self._mean(width, strength)) / per_sample(width, z))


def _half_square(z: Tensor) -> Float[Tensor, " batch"]:
    return z.double().flatten(1).square().sum(1) / 2
