"""Steering of the embedded chairs: reward gained, and what it costs in network calls and in likelihood.

python -m benchmarks.steering --out docs/results

Every method starts from the same noises (tilting and best of n from more of them) and steers towards a reward;
diffusion posterior sampling (`dps`) does so with the instantaneous denoiser of the same weights. How far the result is
from what the model makes by itself is measured three times: from what the same method makes of the same noise without a
reward, from what the converged ODE makes of it, and by the model's own likelihood, which no method knows.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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

REWARD, SHAPES, POPULATION = "stands_up", 8, 32
DPS = ((4, (1.0,)), (8, (0.5, 1.0)), (16, (0.5, 1.0, 2.0)), (32, (0.5,)))
"""Steps of the rival, and its strengths."""
GUIDE = ((2, (8.0, 16.0)), (3, (4.0, 8.0, 12.0, 16.0, 24.0)))
"""Steps of guidance, and its strengths."""
SHEET, SHOWN = {"stands_up": 16.0, "volume": 16.0, "keep_out": 16.0}, 6
"""Rewards of the picture with their strengths, and shapes in a row."""
LEVELS = torch.logspace(math.log10(20), -1, 12, dtype=torch.float64)
"""Noise-to-signal ratios at which the likelihood is measured."""
DRAWS = 2
RESOLUTION = 64


RIVAL = "dps"


@dataclass(frozen=True)
class Setting:
    """One setting of one method.

    Attributes:
        method: Its name.
        steps: Steps or rounds, in words.
        strength: In deviations of the reward of unsteered shapes.
        call: Runs it.
        plain: What it makes without a reward; None where that is of other noise.
        share: Rows of noise for each shape.
    """

    method: str
    steps: str
    strength: float
    call: Callable[[], Steered]
    plain: Tensor | None
    share: float = 1


@dataclass(frozen=True)
class Row:
    """What came of a setting, means over the shapes.

    Attributes:
        method: Name of the method.
        steps: Steps or rounds.
        strength: In deviations.
        calls: Network calls per shape.
        gradients: How many of them were differentiated.
        reward: The reward.
        moved: Root-mean-square distance of latents from those of the same noise unsteered, in their deviations.
        strayed: The same from what the ODE of the same weights makes of the noise in 64 Heun steps.
        nats: How much less likely they are than unsteered ones, in nats per number.
        solid: Share that is one watertight solid.
        seconds: CPU time per shape.
    """

    method: str
    steps: str
    strength: float
    calls: float
    gradients: float
    reward: float
    moved: float
    strayed: float
    nats: float
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


def settings(flow_map: FlowMap, reward: ShapeReward, noise: Tensor, more: Tensor, spread: float) -> Iterator[Setting]:
    """All that is measured."""
    for steps, strengths in DPS:
        plain = flow_map.sample_ode(noise, steps, "euler")
        for s in strengths:
            call = partial(steer.dps, flow_map, reward, noise, steps, s / spread)
            yield Setting(RIVAL, str(steps), s, call, plain)
    for steps, strengths in GUIDE:
        plain = flow_map.sample(noise, steps)
        for s in strengths:
            call = partial(steer.guide, flow_map, reward, noise, steps, s / spread)
            yield Setting("guide", str(steps), s, call, plain)
    plain = flow_map.sample(noise, 1)
    for rounds, s in ((1, 2.0), (3, 1.0), (3, 2.0), (3, 4.0)):
        angle = s / math.sqrt(noise[0].numel()) / rounds
        yield Setting("ascend", str(rounds), s, partial(steer.ascend, flow_map, reward, noise, rounds, angle), plain)
    call = partial(steer.langevin, flow_map, reward, noise, 8, 4 / spread, generator=generator_of(0, 3))
    yield Setting("langevin", "8", 4.0, call, plain)
    call = partial(steer.tilt, flow_map, reward, more, 4, 2 / spread, generator=generator_of(0, 4))
    yield Setting("tilt", f"4, {len(more)} particles", 2.0, call, None, len(more) / len(noise))
    each = len(more) // len(noise)
    yield Setting(
        "best_of_n", f"2, n = {each}", 0.0, partial(steer.best_of_n, flow_map, reward, more, each, 2), None, each
    )


@torch.no_grad()
def measure(pipe: ShapePipeline) -> tuple[list[Row], float]:
    """A row per setting, the first without steering, and the spread of the reward."""
    flow_map, reward = pipe.model.flow_map, ShapeReward(pipe.model, shelves.load("rewards", REWARD), REWARD)
    more = noise_of(pipe.model, POPULATION, 0)
    every, noise = flow_map.sample(more, 2), more[:SHAPES]
    values, ode = score(reward, every), flow_map.sample_ode(noise, 64)
    spread = float(values.std())
    nothing = Steered(every[:SHAPES], values[:SHAPES], 2)
    rows = [_row(pipe, Setting("unsteered", "2", 0.0, lambda: nothing, every[:SHAPES]), every, ode)]
    for setting in settings(flow_map, reward, noise, more, spread):
        rows.append(_row(pipe, setting, every, ode))
        print(rows[-1], flush=True)
    return rows, spread


def _row(pipe: ShapePipeline, setting: Setting, every: Tensor, ode: Tensor) -> Row:
    """A setting, run and measured; of a population, as many as there are shapes."""
    begin = time.process_time()
    found = setting.call()
    seconds = time.process_time() - begin
    chosen = slice(None, None, len(found.data) // SHAPES)
    data, flow_map = found.data[chosen], pipe.model.flow_map
    plain = every if setting.plain is None else setting.plain
    solid = [not pipe.shape(z, RESOLUTION).reasons for z in pipe.model.scale.restore(data)]
    return Row(
        setting.method,
        setting.steps,
        setting.strength,
        setting.share * found.calls,
        setting.share * found.gradients,
        float(found.reward[chosen].mean()),
        math.nan if setting.plain is None else float((data - plain).square().mean().sqrt()),
        math.nan if setting.plain is None else float((data - ode).square().mean().sqrt()),
        float(likelihood(flow_map, data).mean() - likelihood(flow_map, plain).mean()),
        float(np.mean(solid)),
        seconds / SHAPES,
    )


def rivals(rows: list[Row], distance: str) -> Iterator[tuple[Row, Row | None]]:
    """For every row of the rival the cheapest of ours with at least its reward and at most its distance."""
    for rival in (row for row in rows if row.method == RIVAL):
        near = (row for row in rows if row.method != RIVAL and getattr(row, distance) <= getattr(rival, distance))
        yield rival, min((row for row in near if row.reward >= rival.reward), key=lambda row: row.calls, default=None)


def table(rows: list[Row]) -> str:
    """All rows."""
    head = [
        "method",
        "steps",
        "strength",
        "calls",
        "with gradient",
        "reward",
        "moved",
        "strayed",
        "nats",
        "solid",
        "CPU s",
    ]
    lines = [
        [
            f"`{row.method}`" if row.method != "unsteered" else row.method,
            row.steps,
            f"{row.strength:g}" if row.strength else "",
            f"{row.calls:g}",
            f"{row.gradients:g}",
            f"{row.reward:.3f}",
            "" if math.isnan(row.moved) else f"{row.moved:.3f}",
            "" if math.isnan(row.strayed) else f"{row.strayed:.3f}",
            f"{row.nats:+.3f}",
            f"{row.solid:.0%}",
            f"{row.seconds:.1f}",
        ]
        for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def against(rows: list[Row], distance: str) -> str:
    """Who does with fewer calls what the rival does, by one of the distances."""
    lines = [
        f"| `{RIVAL}`: steps, strength | reward, {distance} | cheapest of ours | reward, {distance} | fewer calls |"
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for rival, ours in rivals(rows, distance):
        cells = [
            f"{rival.steps}, {rival.strength:g}",
            f"{rival.reward:.3f}, {getattr(rival, distance):.3f}",
            "none",
            "",
            "",
        ]
        if ours:
            cells[2] = f"`{ours.method}`, {ours.steps}, {ours.strength:g}"
            cells[3:] = f"{ours.reward:.3f}, {getattr(ours, distance):.3f}", f"{rival.calls / ours.calls:.1f} times"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(pipe: ShapePipeline, out: Path) -> None:
    """The same noises, unsteered and guided towards four rewards."""
    top = shelves.load("rewards", "keep_out", low=(-1.0, 0.15, -1.0), high=(1.0, 1.0, 1.0))
    sheet = list(pipe(SHOWN, 3, resolution=96).meshes)
    for reward, strength in SHEET.items():
        made = top if reward == "keep_out" else reward
        result = pipe(SHOWN, 3, resolution=96, reward=made, method="guide", strength=strength)
        told = result.settings["steering"]
        print(reward, np.mean(told["before"]), "->", np.mean(told["after"]), flush=True)
        sheet += result.meshes
    save_png(contact_sheet(sheet, columns=SHOWN, size=200), out / "steering.png")


def main() -> None:
    """Measure and write steering.json and steering.png; print the tables of steering.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/steering"))
    parser.add_argument("--picture", action="store_true", help="the picture alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    pipe = ShapePipeline.from_pretrained("chairs")
    if not args.picture:
        rows, spread = measure(pipe)
        content = {"reward": REWARD, "spread": spread, "rows": [asdict(row) for row in rows]}
        (args.out / "steering.json").write_text(json.dumps(content, indent=1) + "\n")
        print(f"spread {spread:.4f}\n\n{table(rows)}\n")
        for distance in ("moved", "strayed"):
            print(against(rows, distance) + "\n")
    picture(pipe, args.out)


if __name__ == "__main__":
    main()
