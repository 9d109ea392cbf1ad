"""The cheapest one-to-one matching of two clouds: by SciPy, which defines it, and by auctions from coarse to fine.

An auction (`geomflow.ops.kernels.auction`) is quick where its prices start near the right ones. So every fourth point
of both clouds is matched first, in the same way, and tells prices to all columns: what a column is worth to the row
that wants it most, max_i (u_i - |x_i - y_j|), where u_i is what row i paid in all. Clouds are put in the order of a
Hilbert curve before, so that every fourth point is a fair sample.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.ops.batches import length_mask
from geomflow.ops.transport import potentials, soft_minimum

PRICED = 512
"""Points from which on estimated prices are worth the time to estimate them."""

SAMPLED = 4
"""One in so many points is used to estimate prices, or matched first."""

FEWEST = 128
"""Least points that are left when every fourth is taken."""

START, FALL, END = 0.05, 5.0, 1e-11
"""By how much bids outdo others at first, what this is divided by from phase to phase, and at last, in extents."""

COARSE, REFINED = 5e-4, 5e-3
"""The same at the end of a coarse level, and at the start of the next one."""

ROOM = 1 << 17
"""Points that are matched at a time: about 30 MB of lists."""


FAR = 1e6
"""Coordinates of padding, in extents."""


def assignment_reference(
    x: Float[Tensor, "b p d"], y: Float[Tensor, "b p d"], lengths: Int[Tensor, " b"], squared: bool
) -> Int[Tensor, "b p"]:
    """Return the row of y for each row of x, -1 on padding, by Jonker and Volgenant's algorithm in float64.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, P, D).
        lengths: Points of each cloud of either (B,).
        squared: Whether the cost is the squared distance.
    """
    clouds = [[row[:n] for row, n in zip(c.cpu().double().numpy(), lengths.tolist(), strict=True)] for c in (x, y)]
    idx = torch.full(x.shape[:2], -1, dtype=torch.int64)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for row, found in zip(idx, pool.map(_matched, *clouds, [squared] * len(x)), strict=True):
            row[: len(found)] = torch.from_numpy(found)
    return idx.to(x.device)


def assignment_warp(
    x: Float[Tensor, "b p d"], y: Float[Tensor, "b p d"], lengths: Int[Tensor, " b"], squared: bool
) -> Int[Tensor, "b p"]:
    """Return what `assignment_reference` does, for up to three coordinates.

    The mean cost is above the least one by at most 2e-10 of the clouds' extent (or of its square), usually less
    than what parts the two best matchings of points in general position.

    Args:
        x: Clouds (B, P, D).
        y: Clouds (B, P, D).
        lengths: Points of each cloud of either (B,).
        squared: Whether the cost is the squared distance.
    """
    step = max(1, ROOM // x.shape[1])
    parts = zip(x.split(step), y.split(step), lengths.split(step), strict=True)
    return torch.cat([_by_auction(*part, squared) for part in parts])


def _matched(x: np.ndarray, y: np.ndarray, squared: bool) -> np.ndarray:
    """The row of y for each row of x; a price on a column changes the cost of all assignments alike."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(x, y, "sqeuclidean" if squared else "euclidean")
    if len(cost) >= PRICED:
        cost -= _prices(torch.from_numpy(cost)).numpy()
    return linear_sum_assignment(cost)[1]


def _prices(cost: Float[Tensor, "n n"]) -> Float[Tensor, " n"]:
    """Estimated prices of the columns: entropic potentials of a sample of rows and columns, carried to all columns.

    SciPy's algorithm starts with prices of zero. Where clouds lie apart, as those of a generator before its training
    lie from the data, its way from there to the right ones takes ten times as long as from these.
    """
    low, high = cost.aminmax()
    width, eps = (high - low).clamp(min=torch.finfo(cost.dtype).tiny), 3e-4
    rows = ((cost[::SAMPLED] - low) / width)[None]
    sample = rows[..., ::SAMPLED]
    even = sample.new_zeros(sample.shape[:2])
    f, _ = potentials(sample, even, even, eps, 50)
    return soft_minimum(rows.mT, even, f, width.new_full((1,), eps))[0] * width


def _by_auction(x: Tensor, y: Tensor, lengths: Tensor, squared: bool) -> Int[Tensor, "b p"]:
    """Matched rows of y, found in the order of a curve and in a frame of extent 1."""
    from geomflow.ops.tree import curve_orders, three  # loads Warp

    valid = length_mask(lengths, x.shape[1])
    x, y = _framed(three(x), three(y), valid)
    x_order, y_order = (curve_orders(cloud.float(), valid) for cloud in (x, y))
    chosen, _ = _coarse_to_fine(_rows(x, x_order), _rows(y, y_order), lengths, squared, END)
    found = torch.where(valid, y_order.gather(1, chosen.clamp(min=0)), -1)
    idx = torch.full_like(found, -1).scatter(1, x_order, found)
    failed = (valid & (chosen < 0)).any(1)
    if failed.any():
        idx[failed] = assignment_reference(x[failed], y[failed], lengths[failed], squared)
    return idx


def _framed(x: Tensor, y: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds in float64, moved to the middle of their common box and divided by its longest edge."""
    there = valid[..., None]
    x, y = (cloud.double() for cloud in (x, y))
    low = torch.minimum(*(torch.where(there, c, torch.inf).amin(1, keepdim=True) for c in (x, y)))
    high = torch.maximum(*(torch.where(there, c, -torch.inf).amax(1, keepdim=True) for c in (x, y)))
    extent = (high - low).amax(2, keepdim=True)
    extent = torch.where(extent > 0, extent, 1)
    x, y = (torch.where(there, (c - (low + high) / 2) / extent, 0) for c in (x, y))
    return x, y


def _coarse_to_fine(
    x: Tensor, y: Tensor, lengths: Tensor, squared: bool, end: float
) -> tuple[Int[Tensor, "b p"], Float[Tensor, "b p"]]:
    """Column of each row and price of each column, by way of a sample where there are points enough."""
    if x.shape[1] < SAMPLED * FEWEST:
        return _auction(x, y, lengths, x.new_zeros(x.shape[:2]), squared, START, end)
    sample, columns = x[:, ::SAMPLED], y[:, ::SAMPLED]
    chosen, price = _coarse_to_fine(sample, columns, -(-lengths // SAMPLED), squared, COARSE)
    there = chosen.clamp(min=0)
    paid = price.gather(1, there) + _cost((sample - _rows(columns, there)).norm(dim=2), squared)
    paid = torch.where(chosen < 0, -torch.inf, paid)
    price = torch.stack([_worth(*pair, squared) for pair in zip(sample, paid, y, strict=True)])
    return _auction(x, y, lengths, price, squared, REFINED, end)


def _worth(rows: Tensor, paid: Tensor, columns: Tensor, squared: bool) -> Float[Tensor, " q"]:
    """What each column is worth to the row that wants it most; float32 will do for a start."""
    distance = _cost(torch.cdist(columns.float(), rows.float()), squared)
    return (paid.float() - distance).amax(1).double().nan_to_num(0, 0, 0)


def _cost(distance: Tensor, squared: bool) -> Tensor:
    return distance.square() if squared else distance


def _rows(points: Float[Tensor, "b p d"], index: Int[Tensor, "b q"]) -> Float[Tensor, "b q d"]:
    return points.gather(1, index[..., None].expand(-1, -1, points.shape[2]))


def _auction(
    x: Tensor, y: Tensor, lengths: Tensor, price: Tensor, squared: bool, start: float, end: float
) -> tuple[Int[Tensor, "b p"], Float[Tensor, "b p"]]:
    """Column of each row, -1 where there is none, and final price of each column."""
    from geomflow.ops.kernels import auction
    from geomflow.ops.launch import array, launch, vectors
    from geomflow.warp_runtime import wp

    valid = length_mask(lengths, x.shape[1])
    room = -x.shape[1] % auction.WIDTH
    pad = torch.nn.functional.pad
    blocks = pad(torch.where(valid[..., None], y, torch.nan).float(), (0, 0, 0, room), value=torch.nan)
    blocks = blocks.unflatten(1, (-1, auction.WIDTH))
    lower, upper = blocks.nan_to_num(torch.inf).amin(2), blocks.nan_to_num(-torch.inf).amax(2)
    single = pad(torch.where(valid, price, torch.inf).float(), (0, room), value=torch.inf).contiguous()
    least = single.unflatten(1, (-1, auction.WIDTH)).amin(2)
    lists = (*price.shape, auction.LISTED)
    listed, owner, waiting = (
        torch.empty(s, dtype=torch.int32, device=x.device) for s in (lists, price.shape, price.shape)
    )
    costs, values = (torch.empty(lists, dtype=x.dtype, device=x.device) for _ in range(2))
    bound = torch.empty_like(price)
    seen, chosen, price = torch.zeros_like(owner), torch.full_like(owner, -1), price.clone()
    inputs = [
        *(squared, start, FALL, end, array(lengths.int())),
        *(array(cloud, wp.vec3d) for cloud in (x, y)),
        array(blocks.nan_to_num(FAR).permute(3, 0, 1, 2), auction.Block),
        *(vectors(corner) for corner in (lower, upper)),
        array(single.unflatten(1, (-1, auction.WIDTH)), auction.Block),
        *(array(part) for part in (single, least, price, listed, costs, values, seen, bound, owner, chosen, waiting)),
    ]
    launch(auction.auction, len(x), inputs, x.device, fewest=1)
    return chosen.long(), price
