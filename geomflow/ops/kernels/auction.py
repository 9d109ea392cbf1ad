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

The loops that run millions of times are `while` loops: on the CPU, a `range` whose end is not known when the kernel is
compiled costs more than what is in it.
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


@wp.func
@no_type_check
def cost(x: wp.vec3d, y: wp.vec3d, squared: wp.bool) -> wp.float64:
    """What matching two points costs."""
    d = wp.dot(x - y, x - y)
    return wp.where(squared, d, wp.sqrt(d))


@wp.func
@no_type_check
def outside(q: wp.float32, low: wp.float32, high: wp.float32) -> wp.float32:
    """How far a number is out of an interval; unlike `wp.max`, `wp.where` is no function call on the CPU."""
    return wp.where(q < low, low - q, wp.where(q > high, q - high, 0.0))


@wp.func
@no_type_check
def box_squared(q: wp.vec3, low: wp.vec3, high: wp.vec3) -> wp.float32:
    """Squared distance to a box."""
    away = wp.vec3(outside(q[0], low[0], high[0]), outside(q[1], low[1], high[1]), outside(q[2], low[2], high[2]))
    return wp.dot(away, away)


@wp.func
@no_type_check
def reach(room: wp.float32, squared: wp.bool) -> wp.float32:
    """The squared distance that costs as much as there is room for, negative where there is none."""
    return wp.where(squared, room, room * wp.abs(room))


@wp.func
@no_type_check
def gaps(q: wp.vec3, xs: Block, ys: Block, zs: Block, room: Block, squared: wp.bool) -> Block:
    """Squared distances to a block of columns, less those that cost as much as there is room for."""
    dx = xs - Block(q[0])
    dy = ys - Block(q[1])
    dz = zs - Block(q[2])
    apart = wp.cw_mul(dx, dx) + wp.cw_mul(dy, dy) + wp.cw_mul(dz, dz)
    if squared:
        return apart - room
    return apart - wp.cw_mul(room, wp.abs(room))


@wp.func
@no_type_check
def least_of(prices: wp.array(dtype=wp.float32), block: wp.int32) -> wp.float32:
    """The least price of a block."""
    least = prices[block * WIDTH]
    for lane in range(1, WIDTH):
        price = prices[block * WIDTH + lane]
        least = wp.where(price < least, price, least)
    return least


@wp.func
@no_type_check
def place(
    at: wp.int32,
    column: wp.int32,
    c: wp.float64,
    value: wp.float64,
    listed: wp.array(dtype=wp.int32),
    costs: wp.array(dtype=wp.float64),
    values: wp.array(dtype=wp.float64),
):
    """Put a column on a list that is sorted before `at`; what is at that place is overwritten."""
    while at > 0 and values[wp.max(at - 1, 0)] > value:
        values[at] = values[at - 1]
        listed[at] = listed[at - 1]
        costs[at] = costs[at - 1]
        at -= 1
    values[at] = value
    listed[at] = column
    costs[at] = c


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
    values: wp.array(dtype=wp.float64),
    seen: wp.array(dtype=wp.int32),
    turn: wp.int32,
) -> wp.float64:
    """Bring a row's list up to date, best column first, and return the value of the last.

    What is on the list before, for a first list the columns of about the same number, is sorted anew and gives way to
    what is better.
    """
    q = wp.vec3(x)
    length = wp.min(LISTED, size)
    a = wp.int32(0)
    while a < length:
        j = listed[a]
        seen[j] = turn
        c = cost(x, columns[j], squared)
        place(a, j, c, c + price[j], listed, costs, values)
        a += 1
    near = listed[0] / WIDTH
    step = wp.int32(0)
    while step * WIDTH < size:
        block = wp.where(step == 0, near, wp.where(step <= near, step - 1, step))
        limit = wp.float32(values[length - 1])
        limit = limit + wp.float32(TOLERANCE) * (1.0 + wp.abs(limit))
        if box_squared(q, lower[block], upper[block]) <= reach(limit - least[block], squared):
            gap = gaps(q, xs[block], ys[block], zs[block], Block(limit) - prices[block], squared)
            lane = wp.int32(0)
            while lane < WIDTH:
                if gap[lane] <= 0.0:
                    j = block * WIDTH + lane
                    if seen[j] != turn:
                        c = cost(x, columns[j], squared)
                        if c + price[j] < values[length - 1]:
                            place(length - 1, j, c, c + price[j], listed, costs, values)
                lane += 1
        step += 1
    return wp.where(length == size, wp.float64(wp.inf), values[length - 1])


@wp.func
@no_type_check
def best_two(
    length: wp.int32,
    listed: wp.array(dtype=wp.int32),
    costs: wp.array(dtype=wp.float64),
    values: wp.array(dtype=wp.float64),
    price: wp.array(dtype=wp.float64),
):
    """The best column of a list, its value, and the second best value; no value falls under what it was when listed."""
    best = wp.int32(-1)
    first = wp.float64(wp.inf)
    second = wp.float64(wp.inf)
    a = wp.int32(0)
    while a < length and values[wp.min(a, length - 1)] < second:
        value = costs[a] + price[listed[a]]
        if value < first:
            second = first
            first = value
            best = listed[a]
        elif value < second:
            second = value
        a += 1
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
    values: wp.array3d(dtype=wp.float64),
    seen: wp.array2d(dtype=wp.int32),
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
        bound[b, i] = -wp.float64(wp.inf)  # so the first bid of the row makes its list
        for a in range(length):
            listed[b, i, a] = wp.clamp(i - length / 2, 0, size - length) + a
            costs[b, i, a] = wp.float64(0.0)
            values[b, i, a] = wp.float64(0.0)
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
            best, first, second = best_two(length, listed[b, i], costs[b, i], values[b, i], price[b])
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
                    values[b, i],
                    seen[b],
                    bids,
                )
                best, first, second = best_two(length, listed[b, i], costs[b, i], values[b, i], price[b])
            second = wp.min(second, bound[b, i] + wp.float64(SLACK) * eps)
            price[b, best] = price[b, best] + wp.where(size > 1, second - first, wp.float64(0.0)) + eps
            before = single[b, best]
            single[b, best] = wp.float32(price[b, best])
            if before == least[b, best / WIDTH]:
                least[b, best / WIDTH] = least_of(single[b], best / WIDTH)
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
