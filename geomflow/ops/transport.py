"""Optimal transport between clouds of any sizes: entropic, and sliced along random lines.

Every cloud is a uniform distribution over its points. With the cost |x - y|^2 and couplings pi,

- `sinkhorn_distance`: OT_eps = min_pi <pi, C> + eps KL(pi | a x b), less the clouds' own,
  OT_eps(x, y) - OT_eps(x, x) / 2 - OT_eps(y, y) / 2, which makes equal clouds equal (Feydy et al., AISTATS 2019,
  arXiv 1810.08278);
- `sliced_wasserstein`: the mean over lines of the distance of the projections, which in one dimension is that of the
  quantile functions (Rabin et al., 2011; Bonneel et al., 2015).

Potentials are found without gradient inside an operator, and the distance is taken again in plain torch with the
potentials held, which by the envelope theorem has the right gradient.

The entropic problem is the maximum over potentials f, g of

    mean_i f_i + mean_j g_j - eps (mean_ij exp((f_i + g_j - C_ij) / eps) - 1),

where the best f for a given g is a soft minimum, f_i = -eps log mean_j exp((g_j - C_ij) / eps). Sinkhorn's algorithm
alternates this with its mirror image. Here it takes a hundred steps where that takes thousands, because eps falls from
the largest cost over most of the steps, and each step goes half as far again as the soft minimum (over-relaxation:
Thibault et al., arXiv 1711.01851). What comes out is the mean of the two lower bounds that f and g give with the best
answer to each, whose error is of second order in that of the potentials.
"""

import functools
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops.batches import Clouds, cloud_pair, length_mask
from geomflow.ops.dispatch import operator, reference_only
from geomflow.ops.neighbours import check_count

RELAXATION = 1.5
"""Step towards the soft minimum: 1 is Sinkhorn's algorithm, from 2 on it does not converge."""

ANNEALED = 0.8
"""Share of the steps over which eps falls; the others are made at its final value."""

NOTHING = -80.0
"""Exponent whose exponential is nothing beside 1 but does not underflow, which takes a CPU twenty times as long."""


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

    Up to convergence it is not negative, 0 for equal clouds and symmetric; a translation by v adds |v|^2 for every
    blur, exactly, as the clouds are centred first. Tends to the mean squared cost of the optimal coupling as blur goes
    to 0, which takes more iterations: with the default ones it falls short by about 1e-3 of itself for 300 points of a
    unit sphere at blur 0.05, and by 3e-3 at 0.01. The gradient is that of the converged value (potentials are held), of
    first order only. Memory grows as P Q.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, Q, D), of any sizes.
        x_lengths: Points of each cloud of x (B,).
        y_lengths: Points of each cloud of y (B,).
        blur: Length below which points are not told apart, in the points' unit.
        iterations: Updates of the potentials; fewer than 50 make eps fall too fast.
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
    (a, mean_a), (b, mean_b) = (
        _centred(_measure(cloud)) for cloud in cloud_pair(("x", "y"), x, y, x_lengths, y_lengths)
    )
    eps = blur**2
    value = _entropic(a, b, eps, iterations) + (mean_a - mean_b).square().sum(1).to(a.points.dtype)
    if debias:
        value = value - (_entropic(a, a, eps, iterations) + _entropic(b, b, eps, iterations)) / 2
    return torch.where(a.there.any(1) & b.there.any(1), value, 0)


def sliced_wasserstein(
    x: Float[Tensor, "b p d"],
    y: Float[Tensor, "b q d"],
    x_lengths: Int[Tensor, " b"] | None = None,
    y_lengths: Int[Tensor, " b"] | None = None,
    *,
    projections: int | Float[Tensor, "l d"] = 128,
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
        projections: Number of random directions, the same for the whole batch, or directions (L, D) as `directions`
            gives, for instance under `torch.compile`, which takes no generator.
        power: The exponent p, at least 1.
        generator: Where random directions are drawn.
        backend: `auto` or `reference`, which are the same here.

    Returns:
        One number per pair; 0 where a cloud is empty. Points that are not finite count as padding.

    Raises:
        ValueError: Shapes, devices, lengths or directions do not fit, power or projections is below 1.
        TypeError: The points are not floating point tensors of one dtype.
    """
    reference_only("sliced_wasserstein", backend)
    if not power >= 1:
        raise ValueError(f"power must be at least 1, given {power}")
    a, b = (_measure(cloud) for cloud in cloud_pair(("x", "y"), x, y, x_lengths, y_lengths))
    lines = _lines(projections, a.points, generator)
    rows_a, rows_b, share = _common_quantiles(a.there, b.there)
    gaps = (_at_ranks(a, lines, rows_a) - _at_ranks(b, lines, rows_b)).abs()
    mean = (gaps.pow(power) * share[:, None].to(gaps)).sum(2).mean(1)
    positive = mean > 0
    return torch.where(positive, torch.where(positive, mean, 1).pow(1 / power), 0)


def directions(count: int, dimension: int, generator: torch.Generator | None = None) -> Float[Tensor, "count d"]:
    """Return unit vectors spread uniformly at random over the sphere, drawn where the generator lives.

    Args:
        count: How many.
        dimension: Coordinates of a vector.
        generator: Source of everything random in it.
    """
    device = generator.device if generator else None
    return torch.nn.functional.normalize(torch.randn((count, dimension), generator=generator, device=device), dim=1)


class _Measure(NamedTuple):
    """Uniform distributions over the points that are there, of at least one row; zeros elsewhere."""

    points: Float[Tensor, "b p d"]
    there: Bool[Tensor, "b p"]

    @property
    def log_weights(self) -> Float[Tensor, "b p"]:
        """-log n on points, -inf on padding; 0 all over empty clouds, so that nothing made of it is NaN."""
        count = self.there.sum(1, keepdim=True).to(self.points.dtype)
        return torch.where(self.there, -count.log(), torch.where(count > 0, -torch.inf, 0))


def _measure(cloud: Clouds) -> _Measure:
    points, there = cloud.points, cloud.valid
    if points.shape[1] == 0:
        points, there = points.new_zeros((len(points), 1, points.shape[2])), there.new_zeros((len(points), 1))
    return _Measure(torch.where(there[..., None], points, 0), there)


def _centred(measure: _Measure) -> tuple[_Measure, Float[Tensor, "b d"]]:
    """The distribution around its mean, and the mean in float64: the squared distances of both add up."""
    mean = measure.points.double().sum(1) / measure.there.sum(1, keepdim=True).clamp(min=1)
    around = (measure.points - mean[:, None]).to(measure.points.dtype)
    return _Measure(torch.where(measure.there[..., None], around, 0), measure.there), mean


def _entropic(a: _Measure, b: _Measure, eps: float, iterations: int) -> Float[Tensor, " b"]:
    """OT_eps, from below; costs are sums of squared differences, as autocast would halve products."""
    sides = zip(a.points.unbind(-1), b.points.unbind(-1), strict=True)
    cost = functools.reduce(torch.add, ((p[:, :, None] - q[:, None]).square() for p, q in sides))
    log_a, log_b, final = a.log_weights, b.log_weights, cost.new_full((len(cost),), eps)
    f, g = search_potentials(cost.detach(), log_a, log_b, eps, iterations)
    best_f, best_g = soft_minimum(cost, log_b, g, final), soft_minimum(cost.mT, log_a, f, final)
    return (log_a.exp() * (f + best_f)).sum(1) / 2 + (log_b.exp() * (g + best_g)).sum(1) / 2


def potentials(cost: Tensor, log_a: Tensor, log_b: Tensor, eps: float, iterations: int) -> tuple[Tensor, Tensor]:
    """Potentials (B, P) and (B, Q) of costs (B, P, Q) for weights with these logarithms.

    Args:
        cost: Cost of each pair.
        log_a: Logarithms of the first weights (B, P).
        log_b: Logarithms of the second weights (B, Q).
        eps: Strength of the entropy, in units of the cost.
        iterations: Rounds, each of which updates both potentials.
    """
    start, reverse = cost.amax((1, 2)).clamp(min=eps), cost.mT.contiguous()
    f, g = torch.zeros_like(log_a), torch.zeros_like(log_b)
    for step in range(iterations):
        annealed = start * (eps / start) ** min(1.0, step / (ANNEALED * iterations))
        f = torch.lerp(f, soft_minimum(cost, log_b, g, annealed), RELAXATION)
        g = torch.lerp(g, soft_minimum(reverse, log_a, f, annealed), RELAXATION)
    return f, g


search_potentials = operator(
    potentials, lambda cost, log_a, log_b, eps, iterations: (torch.empty_like(log_a), torch.empty_like(log_b))
)


def soft_minimum(
    cost: Float[Tensor, "b p q"], log_b: Float[Tensor, "b q"], g: Float[Tensor, "b q"], eps: Float[Tensor, " b"]
) -> Float[Tensor, "b p"]:
    """-eps log sum_j b_j exp((g_j - C_ij) / eps).

    Args:
        cost: Cost of each pair (B, P, Q).
        log_b: Logarithms of the second weights (B, Q).
        g: Potentials of the second points.
        eps: Strength of the entropy, in units of the cost.
    """
    eps = eps[:, None]
    exponents = torch.addcmul((log_b + g / eps)[:, None], cost, -1 / eps[..., None])
    highest = exponents.detach().amax(2)
    terms = exponents.sub_(highest[..., None]).clamp_(min=NOTHING).exp_()
    return -eps * (terms.sum(2).log() + highest)


def _lines(projections: int | Tensor, points: Tensor, generator: torch.Generator | None) -> Float[Tensor, "l d"]:
    if not isinstance(projections, Tensor):
        check_count("projections", projections)
        return directions(projections, points.shape[2], generator).to(points)
    if projections.ndim != 2 or len(projections) == 0 or projections.shape[1] != points.shape[2]:
        raise ValueError(
            f"projections must be directions (L, {points.shape[2]}), given shape {tuple(projections.shape)}"
        )
    return projections.to(points)


def _common_quantiles(
    a: Bool[Tensor, "b p"], b: Bool[Tensor, "b q"]
) -> tuple[Int[Tensor, "b r"], Int[Tensor, "b r"], Float[Tensor, "b r"]]:
    """Ranks in both clouds wherever both quantile functions are constant, and for what share they are.

    Of n and m points, the quantiles change at i / n and j / m: integers in units of 1 / (n m). Shares sum to 1, to 0
    where a cloud is empty.
    """
    n, m = a.sum(1, keepdim=True), b.sum(1, keepdim=True)
    ends = [torch.arange(1, mask.shape[1] + 1, device=a.device) * other for mask, other in ((a, m), (b, n))]
    levels = torch.nn.functional.pad(torch.cat(ends, dim=1).minimum(n * m).sort(dim=1).values, (1, 0))
    ranks = [
        (levels[:, :-1] // other.clamp(min=1)).minimum((count - 1).clamp(min=0)) for count, other in ((n, m), (m, n))
    ]
    return ranks[0], ranks[1], levels.diff(dim=1) / (n * m).clamp(min=1).double()


def _at_ranks(measure: _Measure, lines: Float[Tensor, "l d"], ranks: Int[Tensor, "b r"]) -> Float[Tensor, "b l r"]:
    """Projections of the points of these ranks along each line, 0 for empty clouds."""
    coordinates = zip(measure.points.unbind(-1), lines.unbind(-1), strict=True)
    along = functools.reduce(torch.add, (p[:, None] * u[:, None] for p, u in coordinates))
    ordered = torch.where(measure.there[:, None], along, torch.inf).sort(dim=2).values
    ordered = torch.where(length_mask(measure.there.sum(1), along.shape[2])[:, None], ordered, 0)
    return ordered.gather(2, ranks[:, None].expand(-1, len(lines), -1))
