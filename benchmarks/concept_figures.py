"""The figures of docs/concepts.md, from distributions whose flow maps are known exactly: nothing in them is trained.

python -m benchmarks.concept_figures --out docs/figures
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowMap, Formulation
from geomflow.flow import Path as FlowPath
from tests.flow.oracles import ExactField, Mixture, eight_gaussians

FORMULATIONS = ("u_prediction", "x1_prediction", "edm", "ddim")
BLUE, ORANGE, GREY = "#1f5fa8", "#d9772b", "#9aa0a6"


def two_bumps() -> Mixture:
    """Two unequal Gaussians on a line."""
    values = torch.tensor([[-0.9], [0.8]]), torch.tensor([[0.15], [0.3]]), torch.tensor([0.4, 0.6])
    return Mixture(*(value.double() for value in values))


def trajectories(mixture: Mixture, path: FlowPath, starts: Tensor, clock: Tensor) -> Tensor:
    """Exact states (times, n, d) at the times of a clock, from states at its first."""
    states = [starts]
    for t, r in pairwise(clock):
        times = (time.expand(len(starts)) for time in (t, r))
        states.append(mixture.integrate(path, states[-1], *times, steps=8))
    return torch.stack(states)


def line_trajectories(path: FlowPath, count: int = 15) -> tuple[Tensor, Tensor]:
    """A clock, and the way of evenly spread noise along it, from noise of unit size to the two bumps."""
    clock = torch.linspace(0, 1 - 1e-3, 61, dtype=torch.float64)
    quantiles = torch.linspace(0.02, 0.98, count, dtype=torch.float64)
    noise = 2**0.5 * torch.erfinv(2 * quantiles - 1)[:, None]
    return clock, trajectories(two_bumps(), path, path.sigma(clock[:1]) * noise, clock)[..., 0]


def panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    """Axes without frames above and on the right, row by row."""
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, list(axes.flat)


def two_times() -> Figure:
    """Trajectories from noise to data, and three jumps of their flow map."""
    figure, (axis,) = panels(1, 1, (6.4, 3.2))
    clock, states = line_trajectories(shelves.load("formulations", "u_prediction").path)
    axis.plot(clock, states, color=GREY, linewidth=0.8)
    for row, (start, end) in ((3, (0, 60)), (8, (12, 45)), (12, (30, 60))):
        _jump(axis, clock, states[:, row], start, end)
    axis.set(xlabel="clock: noise at t = 0, data at t = 1", ylabel="x")
    return figure


def formulations() -> Figure:
    """Coefficients of data and noise on each path, and where its ODE goes, in units of the state's size."""
    figure, axes = panels(2, 4, (10, 4.6))
    for name, above, below in zip(FORMULATIONS, axes[:4], axes[4:], strict=True):
        path = shelves.load("formulations", name).path
        clock, states = line_trajectories(path)
        signal, sigma = path.signal(clock), path.sigma(clock)
        above.plot(clock, signal, color=BLUE, label="data")
        above.plot(clock, sigma, color=ORANGE, label="noise")
        above.set(title=name, yscale="log" if sigma[0] > 2 else "linear")
        below.plot(clock, states / (signal**2 + sigma**2).sqrt()[:, None], color=GREY, linewidth=0.8)
        below.set(xlabel="t")
    axes[0].legend(frameon=False, fontsize=8)
    axes[0].set(ylabel="coefficient")
    axes[4].set(ylabel="x / size of x")
    return figure


def identities() -> Figure:
    """Three laws of a flow map on exact trajectories: two jumps make one; departures slide; arrivals move on."""
    figure, axes = panels(1, 3, (10, 3))
    clock, states = line_trajectories(shelves.load("formulations", "u_prediction").path)
    way = states[:, 8]
    for axis in axes:
        axis.plot(clock, states, color=GREY, linewidth=0.5)
        axis.set(xlabel="t", ylim=(-1.6, 1.9))
    _jump(axes[0], clock, way, 6, 54)
    _jump(axes[0], clock, way, 6, 28, ORANGE)
    _jump(axes[0], clock, way, 28, 54, ORANGE)
    for start in (6, 14, 22):
        _jump(axes[1], clock, way, start, 54, BLUE if start == 6 else ORANGE)
    for end in (40, 47, 54):
        _jump(axes[2], clock, way, 6, end, BLUE if end == 54 else ORANGE)
    titles = (
        "semigroup: two jumps are one",
        "Eulerian: departures on one way land together",
        "Lagrangian: landings move as x does",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure


def few_steps(count: int = 1500) -> Figure:
    """Samples of the exact map in one and two jumps, and by Euler's method on the exact field in 2, 4 and 16 steps."""
    figure, axes = panels(1, 5, (11, 2.5))
    formulation = shelves.load("formulations", "u_prediction")
    flow_map = exact_flow_map(eight_gaussians(), formulation)
    noise = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = [(f"map, {steps} call{'s' * (steps > 1)}", flow_map.sample(noise, steps), BLUE) for steps in (1, 2)]
    drawn += [(f"Euler, {n} calls", flow_map.sample_ode(noise, n, method="euler"), ORANGE) for n in (2, 4, 16)]
    for axis, (title, points, color) in zip(axes, drawn, strict=True):
        axis.scatter(*points.T, s=1, color=color, linewidths=0)
        axis.set(title=title, xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal", xticks=[], yticks=[])
    return figure


def exact_flow_map(mixture: Mixture, formulation: Formulation) -> FlowMap:
    """The flow map of a mixture, whose network is the exact cumulative field."""
    return FlowMap(
        ExactField(mixture, formulation, lambda x, t, r: mixture.integrate(formulation.path, x, t, r)), formulation
    )


def _jump(axis: Axes, clock: Tensor, way: Tensor, start: int, end: int, color: str = BLUE) -> None:
    """An arrow from one point of a trajectory to another."""
    ends = [(float(clock[i]), float(way[i])) for i in (start, end)]
    axis.annotate(
        "",
        ends[1],
        ends[0],
        arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0},
    )
    axis.plot(*zip(*ends, strict=True), "o", color=color, markersize=3)


def main() -> None:
    """Write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for draw in (two_times, formulations, identities, few_steps):
        draw().savefig(options.out / f"{draw.__name__}.png", dpi=96)


if __name__ == "__main__":
    main()
