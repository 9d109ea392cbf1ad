"""The cheapest one-to-one matching of two clouds, by an auction in which every row remembers its best columns.

Columns have prices, and a row wants the column of least distance plus price. Rows bid in turn: a bid takes the best
column from its owner and raises its price by as much as the second best is worse, and eps. When all rows own a column
the matching is within eps per row of the cheapest; eps falls from phase to phase (Bertsekas, Annals of Operations
Research 14, 1988; the relaxation of Bertsekas and Castanon, 1989).

A dense auction looks at all columns for every bid. Here a row keeps a list of its best columns and the value of the
last of them. Prices only rise, so a column that was not on the list is never better than that value, and the list is
made anew only when its best has passed it by `SLACK` eps: about five times per row instead of fifty. Columns lie in
blocks along a curve, so that a list is made from a few blocks, each compared in one go in float32 (with `TOLERANCE`
for its rounding) and only its close ones in float64.
"""

from typing import no_type_check

from geomflow.ops.kernels.boxes import OPTIONS
from geomflow.warp_runtime import wp

wp.set_module_options(OPTIONS)

WIDTH = 32
"""Columns per block."""

LISTED = 16
"""Columns on a row's list."""

SLACK = 16.0
"""By how many eps the best of a list may be worse than what is not on it."""

TOLERANCE = 4e-6
"""Error of values in float32, in units of the clouds' extent."""

MOST_BIDS = 4000
"""Bids per row after which an auction is given up."""

Block = wp.types.vector(length=WIDTH, dtype=wp.float32)
Values = wp.types.vector(length=LISTED, dtype=wp.float64)


@wp.func
@no_type_check
def cost(x: wp.vec3d, y: wp.vec3d, squared: wp.bool) -> wp.float64:
    """What matching two points costs."""
    d = wp.dot(x - y, x - y)
    return wp.where(squared, d, wp.sqrt(d))


@wp.func
@no_type_check
def reach(value: wp.float32, squared: wp.bool) -> wp.float32:
    """The squared distance at which a cost reaches a value; less than any where that is negative."""
    return wp.where(value < 0.0, -1.0, wp.where(squared, value, value * value))


@wp.func
@no_type_check
def gaps(q: wp.vec3, xs: Block, ys: Block, zs: Block, room: Block, squared: wp.bool) -> Block:
    """Squared distances to a block of columns, less what there is room for."""
    dx = xs - Block(q[0])
    dy = ys - Block(q[1])
    dz = zs - Block(q[2])
    apart = wp.cw_mul(dx, dx) + wp.cw_mul(dy, dy) + wp.cw_mul(dz, dz)
    if squared:
        return apart - room
    return apart - wp.cw_mul(room, room)


@wp.func
@no_type_check
def relist(
    x: wp.vec3d,
    size: wp.int32,
    squared: wp.bool,
    columns: wp.array(dtype=wp.vec3d),
    price: wp.array(dtype=wp.float64),
    xs: wp.array(dtype=Block),
    ys: wp.array(dtype=Block),
    zs: wp.array(dtype=Block),
    lower: wp.array(dtype=wp.vec3),
    upper: wp.array(dtype=wp.vec3),
    prices: wp.array(dtype=Block),
    least: wp.array(dtype=wp.float32),
    listed: wp.array(dtype=wp.int32),
    costs: wp.array(dtype=wp.float64),
) -> wp.float64:
    """Fill a row's list with its best columns and return the value of the last; what is on it before is a start."""
    q = wp.vec3(x)
    length = wp.min(LISTED, size)
    worst = wp.float64(-1.0e300)
    for a in range(length):
        worst = wp.max(worst, cost(x, columns[listed[a]], squared) + price[listed[a]])
    values = Values()
    found = wp.int32(0)
    for block in range((size + WIDTH - 1) // WIDTH):
        limit = wp.float32(worst)
        limit = limit + wp.float32(TOLERANCE) * (1.0 + wp.abs(limit))
        away = wp.max(wp.max(lower[block] - q, q - upper[block]), wp.vec3(0.0, 0.0, 0.0))
        if wp.dot(away, away) <= reach(limit - least[block], squared):
            least[block] = wp.min(prices[block])
            room = wp.max(Block(limit) - prices[block], Block(0.0))
            gap = gaps(q, xs[block], ys[block], zs[block], room, squared)
            if wp.min(gap) <= 0.0:
                for lane in range(wp.min(WIDTH, size - block * WIDTH)):
                    if gap[lane] <= 0.0:
                        j = block * WIDTH + lane
                        c = cost(x, columns[j], squared)
                        value = c + price[j]
                        if value <= worst:
                            at = wp.min(found, length - 1)
                            found = wp.min(found + 1, length)
                            while at > 0 and values[wp.max(at - 1, 0)] > value:
                                values[at] = values[at - 1]
                                listed[at] = listed[at - 1]
                                costs[at] = costs[at - 1]
                                at -= 1
                            values[at] = value
                            listed[at] = j
                            costs[at] = c
                            if found == length:
                                worst = values[length - 1]
    return wp.where(length == size, wp.float64(wp.inf), worst)


@wp.func
@no_type_check
def best_two(
    length: wp.int32,
    listed: wp.array(dtype=wp.int32),
    costs: wp.array(dtype=wp.float64),
    price: wp.array(dtype=wp.float64),
):
    """The best column of a list, its value, and the second best value."""
    best = wp.int32(-1)
    first = wp.float64(wp.inf)
    second = wp.float64(wp.inf)
    for a in range(length):
        j = listed[a]
        value = costs[a] + price[j]
        if value < first:
            second = first
            first = value
            best = j
        elif value < second:
            second = value
    return best, first, second


@wp.kernel(enable_backward=False)
@no_type_check
def auction(
    pair: wp.int32,
    squared: wp.bool,
    start: wp.float64,
    fall: wp.float64,
    end: wp.float64,
    sizes: wp.array(dtype=wp.int32),
    rows: wp.array2d(dtype=wp.vec3d),
    columns: wp.array2d(dtype=wp.vec3d),
    coordinates: wp.array3d(dtype=Block),
    lower: wp.array2d(dtype=wp.vec3),
    upper: wp.array2d(dtype=wp.vec3),
    prices: wp.array2d(dtype=Block),
    single: wp.array2d(dtype=wp.float32),
    least: wp.array2d(dtype=wp.float32),
    price: wp.array2d(dtype=wp.float64),
    listed: wp.array3d(dtype=wp.int32),
    costs: wp.array3d(dtype=wp.float64),
    bound: wp.array2d(dtype=wp.float64),
    owner: wp.array2d(dtype=wp.int32),
    chosen: wp.array2d(dtype=wp.int32),
    waiting: wp.array2d(dtype=wp.int32),
):
    """Match each pair of clouds, one per thread; `chosen` is -1 all over where the auction was given up.

    `prices` and `single` are one memory: the prices in float32, in blocks and one by one.
    """
    b = pair + wp.tid()
    size = sizes[b]
    length = wp.min(LISTED, size)
    xs = coordinates[0, b]
    ys = coordinates[1, b]
    zs = coordinates[2, b]
    for i in range(size):
        for a in range(length):
            listed[b, i, a] = wp.where(i == 0, a, listed[b, wp.max(i - 1, 0), a])
        bound[b, i] = relist(
            rows[b, i],
            size,
            squared,
            columns[b],
            price[b],
            xs,
            ys,
            zs,
            lower[b],
            upper[b],
            prices[b],
            least[b],
            listed[b, i],
            costs[b, i],
        )
    eps = start
    bids = wp.int32(0)
    going = size > 0
    while going:
        for i in range(size):
            owner[b, i] = -1
            waiting[b, i] = i
        top = size
        while top > 0 and bids < MOST_BIDS * size:
            bids += 1
            top -= 1
            i = waiting[b, top]
            best, first, second = best_two(length, listed[b, i], costs[b, i], price[b])
            if first > bound[b, i] + wp.float64(SLACK) * eps:
                bound[b, i] = relist(
                    rows[b, i],
                    size,
                    squared,
                    columns[b],
                    price[b],
                    xs,
                    ys,
                    zs,
                    lower[b],
                    upper[b],
                    prices[b],
                    least[b],
                    listed[b, i],
                    costs[b, i],
                )
                best, first, second = best_two(length, listed[b, i], costs[b, i], price[b])
            second = wp.min(second, bound[b, i] + wp.float64(SLACK) * eps)
            price[b, best] = price[b, best] + wp.where(size > 1, second - first, wp.float64(0.0)) + eps
            single[b, best] = wp.float32(price[b, best])
            if owner[b, best] >= 0:
                waiting[b, top] = owner[b, best]
                top += 1
            owner[b, best] = i
            chosen[b, i] = best
        going = eps > end and top == 0
        eps = wp.max(eps / fall, end)
    if bids >= MOST_BIDS * size:
        for i in range(size):
            chosen[b, i] = -1
