"""FlowMap: a network and a formulation, together the flow map psi_{t->r} of the probability-flow ODE.

One set of weights answers for every jump: m(x, t, r) is the cumulative field, psi_{t->r}(x) = P m + Q x the jump, and
m(x, t, t) the instantaneous field, which is an ordinary diffusion or flow-matching model. So the step count is an
argument of sampling, not of training: ``sample(noise, steps=k)`` makes k jumps (cumulative flow maps, arXiv 2605.03623;
flow map matching, 2406.07507), and ``sample_ode`` integrates the instantaneous field, the reference the jumps are
measured against.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow.formulation import Formulation, per_sample

Clock = Float[Tensor, "..."] | float | int
Method = Literal["jump", "euler", "heun"]
Progress = Callable[[int, int], None]


class FlowMap(nn.Module):
    """The flow map that ``network`` parametrises under ``formulation``.

    Times ``t`` (departure) and ``r`` (arrival) are clock times from 0 (noise) to 1 (data): tensors of shape (batch,),
    or one number for the whole batch. ``x`` is any batch of states, (batch, ...). ``condition`` is passed on untouched.

    Args:
        network: called as ``network(x, t, r, condition=None)``, gives a tensor shaped like x. What it sees of x, t
            and r is scaled by the formulation's preconditioner.
        formulation: what the network's output means.
    """

    def __init__(self, network: Callable[..., Any], formulation: Formulation) -> None:
        """Joins network and formulation."""
        super().__init__()
        self.network = network
        self.formulation = formulation

    def cumulative_field(
        self, x: Float[Tensor, " batch *shape"], t: Clock, r: Clock, condition: Any = None
    ) -> Float[Tensor, " batch *shape"]:
        """m(x, t, r) of the jump from t to r.

        Raises:
            ValueError: a time is off the clock or of another shape, or the network returned another shape.
        """
        t, r = _on_clock(t, x, "t"), _on_clock(r, x, "r")
        scale = self.formulation.preconditioner
        options = {} if condition is None else {"condition": condition}
        output = self.network(per_sample(scale.c_in(t), x) * x, scale.c_noise(t), scale.c_noise(r), **options)
        if output.shape != x.shape:
            raise ValueError(f"network must return the shape of x, {tuple(x.shape)}, it gave {tuple(output.shape)}")
        return per_sample(scale.c_skip(t), x) * x + per_sample(scale.c_out(t), x) * output

    def instantaneous_field(
        self, x: Float[Tensor, " batch *shape"], t: Clock, condition: Any = None
    ) -> Float[Tensor, " batch *shape"]:
        """m(x, t, t): what the network predicts at the instant t."""
        return self.cumulative_field(x, t, t, condition)

    def forward(
        self, x: Float[Tensor, " batch *shape"], t: Clock, r: Clock, condition: Any = None
    ) -> Float[Tensor, " batch *shape"]:
        """The jump psi_{t->r}(x); exactly x at r = t."""
        field = self.cumulative_field(x, t, r, condition)
        return self.formulation.jump(field, x, _on_clock(t, x, "t"), _on_clock(r, x, "r"))

    def velocity(
        self, x: Float[Tensor, " batch *shape"], t: Clock, condition: Any = None
    ) -> Float[Tensor, " batch *shape"]:
        """dx/dt of the probability-flow ODE on the clock."""
        field = self.instantaneous_field(x, t, condition)
        return self.formulation.velocity(field, x, _on_clock(t, x, "t"))

    @torch.no_grad()
    def sample(
        self,
        noise: Float[Tensor, " batch *shape"],
        steps: int = 1,
        times: Sequence[float] | Float[Tensor, " times"] | None = None,
        condition: Any = None,
        return_path: bool = False,
        progress: Progress | None = None,
    ) -> Float[Tensor, " batch *shape"] | Float[Tensor, "times batch *shape"]:
        """Data from unit Gaussian noise in ``steps`` jumps (one network call each), without gradients.

        To differentiate through a sample, chain the jumps themselves: ``flow_map(x, t, r)``.

        Args:
            noise: unit Gaussian noise; the formulation scales it.
            steps: how many jumps, over the formulation's own grid.
            times: a grid to use instead: increasing clock times, the first 0.
            condition: passed to the network.
            return_path: give all states, (steps + 1, batch, ...), the first at t = 0.
            progress: called after every jump with the jumps done and the jumps in all.

        Raises:
            ValueError: steps below 1, or a grid that leaves the clock, does not start at 0 or does not increase.
        """
        grid = self.formulation.grid(steps).tolist() if times is None else _checked_grid(times)
        path = self._walk(self.formulation.start(noise), grid, "jump", condition, progress)
        return torch.stack(path) if return_path else path[-1]

    def enough_steps(
        self, noise: Float[Tensor, " batch *shape"], tolerance: float, most: int = 64, condition: Any = None
    ) -> int:
        """The smallest power of two of jumps whose samples differ from those of twice as many by at most ``tolerance``.

        An exact flow map does not depend on the grid, so the root-mean-square gap between N and 2 N jumps estimates the
        error without a reference. A few dozen noises are enough.

        Args:
            noise: unit Gaussian noise to measure with.
            tolerance: largest gap, in the data's unit.
            most: the answer if no smaller count is good enough.
            condition: passed to the network.

        Raises:
            ValueError: a tolerance that is not positive.
        """
        if not tolerance > 0:
            raise ValueError(f"tolerance must be positive, given {tolerance}")
        steps, coarse = 1, self.sample(noise, 1, condition=condition)
        while steps < most:
            fine = self.sample(noise, 2 * steps, condition=condition)
            if (fine - coarse).square().mean().sqrt() <= tolerance:
                break
            steps, coarse = 2 * steps, fine
        return steps

    @torch.no_grad()
    def sample_ode(
        self,
        noise: Float[Tensor, " batch *shape"],
        steps: int,
        method: Method = "heun",
        condition: Any = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, " batch *shape"]:
        """Data from noise by integrating the instantaneous field (r = t): the reference mode, without gradients.

        Each step holds the field constant, for which the formulation's P, Q are the exact solution: ``euler`` is the
        Euler method for velocities and DDIM = EDM's Euler step for data predictions; ``heun`` is of second order, with
        the mean of the fields at both ends (for data predictions this is not EDM's own Heun step but a sturdier one:
        on exact denoisers of 2-D mixtures a third to a fifth of its error at 4 steps, about the same at 18).
        Network calls: steps for euler, 2 steps - 1 for heun, whose last step is Euler's as in EDM (arXiv 2206.00364,
        algorithm 1).

        Raises:
            ValueError: steps below 1.
        """
        grid = self.formulation.grid(steps).tolist()
        return self._walk(self.formulation.start(noise), grid, method, condition, progress)[-1]

    @torch.no_grad()
    def invert(
        self,
        data: Float[Tensor, " batch *shape"],
        steps: int = 1,
        method: Method = "jump",
        condition: Any = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, " batch *shape"]:
        """Unit noise from data: the times of ``sample`` reversed, from the path's last time (EDM: sigma_min) to 0.

        A network trained on forward pairs (t <= r) alone knows backward jumps only near r = t: give it many steps, or
        ``method="heun"``, which needs only the instantaneous field.

        Raises:
            ValueError: steps below 1.
        """
        grid = self.formulation.grid(steps).tolist()[::-1]
        return self.formulation.unstart(self._walk(data, grid, method, condition, progress)[-1])

    def _walk(
        self,
        x: Float[Tensor, " batch *shape"],
        grid: list[float],
        method: Method,
        condition: Any,
        progress: Progress | None,
    ) -> list[Float[Tensor, " batch *shape"]]:
        """States at the times of ``grid``, each from the one before."""
        steps = {"jump": self.forward, "euler": self._euler, "heun": self._heun}
        if method not in steps:
            raise ValueError(f"method must be one of {', '.join(steps)}, given {method!r}")
        path = [x]
        for done, (t, r) in enumerate(pairwise(grid), start=1):
            last = done == len(grid) - 1
            step = steps["euler"] if last and method == "heun" else steps[method]
            path.append(step(path[-1], t, r, condition))
            if progress is not None:
                progress(done, len(grid) - 1)
        return path

    def _euler(
        self, x: Float[Tensor, " batch *shape"], t: float, r: float, condition: Any
    ) -> Float[Tensor, " batch *shape"]:
        """One step with the field at t held constant."""
        field = self.instantaneous_field(x, t, condition)
        return self.formulation.jump(field, x, _on_clock(t, x, "t"), _on_clock(r, x, "r"))

    def _heun(
        self, x: Float[Tensor, " batch *shape"], t: float, r: float, condition: Any
    ) -> Float[Tensor, " batch *shape"]:
        """One step with the mean of the fields at both ends."""
        start, end = _on_clock(t, x, "t"), _on_clock(r, x, "r")
        before = self.instantaneous_field(x, start, condition)
        ahead = self.formulation.jump(before, x, start, end)
        after = self.instantaneous_field(ahead, end, condition)
        return self.formulation.jump((before + after) / 2, x, start, end)


def _on_clock(time: Clock, x: Float[Tensor, " batch *shape"], name: str) -> Float[Tensor, " batch"]:
    """A time per sample, on x's device, in float32 or better.

    The range of a tensor is checked on the CPU only: elsewhere, and inside a compiled graph, the check would stall it.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    clock = torch.as_tensor(time, dtype=dtype, device=x.device)
    if clock.shape not in ((), (len(x),)):
        raise ValueError(f"{name} must be a number or have shape ({len(x)},), given shape {tuple(clock.shape)}")
    checkable = not isinstance(time, Tensor) or (clock.device.type == "cpu" and not torch.compiler.is_compiling())
    if checkable and not bool(((clock >= 0) & (clock <= 1)).all()):
        raise ValueError(f"{name} must lie on the clock [0, 1], given {time}")
    return clock.expand(len(x))


def _checked_grid(times: Sequence[float] | Float[Tensor, " times"]) -> list[float]:
    """A grid of clock times as numbers, checked."""
    grid = [float(time) for time in times]
    increasing = all(before < after for before, after in pairwise(grid))
    if len(grid) < 2 or grid[0] != 0 or grid[-1] > 1 or not increasing:
        raise ValueError(f"times must increase from 0 to at most 1, at least two of them, given {grid}")
    return grid
