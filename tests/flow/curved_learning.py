"""Learning on manifolds: wrapped normal mixtures, a small training, and how far samples are from held-out ones."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geomflow import shelves
from geomflow.flow import FlowMap, LossModule, TimePairs
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.manifold import Manifold

SHARES = torch.tensor([0.4, 0.3, 0.2, 0.1])


@dataclass(frozen=True)
class WrappedMixture:
    """Four wrapped normals: tangent Gaussians at random centres, carried over by exp."""

    manifold: Manifold
    spread: float

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Samples."""
        centres = torch.randn(len(SHARES), self.manifold.coordinates, generator=torch.Generator().manual_seed(7))
        x = self.manifold.project(centres)[torch.multinomial(SHARES, count, True, generator=generator)]
        steps = self.spread * torch.randn(x.shape, generator=generator)
        return self.manifold.exp(x, self.manifold.tangent(x, steps))


def mixture(name: str) -> WrappedMixture:
    """The mixture on a manifold of the shelf: spread 0.25 on the sphere, 0.25 radians about each axis on SO(3)."""
    return WrappedMixture(shelves.load("manifolds", name), 0.25 if name == "sphere" else 0.35)


def train(target: WrappedMixture, objective: str, steps: int, batch: int = 512, width: int = 64) -> FlowMap:
    """A flow map trained for some steps; its weights averaged."""
    torch.manual_seed(0)
    network = shelves.load("networks", "perceptron", dimensions=target.manifold.coordinates, width=width, depth=3)
    flow_map = FlowMap(network, Geodesic(manifold=target.manifold))
    loss = LossModule(flow_map, shelves.load("objectives", objective), TimePairs(marginal="uniform"))
    optimizer, average = torch.optim.Adam(network.parameters(), lr=3e-3), copy.deepcopy(flow_map)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, 2 * (1 - step / steps)))
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        value, _ = loss(target.draw(batch, generator), progress=step / steps, generator=generator)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        for mean, weight in zip(average.parameters(), flow_map.parameters(), strict=True):
            mean.data.lerp_(weight.data, 0.01)
    return average


def energy_distance(one: Tensor, other: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased; chords, which grow with the geodesic distance and tell all laws."""
    within = sum(torch.pdist(part).mean() for part in (one, other))
    return float(2 * torch.cdist(one, other).mean() - within)


def noise_and_data(target: WrappedMixture, count: int = 4000) -> tuple[Tensor, Tensor]:
    """Noise to sample from and held-out samples to compare with."""
    fresh = torch.Generator().manual_seed(99)
    return torch.randn(count, target.manifold.coordinates, generator=fresh), target.draw(count, fresh)
