"""The point of a surface that is expected behind a noisy one, from the surface's points nearby."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pykdtree.kdtree import KDTree
from torch import Tensor, nn

SIZES = (1 << 17, 1 << 15, 1 << 13, 1 << 11)
"""Points of the pools, from fine to coarse; beyond the coarsest the batch itself is the pool."""

FROM_BATCH = 1024
"""Points of the batch that then count."""

COVERED = 2.5
"""Standard deviations of the noise that the neighbours have to reach."""

REFRESH = 50
"""Calls between fresh pools, so that no pool's own unevenness is learned."""


class Pool(NamedTuple):
    """Points (m, channels) of a surface, the tree of their positions, and how far the neighbours of one reach."""

    points: Tensor
    tree: KDTree
    reach: float

    def nearest(self, z: Float[Tensor, "n c"], count: int) -> Int[Tensor, "n count"]:
        """Return the rows of the points nearest to positions."""
        found = self.tree.query(z[:, :3].cpu().contiguous().numpy(), k=count)[1]
        return torch.from_numpy(found.astype(np.int64))


class NeighbourExpectation(nn.Module):
    """E[data | z] by Bayes' rule over neighbours of z: their mean, weighted by exp(-|z - y|^2 / (2 ratio^2)).

    Neighbours come from the finest of several random pools whose neighbours reach far enough; the point that was drawn
    is always among them, so that the estimate is never worse than that. How often it was called is part of the state,
    since it decides which pool comes next.

    Attributes:
        remembers_batches: Says that estimates depend on how many batches came before.

    Args:
        draw: Random points of the surface (n, channels), standardised, positions first.
        neighbours: How many of them are weighed.
        seed: Seed of the pools.
        mean: Expected data by Bayes' rule, given z, its ratio, its own point and others.
    """

    calls: Tensor
    remembers_batches = True

    def __init__(
        self,
        draw: Callable[[int, np.random.Generator], Float[Tensor, "n c"]],
        neighbours: int,
        seed: int,
        mean: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.draw, self.neighbours, self.seed, self.mean = draw, neighbours, seed, mean or gaussian_mean
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._number, self._pools = -1, list[Pool]()

    @torch.no_grad()
    def forward(
        self, z: Float[Tensor, "b n c"], ratio: Float[Tensor, " b"], data: Float[Tensor, "b n c"]
    ) -> Float[Tensor, "b n c"]:
        """Return the expected data, where z = data + ratio noise."""
        self._refill(int(self.calls) // REFRESH)
        self.calls += 1
        each = ratio[:, None].expand(z.shape[:2])
        answer, todo = torch.empty_like(z), torch.ones_like(each, dtype=torch.bool)
        for pool in self._pools:
            mine = todo & (each * COVERED <= pool.reach)
            if mine.any():
                near = pool.points[pool.nearest(z[mine], self.neighbours)]
                answer[mine] = self.mean(z[mine], each[mine], data[mine], near)
            todo &= ~mine
        if todo.any():
            answer[todo] = self.mean(z[todo], each[todo], data[todo], data.flatten(0, 1)[:FROM_BATCH][None])
        return answer

    def _refill(self, number: int) -> None:
        """Draw the pools of a number, unless they are there."""
        if number == self._number:
            return
        rows = self.draw(sum(SIZES), np.random.default_rng((self.seed, number)))
        self._number, self._pools = number, [self._pool(part) for part in rows.split(SIZES)]

    def _pool(self, points: Tensor) -> Pool:
        tree = KDTree(points[:, :3].contiguous().numpy())
        farthest = tree.query(points[:256, :3].contiguous().numpy(), k=self.neighbours)[0][:, -1]
        return Pool(points, tree, float(np.median(farthest)))


def gaussian_mean(
    z: Float[Tensor, "n c"], ratio: Float[Tensor, " n"], own: Float[Tensor, "n c"], near: Float[Tensor, "m k c"]
) -> Float[Tensor, "n c"]:
    """The weighted mean of each row's own point and its k others, which all rows share if m is 1."""
    others = torch.cdist(z[:, None], near.to(z), compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
    distances = torch.cat([(z - own).norm(dim=1, keepdim=True), others], dim=1)
    weights = (distances.square() / (-2 * ratio[:, None].square())).softmax(dim=1)
    return weights[:, :1] * own + (weights[:, None, 1:] @ near.to(z))[:, 0]
