"""Set abstraction: points with features to fewer points with features of their neighbourhoods.

The layer of PointNet++ (Qi et al., arXiv 1706.02413): centres by farthest point sampling, the nearest neighbours of
each relative to it, a small network shared by all of them, and the maximum over each neighbourhood. That network begins
linear in a point's own features, so this part of it runs once per point, before the gathering.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geomflow.ops import group_points, knn_gather, knn_points, sample_farthest_points


class SetAbstraction(nn.Module):
    """Features of neighbourhoods from features of points.

    Args:
        in_width: Features per point.
        out_width: Features per centre.
        neighbours: Points per neighbourhood.
        reach: Length that offsets from the centre are measured in, about as long as they are.
    """

    def __init__(self, in_width: int, out_width: int, neighbours: int, reach: float) -> None:
        super().__init__()
        self.neighbours, self.reach = neighbours, reach
        self.lift = nn.Linear(in_width, out_width)
        self.place = nn.Linear(3, out_width, bias=False)
        self.shared = nn.Sequential(nn.SiLU(), nn.Linear(out_width, out_width), nn.SiLU())
        self.out = nn.Linear(out_width, out_width)
        self.norm = nn.LayerNorm(out_width)

    def forward(
        self,
        points: Float[Tensor, "batch n 3"],
        features: Float[Tensor, "batch n c"],
        centers: Float[Tensor, "batch p 3"],
    ) -> Float[Tensor, "batch p c2"]:
        """Return features of the centres; rows of `points` that are not finite count as absent.

        Where there are fewer points than neighbours, the nearest is repeated, which a maximum does not notice.

        Args:
            points: Where features are.
            features: Features of the points.
            centers: Where features are wanted.
        """
        idx = _filled(knn_points(centers, points, K=self.neighbours).idx)
        offsets = group_points(points, idx, centers) / self.reach
        lifted = knn_gather(self.lift(features), idx) + self.place(offsets)
        return self.norm(self.out(self.shared(lifted).amax(dim=2)))


def spread_centers(points: Float[Tensor, "batch n 3"], count: int) -> Float[Tensor, "batch count 3"]:
    """Return points of each cloud that cover it evenly, the first one repeated where there are too few.

    Args:
        points: Clouds; rows that are not finite count as absent.
        count: Points to return; the first is the first that is present.
    """
    rows = _filled(sample_farthest_points(points, K=count).idx)
    return knn_gather(points, rows[..., None])[:, :, 0]


def by_place(surface: Float[Tensor, "batch n c"]) -> Float[Tensor, "batch n c"]:
    """Return the rows of each cloud in lexicographic order, so that they depend on the set alone; NaN comes last.

    Args:
        surface: Points with their features.
    """
    for column in reversed(range(surface.shape[2])):
        order = surface[..., column].argsort(dim=1, stable=True)
        surface = surface.gather(1, order[..., None].expand_as(surface))
    return surface


def _filled(idx: Int[Tensor, "batch ..."]) -> Int[Tensor, "batch ..."]:
    """Indices with the first of each row in the place of those that are absent."""
    return torch.where(idx < 0, idx[..., :1], idx)
