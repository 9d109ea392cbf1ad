"""Steering of the embedded chairs: reward gained, and what it costs in network calls and in distance from the model.

python -m benchmarks.steering --out docs/results

Every method starts from the same noises (tilting and best of n from more of them) and steers towards a reward;
diffusion posterior sampling (`dps`) does so with the instantaneous denoiser of the same weights. No choice in the
methods was made on these noises. How far a result is from what the model makes by itself is measured three times: from
what the same method makes of the same noise without a reward, from what the converged ODE makes of it, and by the
model's own likelihood, which no method knows. Rows already in the JSON are not measured again.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.steering_tables import Row, report
from geomflow import shelves, steer
from geomflow.flow import FlowMap
from geomflow.flow.random import generator_of, normal
from geomflow.flow.sampler import on_clock
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines._shape_reward import ShapeReward
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.steer.reward import score
from geomflow.steer.steered import Steered
from geomflow.viz import contact_sheet, save_png

SEED, SHAPES, POPULATION = 100, 16, 32
"""The first held-out noise, how many are measured, and how many populations have."""
REWARDS: dict[str, dict[str, Any]] = {
    "stands_up": {},
    "volume": {},
    "keep_out": {"low": (-1.0, 0.15, -1.0), "high": (1.0, 1.0, 1.0)},
}
"""Rewards and their options; the first is measured in most detail."""
DPS = {16: (1.0, 0.5)}
DPS_FIRST = {8: (0.5, 1.0, 2.0), 16: (0.5, 1.0, 2.0), 32: (0.5, 1.0), 64: (1.0,)}
"""Steps of the rival, and its strengths; for the first reward, more."""
GUIDE = {2: (8.0, 16.0, 32.0), 3: (8.0, 16.0)}
GUIDE_FIRST = {2: (8.0, 16.0, 32.0, 48.0), 3: (4.0, 8.0, 16.0, 32.0), 4: (4.0, 8.0, 16.0, 32.0)}
"""Jumps of guidance, and its strengths; for the first reward, more."""
SHEET, SHOWN = 16.0, 6
"""Strength of the picture, and shapes in a row."""
LEVELS = torch.logspace(math.log10(20), -1, 12, dtype=torch.float64)
"""Noise-to-signal ratios at which the likelihood is measured."""
RESOLUTION = 64


@dataclass(frozen=True)
class Setting:
    """One setting of one method.

    Attributes:
        method: Its name.
        rounds: Steps, jumps, rounds or candidates, in words.
        strength: In deviations of the reward of unsteered shapes.
        call: Runs it.
        plain: What it makes without a reward; None where that is of other noise.
        share: Rows of noise for each shape.
    """

    method: str
    rounds: str
    strength: float
    call: Callable[[], Steered]
    plain: Callable[[], Tensor] | None
    share: float = 1


@dataclass(frozen=True)
class Bench:
    """What all settings of a reward share: the model, the reward, its spread, noise, and the ODE's shapes."""

    pipe: ShapePipeline
    name: str
    reward: ShapeReward
    spread: float
    noise: Tensor
    ode: Tensor

    @property
    def flow_map(self) -> FlowMap:
        """The model's."""
        flow_map = self.pipe.model.flow_map
        assert flow_map is not None
        return flow_map


def likelihood(flow_map: FlowMap, data: Tensor) -> Tensor:
    """Minus the log-likelihood of each row in nats per number, up to a constant.

    It is half the integral of the denoiser's squared error over the signal-to-noise ratio (Guo, Shamai, Verdu 2005;
    Kong, Brekelmans, Ver Steeg, arXiv 2302.03792), the same noises for all.
    """
    width = float((LEVELS[0] / LEVELS[1]).log())
    formulation, total = flow_map.formulation, torch.zeros(len(data))
    for level, ratio in enumerate(LEVELS):
        t = float(formulation.path.time(ratio))
        x = formulation.x_t(data, normal(data.shape, generator_of(level, 0)), on_clock(t, data, "t"))
        field = flow_map.instantaneous_field(x, t)
        error = (formulation.convert(field, x, on_clock(t, x, "t"), "data") - data).square().flatten(1).mean(1)
        total += width * error / float(ratio) ** 2
    return total


def settings(bench: Bench) -> Iterator[Setting]:
    """What is measured of every reward."""
    flow_map, reward, noise, spread = bench.flow_map, bench.reward, bench.noise, bench.spread
    is_first = bench.name == next(iter(REWARDS))
    ours, rival = (GUIDE_FIRST, DPS_FIRST) if is_first else (GUIDE, DPS)
    for jumps in ours:
        plain = partial(flow_map.sample, noise, jumps)
        yield Setting("unsteered", f"{jumps} jumps", 0.0, partial(unsteered, plain, reward, jumps), plain)
    for jumps, strengths in ours.items():
        plain = partial(flow_map.sample, noise, jumps)
        for s in strengths:
            call = partial(steer.guide, flow_map, reward, noise, jumps, s / spread)
            yield Setting("guide", f"{jumps} jumps", s, call, plain)
    for steps, strengths in rival.items():
        plain = partial(flow_map.sample_ode, noise, steps, "euler")
        for s in strengths:
            yield Setting(
                "dps", f"{steps} steps", s, partial(steer.dps, flow_map, reward, noise, steps, s / spread), plain
            )


def further(bench: Bench) -> Iterator[Setting]:
    """What is measured of the first reward alone."""
    flow_map, reward, noise, spread = bench.flow_map, bench.reward, bench.noise, bench.spread
    plain = partial(flow_map.sample, noise, 1)
    for rounds, s in ((1, 2.0), (3, 1.0), (3, 2.0), (3, 4.0)):
        call = partial(steer.ascend, flow_map, reward, noise, rounds, s / math.sqrt(noise[0].numel()) / rounds)
        yield Setting("ascend", f"{rounds} rounds", s, call, plain)
    call = partial(steer.langevin, flow_map, reward, noise, 8, 4 / spread, generator=generator_of(SEED, 3))
    yield Setting("langevin", "8 rounds", 4.0, call, plain)
    many, each = noise_of(bench.pipe.model, 4 * SHAPES, SEED), 4
    call = partial(steer.tilt, flow_map, reward, many[:POPULATION], 4, 2 / spread, generator=generator_of(SEED, 4))
    yield Setting("tilt", f"4 steps, {POPULATION} particles", 2.0, call, None, POPULATION / SHAPES)
    call = partial(steer.best_of_n, flow_map, reward, many, each, 2)
    yield Setting("best_of_n", f"2 jumps, n = {each}", 0.0, call, None, each)


def unsteered(plain: Callable[[], Tensor], reward: ShapeReward, jumps: int) -> Steered:
    """What a map makes without steering, with its rewards."""
    data = plain()
    return Steered(data, score(reward, data), jumps)


@torch.no_grad()
def prepare(pipe: ShapePipeline, name: str) -> Bench:
    """A reward with its spread over the unsteered shapes of the first seeds, none of which is steered."""
    reward = ShapeReward(pipe.model, shelves.load("rewards", name, **REWARDS[name]), name)
    flow_map, noise = pipe.model.flow_map, noise_of(pipe.model, SHAPES, SEED)
    assert flow_map is not None
    spread = float(score(reward, flow_map.sample(noise_of(pipe.model, POPULATION, 0), 2)).std())
    return Bench(pipe, name, reward, spread, noise, flow_map.sample_ode(noise, 64))


@torch.no_grad()
def run(bench: Bench, setting: Setting) -> Row:
    """A setting, run and measured; of a population, as many as there are shapes."""
    begin = time.process_time()
    found = setting.call()
    seconds = (time.process_time() - begin) / SHAPES
    chosen = slice(None, None, len(found.data) // SHAPES)
    data, reward = found.data[chosen], found.reward[chosen]
    solid = [not bench.pipe.shape(z, RESOLUTION).reasons for z in bench.pipe.model.scale.restore(data)]
    plain = bench.flow_map.sample(bench.noise, 2) if setting.plain is None else setting.plain()
    nats = likelihood(bench.flow_map, data) - likelihood(bench.flow_map, plain)
    moved, strayed = (None, None) if setting.plain is None else (_squares(data - plain), _squares(data - bench.ode))
    calls, gradients = setting.share * found.calls, setting.share * found.gradients
    told = bench.name, setting.method, setting.rounds, setting.strength, calls, gradients
    return Row(*told, _rounded(reward), moved, strayed, _rounded(nats), solid, round(seconds, 3))


def _squares(x: Tensor) -> list[float]:
    """Mean square of each row."""
    return _rounded(x.square().flatten(1).mean(1))


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 5) for value in values.tolist()]


def measure(pipe: ShapePipeline, file: Path) -> list[Row]:
    """All rows; those that the file has are read, the others are written as they come."""
    content = json.loads(file.read_text()) if file.exists() else {"spread": {}, "rows": []}
    rows = [Row(**row) for row in content["rows"]]
    for name in REWARDS:
        bench = prepare(pipe, name)
        content["spread"][name] = bench.spread
        asked = [*settings(bench), *(further(bench) if name == next(iter(REWARDS)) else ())]
        done = {row.key for row in rows}
        for setting in asked:
            if (name, setting.method, setting.rounds, setting.strength) in done:
                continue
            rows.append(run(bench, setting))
            print(rows[-1].summary(), flush=True)
            file.write_text(json.dumps(content | {"rows": [asdict(row) for row in rows]}) + "\n")
    return rows


def picture(pipe: ShapePipeline, out: Path) -> None:
    """The same noises, unsteered and guided towards every reward."""
    sheet = list(pipe(SHOWN, 3, seed=SEED, resolution=96).meshes)
    for name, options in REWARDS.items():
        made = shelves.load("rewards", name, **options)
        result = pipe(SHOWN, 3, seed=SEED, resolution=96, reward=made, method="guide", strength=SHEET)
        told = result.settings["steering"]
        print(name, np.mean(told["before"]), "->", np.mean(told["after"]), told["network_calls"], "calls", flush=True)
        sheet += result.meshes
    save_png(contact_sheet(sheet, columns=SHOWN, size=165), out / "steering.png")


def main() -> None:
    """Measure, write steering.json and steering.png, and print the tables of steering.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/steering"))
    parser.add_argument("--picture", action="store_true", help="the picture alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    pipe = ShapePipeline.from_pretrained("chairs")
    if not args.picture:
        print(report(measure(pipe, args.out / "steering.json")))
    picture(pipe, args.out)


if __name__ == "__main__":
    main()
