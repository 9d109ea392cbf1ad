"""FlowMap: a network and a formulation, together the flow map psi_{t->r} of the probability-flow ODE.

One set of weights answers for every jump: m(x, t, r) is the cumulative field, psi_{t->r}(x) = P m + Q x the jump, and
m(x, t, t) the instantaneous field, which is an ordinary diffusion or flow-matching model. So the step count is an
argument of sampling, not of training: ``sample(noise, steps=k)`` makes k jumps (cumulative flow maps, arXiv 2605.03623;
flow map matching, 2406.07507), and ``sample_ode`` integrates the instantaneous field, the reference the jumps are
measured against. A map that jumps to clean data well but nowhere else (consistency) is sampled with restarts
(``gamma``): jump further than asked, then add fresh noise.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.flow.condition import rows
from geomflow.flow.formulation import Formulation, checked_steps, per_sample
from geomflow.flow.sampler import Clock, Method, Progress, checked_grid, euler, ode_step, on_clock, restart, walk

logger = logging.getLogger("geomflow")

ALMOST_CLEAN = 0.999
"""Where an inverse begins if the prediction says nothing at clean data itself."""
AUTO_BATCH = 256
"""Noises on which ``steps="auto"`` decides."""


class FlowMap(nn.Module):
    """The flow map that ``network`` parametrises under ``formulation``.

    Times ``t`` (departure) and ``r`` (arrival) are clock times from 0 (noise) to 1 (data): tensors of shape (batch,),
    or one number for the whole batch. ``x`` is any batch of states, (batch, ...). ``condition`` is passed on untouched.

    Notation:
        - x: states at t, one per sample.
        - t: times of departure, a number or one per sample, in [0, 1].
        - r: times of arrival.
        - noise: unit Gaussian noise.
        - data: clean samples.
        - steps: how many jumps or steps.
        - method: how a step of the ODE is made; see ``ode_step``.
        - condition: passed to the network.
        - progress: called with the number of steps done and of all.

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
            TypeError: the network returned no tensor.
            ValueError: a time is off the clock or of another shape, or the network returned another shape.
        """
        t, r = on_clock(t, x, "t"), on_clock(r, x, "r")
        scale = self.formulation.preconditioner
        options = {} if condition is None else {"condition": condition}
        output = self.network(per_sample(scale.c_in(t), x) * x, scale.c_noise(t), scale.c_noise(r), **options)
        if not isinstance(output, Tensor):
            raise TypeError(f"network must return a tensor like x, it gave a {type(output).__name__}")
        if output.shape != x.shape:
            raise ValueError(f"network must return the shape of x, {tuple(x.shape)}, it gave {tuple(output.shape)}")
        return self.formulation.predicted(output, x, t)

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
        return self.formulation.jump(field, x, on_clock(t, x, "t"), on_clock(r, x, "r"))

    def velocity(
        self, x: Float[Tensor, " batch *shape"], t: Clock, condition: Any = None
    ) -> Float[Tensor, " batch *shape"]:
        """dx/dt of the probability-flow ODE on the clock; not finite where ``Formulation.velocity`` is not."""
        field = self.instantaneous_field(x, t, condition)
        return self.formulation.velocity(field, x, on_clock(t, x, "t"))

    @torch.no_grad()
    def sample(
        self,
        noise: Float[Tensor, " batch *shape"],
        steps: int | Literal["auto"] = 1,
        times: Sequence[float] | Float[Tensor, " times"] | None = None,
        condition: Any = None,
        return_path: bool = False,
        progress: Progress | None = None,
        tolerance: float = 1e-2,
        gamma: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " batch *shape"] | Float[Tensor, "times batch *shape"]:
        """Data from unit Gaussian noise in ``steps`` jumps (one network call each), without gradients.

        To differentiate through a sample, chain the jumps themselves: ``flow_map(x, t, r)``.

        Args:
            noise: unit Gaussian noise; the formulation scales it.
            steps: how many jumps, over the formulation's grid of jumps; ``"auto"`` for ``enough_steps``, judged on the
                first 256 noises.
            times: a grid to use instead of steps: increasing clock times, the first 0.
            condition: passed to the network.
            return_path: give all states, (steps + 1, batch, ...), the first at t = 0.
            progress: called after every jump with the jumps done and the jumps in all.
            tolerance: what ``"auto"`` asks of the samples without restarts, in the data's unit.
            gamma: share of fresh noise at every time but the last, in [0, 1]: each jump goes on to where the ratio
                sigma / signal is sqrt(1 - gamma^2) of that at r, and noise brings it back to r. 0 is deterministic,
                1 jumps to the end of the path every time (multistep consistency sampling, arXiv 2303.01469).
            generator: source of that noise.

        Raises:
            ValueError: steps below 1, a grid that leaves the clock, does not start at 0 or does not increase, or gamma
                outside [0, 1].
        """
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], given {gamma}")
        if times is not None:
            grid = checked_grid(times)
        elif steps == "auto":
            few = slice(AUTO_BATCH)
            grid = self._jump_grid(self.enough_steps(noise[few], tolerance, condition=rows(condition, few)))
        else:
            grid = self._jump_grid(steps)
        step = self if gamma == 0 else restart(self, gamma, generator)
        path = walk(step, self.formulation.start(noise), grid, condition, progress, last=self)
        return torch.stack(path) if return_path else path[-1]

    def enough_steps(
        self, noise: Float[Tensor, " batch *shape"], tolerance: float, most: int = 64, condition: Any = None
    ) -> int:
        """The smallest power of two of jumps whose samples differ from those of twice as many by at most ``tolerance``.

        An exact flow map does not depend on the grid, so the root-mean-square gap between N and 2 N jumps estimates
        the error without a reference. A few dozen noises are enough. If no power of two up to ``most`` is enough, the
        answer is the largest, with a warning.

        Args:
            noise: unit Gaussian noise to measure with.
            tolerance: largest gap, in the data's unit.
            most: the answer is not larger.
            condition: passed to the network.

        Raises:
            ValueError: a tolerance that is not positive.
        """
        if not tolerance > 0:
            raise ValueError(f"tolerance must be positive, given {tolerance}")
        steps, coarse = 1, self.sample(noise, 1, condition=condition)
        while True:
            fine = self.sample(noise, 2 * steps, condition=condition)
            gap = float((fine - coarse).square().mean().sqrt())
            if gap <= tolerance:
                return steps
            if 2 * steps > most:
                logger.warning("%d and %d steps still differ by %.3g, asked was %g", steps, 2 * steps, gap, tolerance)
                return steps
            steps, coarse = 2 * steps, fine

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
        return self._follow(method, self.formulation.start(noise), self._grid(steps), condition, progress)

    def integrate(
        self,
        x: Float[Tensor, " batch *shape"],
        t: Clock,
        r: Clock,
        steps: int,
        method: Method = "heun",
        condition: Any = None,
    ) -> Float[Tensor, " batch *shape"]:
        """The jump from t to r by the ODE of the instantaneous field, in ``steps`` steps uniform in the clock.

        Raises:
            ValueError: steps below 1, a time off the clock, or an unknown method.
        """
        start, end, total = on_clock(t, x, "t"), on_clock(r, x, "r"), checked_steps(steps)
        grid = [torch.lerp(start, end, step / total) for step in range(total + 1)]
        return self._follow(method, x, grid, condition)

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
        ``method="heun"``, which needs only the instantaneous field. A data prediction determines no jump away from
        clean data; on a path that ends there (x1-prediction) the data are taken for states at t = 0.999.

        Raises:
            ValueError: steps below 1, or an unknown method.
        """
        grid = (self._jump_grid if method == "jump" else self._grid)(steps)[::-1]
        if self.formulation.predicts == "data" and self.formulation.ends_clean:
            grid[0] = ALMOST_CLEAN
        return self.formulation.unstart(self._follow(method, data, grid, condition, progress))

    def _follow(
        self, method: Method, x: Tensor, grid: Sequence[Clock], condition: Any, progress: Progress | None = None
    ) -> Float[Tensor, " batch *shape"]:
        """The state at the end of a grid; Heun's last step is Euler's, which asks for no field at the end."""
        last = euler(self) if method == "heun" else None
        return walk(ode_step(self, method), x, grid, condition, progress, last)[-1]

    def _jump_grid(self, steps: int) -> list[float]:
        """The formulation's grid of jumps as numbers."""
        return self.formulation.jump_grid(steps).tolist()

    def _grid(self, steps: int) -> list[float]:
        """The formulation's grid as numbers."""
        return self.formulation.grid(steps).tolist()
