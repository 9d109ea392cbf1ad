"""Steering of the embedded chairs: reward gained, and what it costs in network calls and in likelihood.

python -m benchmarks.steering --out docs/results

Every method starts from the same noises (tilting and best of n from more of them) and steers towards a reward;
diffusion posterior sampling (`dps`) does so with the instantaneous denoiser of the same weights. How far the result is from
what the model makes by itself is measured by the model's own likelihood, which no method knows.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geomflow import shelves, steer
from geomflow.flow import FlowMap
from geomflow.flow.random import generator_of, normal
from geomflow.flow.sampler import on_clock
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines._meshing import Meshing
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.steer.reward import score
from geomflow.steer.steered import Steered
from geomflow.viz import contact_sheet, save_png

SHAPES, REFERENCE, POPULATION = 8, 32, 32
LEVELS = torch.logspace(math.log10(20), -1, 12, dtype=torch.float64)
"""Noise-to-signal ratios at which the likelihood is measured."""
DRAWS = 2
RESOLUTION = 64


@dataclass
class Row:
    """One setting of one method."""

    method: str
    steps: str
    strength: float
    calls: float
    gradients: float
    reward: float
    nats: float
    moved: float
    solid: float
    seconds: float


def likelihood(flow_map: FlowMap, data: Tensor) -> Tensor:
    """Minus the log-likelihood of each row in nats per number, up to a constant.

    It is half the integral of the denoiser's squared error over the signal-to-noise ratio (Guo, Shamai, Verdu 2005;
    Kong, Brekelmans, Ver Steeg, arXiv 2302.03792), the same noises for all.
    """
    width = float((LEVELS[0] / LEVELS[1]).log())
    formulation, total = flow_map.formulation, torch.zeros(len(data))
    for level, ratio in enumerate(LEVELS):
        t = float(formulation.path.time(ratio))
        for draw in range(DRAWS):
            noise = normal(data.shape, generator_of(level, draw))
            x = formulation.x_t(data, noise, on_clock(t, data, "t"))
            field = flow_map.instantaneous_field(x, t)
            error = (formulation.convert(field, x, on_clock(t, x, "t"), "data") - data).square().flatten(1).mean(1)
            total += width / DRAWS * error / float(ratio) ** 2
    return total


def settings(flow_map: FlowMap, reward: ShapeReward, noise: Tensor, more: Tensor, spread: float) -> Iterator[tuple]:
    """Method, number of steps, strength in spreads, share of noises per shape, and the call."""

    def row(method: Callable[..., Steered], steps: int, strength: float, **options) -> tuple:
        return (
            method.__name__,
            str(steps),
            strength,
            1,
            lambda: method(flow_map, reward, noise, steps, strength / spread, **options),
        )

    numbers = noise[0].numel()
    yield from (row(steer.dps, steps, s) for steps in (8, 16) for s in (1.0, 2.0, 4.0))
    yield from (row(steer.dps, 32, s) for s in (2.0, 4.0))
    yield from (row(steer.guide, steps, s) for steps in (1, 2, 3) for s in (1.0, 2.0, 4.0))
    for rounds in (1, 3):
        for s in (2.0, 4.0):
            angle = s / math.sqrt(numbers) / rounds
            yield "ascend", str(rounds), s, 1, lambda r=rounds, a=angle: steer.ascend(flow_map, reward, noise, r, a)
    yield row(steer.langevin, 8, 4.0, generator=generator_of(0, 3))
    for s in (1.0, 2.0):
        chance = generator_of(0, 4)
        yield (
            "tilt",
            f"4, {POPULATION} particles",
            s,
            POPULATION / SHAPES,
            lambda s=s, g=chance: steer.tilt(flow_map, reward, more, 4, s / spread, generator=g),
        )
    yield "best_of_n", "2, n = 4", 0.0, 4, lambda: steer.best_of_n(flow_map, reward, more, POPULATION // SHAPES, 2)


@torch.no_grad()
def measure(pipe: ShapePipeline, name: str) -> tuple[list[Row], dict[str, Tensor], float]:
    """A row per setting, the latents of each, and the spread of the reward."""
    flow_map, reward = pipe.model.flow_map, ShapeReward(pipe.model, shelves.load("rewards", name), name)
    reference = noise_of(pipe.model, REFERENCE, 0)
    plain = flow_map.sample(reference, 2)
    values, noise = score(reward, plain), reference[:SHAPES]
    spread, base = float(values.std()), likelihood(flow_map, plain[:SHAPES])
    rows = [_row(pipe, "none", "2", 0.0, Steered(plain[:SHAPES], values[:SHAPES], 2), 1, plain, base, 0.0)]
    latents = {"none": plain[:SHAPES]}
    for method, steps, strength, share, call in settings(flow_map, reward, noise, reference[:POPULATION], spread):
        begin = time.perf_counter()
        found = call()
        seconds = time.perf_counter() - begin
        rows.append(_row(pipe, method, steps, strength, found, share, plain, base, seconds))
        latents.setdefault(f"{method} {steps} {strength:g}", found.data)
        print(rows[-1], flush=True)
    return rows, latents, spread


def _row(
    pipe: ShapePipeline,
    method: str,
    steps: str,
    strength: float,
    found: Steered,
    share: float,
    plain: Tensor,
    base: Tensor,
    seconds: float,
) -> Row:
    """A result as a row; of a population, as many as shapes are shown."""
    data = found.data[:: len(found.data) // SHAPES]
    moved = float((data - plain[:SHAPES]).square().mean().sqrt())
    paired = method not in ("tilt", "best_of_n")
    return Row(
        method,
        steps,
        strength,
        share * found.calls,
        share * found.gradients,
        float(found.reward.mean()),
        float((likelihood(pipe.model.flow_map, data) - base).mean()),
        moved if paired else math.nan,
        float(np.mean([not pipe.shape(z, RESOLUTION).reasons for z in pipe.model.scale.restore(data)])),
        seconds,
    )


def main() -> None:
    """Measure and write steering.md and steering.png."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reward", default="stands_up")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipe = ShapePipeline.from_pretrained("chairs")
    rows, _, spread = measure(pipe, args.reward)
    print(spread)


if __name__ == "__main__":
    main()
