"""Walking a grid of times: the kinds of steps a flow map can make, and the loop that makes them.

A step takes (x, t, r, condition) to the state at r. The flow map's own jump is one; the others are built from it here.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.formulation import Formulation, per_sample
from geomflow.flow.random import normal

Clock = Float[Tensor, "..."] | float | int
Method = Literal["jump", "euler", "heun"]
Progress = Callable[[int, int], None]
State = Float[Tensor, " batch *shape"]
Step = Callable[[State, Clock, Clock, Any], State]


@runtime_checkable
class Map(Protocol):
    """What steps are built from: a flow map."""

    formulation: Formulation

    def __call__(self, x: State, t: Clock, r: Clock, condition: Any = None) -> State:
        """The jump."""
        ...

    def instantaneous_field(self, x: State, t: Clock, condition: Any = None) -> State:
        """The prediction at an instant.

        Args:
            x: states, one per sample.
            t: their times.
            condition: passed to the network.
        """
        ...


def walk(
    step: Step,
    x: State,
    grid: Sequence[Clock],
    condition: Any = None,
    progress: Progress | None = None,
    last: Step | None = None,
) -> list[State]:
    """States at the times of ``grid``, each a step from the one before, the last step by ``last`` if given.

    Args:
        step: how each step is made.
        x: states, one per sample.
        grid: clock times, the first that of ``x``.
        condition: passed to the network.
        progress: called with the number of steps done and of all.
        last: how the last step is made; like the others if None.
    """
    path, total = [x], len(grid) - 1
    for done, (t, r) in enumerate(pairwise(grid), start=1):
        path.append((last or step if done == total else step)(path[-1], t, r, condition))
        if progress is not None:
            progress(done, total)
    return path


def ode_step(flow_map: Map, method: Method) -> Step:
    """The step of a method by name.

    Args:
        flow_map: the map that steps are made from.
        method: ``jump``, ``euler`` or ``heun``.

    Raises:
        ValueError: no such method.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, given {method!r}")
    return {"jump": flow_map, "euler": euler(flow_map), "heun": heun(flow_map)}[method]


def euler(flow_map: Map) -> Step:
    """Steps with the field at t held constant; in the ODE's linear part they are exact.

    Args:
        flow_map: the map that steps are made from.
    """

    def step(x: State, t: Clock, r: Clock, condition: Any) -> State:
        field = flow_map.instantaneous_field(x, t, condition)
        return flow_map.formulation.jump(field, x, on_clock(t, x, "t"), on_clock(r, x, "r"))

    return step


def heun(flow_map: Map) -> Step:
    """Steps with the mean of the fields at both ends, the second where an Euler step would land.

    Args:
        flow_map: the map that steps are made from.
    """

    def step(x: State, t: Clock, r: Clock, condition: Any) -> State:
        start, end = on_clock(t, x, "t"), on_clock(r, x, "r")
        before = flow_map.instantaneous_field(x, start, condition)
        ahead = flow_map.formulation.jump(before, x, start, end)
        after = flow_map.instantaneous_field(ahead, end, condition)
        return flow_map.formulation.jump((before + after) / 2, x, start, end)

    return step


def restart(flow_map: Map, gamma: float, generator: torch.Generator | None) -> Step:
    """Jumps that go on to a lower noise level than asked, and are brought back by fresh noise.

    With rho = sigma / signal, the jump ends at r' where rho' = sqrt(1 - gamma^2) rho(r), or at the path's end; then

        x_r = (a_r / a_r') psi + sqrt(b_r^2 - (a_r b_r' / a_r')^2) noise,

    gamma b_r noise if r' is on the path. The distribution of the states at r stays that of the path.

    Args:
        flow_map: the map that steps are made from.
        gamma: share of the arrival's noise that is fresh, from 0 to 1.
        generator: source of the fresh noise; torch's own if None.

    Raises:
        ValueError: the states lie on a manifold, where no multiple of noise can be added.
    """
    if not flow_map.formulation.linear:
        raise ValueError(f"gamma must be 0 where states lie on a manifold, given {gamma}")

    def step(x: State, t: Clock, r: Clock, condition: Any) -> State:
        mean, fresh = before_noise(flow_map, x, t, r, gamma, condition)
        return mean + per_sample(fresh, x) * normal(x.shape, generator, x.dtype, x.device)

    return step


def before_noise(
    flow_map: Map, x: State, t: Clock, r: Clock, gamma: float, condition: Any = None
) -> tuple[State, Float[Tensor, " batch"]]:
    """Where a restart is before its noise, (a_r / a_r') psi, and the standard deviation of that noise.

    Args:
        flow_map: the map that steps are made from.
        x: states, one per sample.
        t: their times.
        r: times of arrival.
        gamma: share of the arrival's noise that is fresh, from 0 to 1.
        condition: passed to the network.
    """
    path, arrival = flow_map.formulation.path, on_clock(r, x, "r")
    beyond = path.time((1 - gamma**2) ** 0.5 * path.sigma(arrival) / path.signal(arrival)).maximum(arrival)
    shrink = path.signal(arrival) / path.signal(beyond)
    fresh = (path.sigma(arrival) ** 2 - (shrink * path.sigma(beyond)) ** 2).clamp(min=0).sqrt()
    return per_sample(shrink, x) * flow_map(x, t, beyond, condition), fresh


def on_clock(time: Clock, x: State, name: str) -> Float[Tensor, " batch"]:
    """A time per sample, on x's device, in float32 or better.

    The range of a tensor is checked on the CPU only: elsewhere, and inside a compiled graph, the check would stall it.

    Args:
        time: a clock time, or one per sample.
        x: states, one per sample.
        name: what errors call it.

    Raises:
        ValueError: a time outside [0, 1], or neither a number nor one per sample.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    clock = torch.as_tensor(time, dtype=dtype, device=x.device)
    if clock.shape not in ((), (len(x),)):
        raise ValueError(f"{name} must be a number or have shape ({len(x)},), given shape {tuple(clock.shape)}")
    if isinstance(time, Tensor):
        checkable = time.device.type == "cpu" and not torch.compiler.is_compiling()
        inside = not checkable or bool(((time >= 0) & (time <= 1)).all())
    else:
        inside = 0 <= time <= 1
    if not inside:
        raise ValueError(f"{name} must lie on the clock [0, 1], given {time}")
    return clock.expand(len(x))


def checked_grid(times: Sequence[float] | Float[Tensor, " times"]) -> list[float]:
    """A grid of clock times as numbers.

    Args:
        times: clock times.

    Raises:
        ValueError: it does not start at 0, leaves the clock or does not increase.
    """
    grid = [float(time) for time in times]
    increasing = all(before < after for before, after in pairwise(grid))
    if len(grid) < 2 or grid[0] != 0 or grid[-1] > 1 or not increasing:
        raise ValueError(f"times must increase from 0 to at most 1, at least two of them, given {grid}")
    return grid
