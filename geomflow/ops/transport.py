"""Optimal transport between clouds: exact for equal sizes, entropic for all, and sliced along random lines.

Every cloud is a uniform distribution over its points. With the cost |x - y|^2 (or |x - y|) and couplings pi,

- `nearest_assignment`: min over permutations of the mean cost, which for equal sizes is min_pi <pi, C>;
- `sinkhorn_distance`: OT_eps = min_pi <pi, C> + eps KL(pi | a x b), less the clouds' own,
  OT_eps(x, y) - OT_eps(x, x) / 2 - OT_eps(y, y) / 2, which makes equal clouds equal (Feydy et al., AISTATS 2019,
  arXiv 1810.08278);
- `sliced_wasserstein`: the mean over lines of the distance of the projections, which in one dimension is that of the
  quantile functions (Rabin et al., 2011; Bonneel et al., 2015).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops.batches import Clouds, checked_clouds, checked_pair
from geomflow.ops.chamfer import root
from geomflow.ops.dispatch import operator, reference_only
from geomflow.ops.neighbours import check_count, knn_gather


class Assignment(NamedTuple):
    """The cheapest one-to-one matching of two clouds of equal size.

    Attributes:
        distance: Mean cost of the matched pairs (B,), 0 for empty clouds.
        idx: Row of y for each row of x (B, P), int64; -1 on padding.
    """

    distance: Float[Tensor, " b"]
    idx: Int[Tensor, "b p"]


def nearest_assignment(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    *,
    squared: bool = False,
    backend: str = "auto",
) -> Assignment:
    """Return the exact optimal assignment of two clouds of equal size: the earth mover's distance.

    Jonker and Volgenant's algorithm in SciPy on the CPU, of third order in the number of points: it is meant for up to
    about 4,000. Distances have gradients of every order to the points, at the matching that was found.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, Q, D) with as many points each.
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        squared: Whether the cost is the squared distance; the default is the Euclidean one.
        backend: `auto` or `reference`, which are the same here.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, sizes differ, or a point is not finite.
        TypeError: The points are not floating point tensors of one dtype.
    """
    reference_only("nearest_assignment", backend)
    first, second = _pair(x, y, x_lengths, y_lengths)
    _check_matchable(first, second)
    idx = search_assignment(first.points.detach(), second.points.detach(), first.lengths, squared)
    there = idx >= 0
    difference = torch.where(there[..., None], first.points - knn_gather(second.points, idx[..., None])[:, :, 0], 0)
    cost = difference.square().sum(-1)
    return Assignment((cost if squared else root(cost)).sum(1) / there.sum(1).clamp(min=1), idx)


def sinkhorn_distance(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    *,
    blur: float = 0.05,
    iterations: int = 100,
    debias: bool = True,
    backend: str = "auto",
) -> Float[Tensor, " b"]:
    """Return the Sinkhorn divergence (B,) with cost |x - y|^2 and eps = blur^2, in the points' unit squared.

    Log-domain iterations, averaged over both sides; in the first half of them eps falls from the squared diameter to
    blur^2. Not negative and 0 for equal clouds; a translation by v gives |v|^2 for every blur. Tends to the mean
    squared cost of the optimal coupling as blur goes to 0, which takes more iterations. The gradient is that of the
    converged value (envelope theorem: potentials are held), of first order only. Memory grows as P Q.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, Q, D), of any sizes.
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        blur: Length below which points are not told apart, in the points' unit.
        iterations: Updates of the potentials.
        debias: Whether the clouds' own terms are subtracted.
        backend: `auto` or `reference`, which are the same here.

    Returns:
        One number per pair; 0 where a cloud is empty. Points that are not finite count as padding.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, blur is not positive, or iterations is below 1.
        TypeError: The points are not floating point tensors of one dtype.
    """
    reference_only("sinkhorn_distance", backend)
    if not blur > 0:
        raise ValueError(f"blur must be a positive length, given {blur}")
    check_count("iterations", iterations)
    measures = [_measure(cloud) for cloud in _pair(x, y, x_lengths, y_lengths)]
    a, b = measures
    schedule = _schedule(a, b, blur, iterations)
    f, g = _potentials(a, b, schedule)
    value = a.mean(f) + b.mean(g)
    if debias:
        value = value - a.mean(_own_potential(a, schedule)) - b.mean(_own_potential(b, schedule))
    return torch.where(a.there.any(1) & b.there.any(1), value, 0)


def sliced_wasserstein(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    *,
    projections: int = 128,
    power: float = 2.0,
    generator: torch.Generator | None = None,
    backend: str = "auto",
) -> Float[Tensor, " b"]:
    """Return the sliced Wasserstein distance (B,): (mean over directions of W_p^p of the projections)^(1/p), a length.

    Exact along each line, for different numbers of points too.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, Q, D), of any sizes.
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        projections: Random directions, the same for the whole batch.
        power: The exponent p, at least 1.
        generator: Where the directions are drawn.
        backend: `auto` or `reference`, which are the same here.

    Returns:
        One number per pair; 0 where a cloud is empty. Points that are not finite count as padding.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, power or projections is below 1.
        TypeError: The points are not floating point tensors of one dtype.
    """
    reference_only("sliced_wasserstein", backend)
    check_count("projections", projections)
    if not power >= 1:
        raise ValueError(f"power must be at least 1, given {power}")
    a, b = (_measure(cloud) for cloud in _pair(x, y, x_lengths, y_lengths))
    lines = directions(projections, a.points.shape[2], generator).to(a.points)
    rows_a, rows_b, share = _common_quantiles(a.there.sum(1), b.there.sum(1), a.there.shape[1], b.there.shape[1])
    gaps = (_at_ranks(a, lines, rows_a) - _at_ranks(b, lines, rows_b)).abs()
    mean = (gaps.pow(power) * share[..., None].to(gaps)).sum(1).mean(1)
    mean = torch.where(a.there.any(1) & b.there.any(1), mean, 0)
    positive = mean > 0
    return torch.where(positive, torch.where(positive, mean, 1).pow(1 / power), 0)


def directions(count: int, dimension: int, generator: torch.Generator | None = None) -> Float[Tensor, "count d"]:
    """Return unit vectors spread uniformly at random over the sphere, drawn where the generator lives."""
    device = generator.device if generator else None
    return torch.nn.functional.normalize(torch.randn((count, dimension), generator=generator, device=device), dim=1)


class _Measure(NamedTuple):
    """Uniform distributions over the points that are there; zeros elsewhere."""

    points: Float[Tensor, "b p d"]
    there: Bool[Tensor, "b p"]

    @property
    def log_weights(self) -> Float[Tensor, "b p"]:
        count = self.there.sum(1, keepdim=True)
        return torch.where(
            self.there, -count.clamp(min=1).to(self.points.dtype).log(), torch.where(count > 0, -torch.inf, 0)
        )

    def mean(self, values: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        return torch.where(self.there, values, 0).sum(1) / self.there.sum(1).clamp(min=1)


def _measure(cloud: Clouds) -> _Measure:
    there = cloud.mask & cloud.points.detach().isfinite().all(-1)
    return _Measure(torch.where(there[..., None], cloud.points, 0), there)


def _pair(x: Tensor, y: Tensor, x_lengths: Tensor | None, y_lengths: Tensor | None) -> tuple[Clouds, Clouds]:
    first, second = checked_clouds("x", x, x_lengths), checked_clouds("y", y, y_lengths)
    checked_pair(("x", "y"), first, second)
    return first, second


def _check_matchable(first: Clouds, second: Clouds) -> None:
    """Refuse clouds of different sizes and broken points; their values are looked at on the CPU only."""
    if first.points.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if not torch.equal(first.lengths, second.lengths):
        raise ValueError(
            f"x and y must have equal sizes to be matched one to one, given {first.lengths.tolist()} and "
            f"{second.lengths.tolist()}"
        )
    for name, cloud in (("x", first), ("y", second)):
        if not cloud.points[cloud.mask].isfinite().all():
            raise ValueError(f"{name} must be finite to be matched, given NaN or infinite coordinates")


def _assignment(x: Tensor, y: Tensor, lengths: Tensor, squared: bool) -> Tensor:
    """Matched rows of y (B, P), -1 on padding."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    idx = torch.full(x.shape[:2], -1)
    for b, n in enumerate(lengths.tolist()):
        cost = cdist(x[b, :n].cpu().double(), y[b, :n].cpu().double(), "sqeuclidean" if squared else "euclidean")
        idx[b, :n] = torch.from_numpy(linear_sum_assignment(cost)[1])
    return idx.to(x.device)


search_assignment = operator(
    _assignment, lambda x, y, lengths, squared: torch.empty(x.shape[:2], dtype=torch.int64, device=x.device)
)


def _cost(a: Float[Tensor, "b p d"], b: Float[Tensor, "b q d"]) -> Float[Tensor, "b p q"]:
    """Squared distances by differences: products would lose digits, and autocast would halve them."""
    return (a[:, :, None] - b[:, None]).square().sum(-1)


def _softmin(eps: Float[Tensor, " b"], cost: Tensor, potential: Tensor, log_weights: Tensor) -> Float[Tensor, "b p"]:
    """-eps log sum_j b_j exp((g_j - C_ij) / eps)."""
    eps = eps[:, None]
    return -eps * torch.logsumexp((potential / eps + log_weights)[:, None] - cost / eps[..., None], dim=2)


@torch.no_grad()
def _schedule(a: _Measure, b: _Measure, blur: float, iterations: int) -> list[Float[Tensor, " b"]]:
    """The eps of every iteration for each pair: down from the squared diameter of both, then blur^2."""
    both, there = torch.cat([a.points, b.points], dim=1), torch.cat([a.there, b.there], dim=1)[..., None]
    low, high = (torch.where(there, both, sign * torch.inf) for sign in (1, -1))
    span = (high.amax(1) - low.amin(1)).square().sum(-1).nan_to_num(0, 0, 0).clamp(min=blur**2)
    half = (iterations + 1) // 2
    falling = [span * (blur**2 / span) ** (i / half) for i in range(half)]
    return [*falling, *[torch.full_like(span, blur**2)] * (iterations - half)]


def _potentials(a: _Measure, b: _Measure, schedule: list[Tensor]) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b q"]]:
    """Potentials of both sides, each differentiable in its own points with the other side held."""
    held_a, held_b = a.points.detach(), b.points.detach()
    with torch.no_grad():
        cost = _cost(held_a, held_b)
        back = cost.mT.contiguous()
        f, g = torch.zeros_like(cost[:, :, 0]), torch.zeros_like(cost[:, 0])
        for eps in schedule:
            better_f, better_g = _softmin(eps, cost, g, b.log_weights), _softmin(eps, back, f, a.log_weights)
            f, g = (f + better_f) / 2, (g + better_g) / 2
    eps = schedule[-1]
    return (
        _softmin(eps, _cost(a.points, held_b), g, b.log_weights),
        _softmin(eps, _cost(b.points, held_a), f, a.log_weights),
    )


def _own_potential(a: _Measure, schedule: list[Tensor]) -> Float[Tensor, "b p"]:
    """Potential of a cloud against itself, where both sides are one."""
    held = a.points.detach()
    with torch.no_grad():
        cost, f = _cost(held, held), torch.zeros_like(held[..., 0])
        for eps in schedule:
            f = (f + _softmin(eps, cost, f, a.log_weights)) / 2
    return _softmin(schedule[-1], _cost(a.points, held), f, a.log_weights)


def _common_quantiles(n: Tensor, m: Tensor, most_n: int, most_m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ranks in clouds of n and m points wherever both quantile functions are constant, and for what share they are."""
    ends = [
        (torch.arange(1, most + 1, device=n.device) / count.clamp(min=1)[:, None].double()).clamp(max=1)
        for count, most in ((n, most_n), (m, most_m))
    ]
    levels = torch.nn.functional.pad(torch.cat(ends, dim=1).sort(dim=1).values, (1, 0))
    middle = (levels[:, 1:] + levels[:, :-1]) / 2
    ranks = [(middle * count[:, None]).long().clamp(max=(count[:, None] - 1).clamp(min=0)) for count in (n, m)]
    return ranks[0], ranks[1], levels.diff(dim=1)


def _at_ranks(measure: _Measure, lines: Float[Tensor, "l d"], ranks: Int[Tensor, "b r"]) -> Float[Tensor, "b r l"]:
    """Projections of the points of these ranks along each line, 0 for empty clouds."""
    if measure.points.shape[1] == 0:
        return measure.points.new_zeros((*ranks.shape, len(lines)))
    along = (measure.points[:, :, None] * lines).sum(-1)
    ordered = torch.where(measure.there[..., None], along, torch.inf).sort(dim=1).values
    found = ordered.gather(1, ranks[..., None].expand(-1, -1, len(lines)))
    return torch.where(measure.there.any(1)[:, None, None], found, 0)
