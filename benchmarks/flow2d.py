"""Every formulation with every objective on three distributions in the plane: docs/results/flow2d.md.

pip install --constraint constraints.txt --editable ".[test,bench]"
python -m benchmarks.flow2d              # about 75 minutes on 2 cores; continues where it was stopped
python -m benchmarks.flow2d --table      # only the tables, from the results so far
"""

import argparse
import copy
import json
import math
import multiprocessing
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ot
import torch
from torch import Tensor
from tqdm import tqdm

from geomflow import shelves
from geomflow.flow import FlowMap, Formulation, LossModule, TimePairs
from tests.flow.oracles import Checkerboard, Mixture, eight_gaussians, three_gaussians

POINTS, STEPS, SEEDS = 4000, (1, 2, 4, 8), (0, 1, 2)
TOYS: dict[str, Checkerboard | Mixture] = {
    "checkerboard": Checkerboard(),
    "eight Gaussians": eight_gaussians().scaled(2.0),
    "mixture": three_gaussians(torch.float32).scaled(1.4),
}
FORMULATIONS: dict[str, dict[str, Any]] = {
    "u_prediction": {},
    "x1_prediction": {},
    "edm": {"sigma_data": 1.0},
    "ddim": {},
}
OBJECTIVES = ("semigroup", "eulerian", "lagrangian", "alpha", "consistency", "distillation")
PAIRS = [(formulation, objective) for formulation in FORMULATIONS for objective in OBJECTIVES]


@dataclass(frozen=True)
class Cell:
    """One training: what is trained on what, for how long. Data are scaled to unit spread, times ``scale``."""

    toy: str
    formulation: str
    objective: str
    seed: int
    steps: int = 1600
    batch: int = 256
    scale: float = 1.0
    marginal: str = "lognormal"
    spacing: str = ""


def cells() -> list[Cell]:
    """All trainings."""
    table = [Cell(toy, *pair, seed) for toy in TOYS for pair in PAIRS for seed in SEEDS]
    return longer() + u_prediction_checked() + table


def longer() -> list[Cell]:
    """The combinations recommended, with ten times the samples."""
    best = [("u_prediction", "semigroup"), ("edm", "semigroup")]
    return [Cell("checkerboard", *pair, seed, steps=8000, batch=512) for pair in best for seed in SEEDS]


def u_prediction_checked() -> list[Cell]:
    """u-prediction with data of another scale, other training times, and another sampling grid."""
    changes: list[dict[str, Any]] = [
        {"scale": 0.5},
        {"scale": 2.0},
        {"marginal": "uniform"},
        {"spacing": "log_ratio"},
    ]
    base = [Cell("checkerboard", "u_prediction", "semigroup", seed) for seed in SEEDS]
    return [replace(cell, **change) for change in changes for cell in base]


def train(cell: Cell) -> FlowMap:
    """The averaged flow map of a training; a distillation first trains its teacher with the same budget."""
    teacher = train(replace(cell, objective="instantaneous")) if cell.objective == "distillation" else None
    torch.manual_seed(cell.seed)
    formulation = shelves.load("formulations", cell.formulation, **FORMULATIONS[cell.formulation])
    flow_map = FlowMap(shelves.load("networks", "perceptron"), formulation)
    pairs = TimePairs(log_mean=-0.5, marginal=cell.marginal)  # pyright: ignore[reportArgumentType]
    if teacher is not None:
        flow_map.load_state_dict(teacher.state_dict())
        pairs = replace(pairs, warm_up=0.0, full_span=0.25)
    given = {} if teacher is None else {"teacher": teacher}
    return _fit(LossModule(flow_map, shelves.load("objectives", cell.objective, **given), pairs), cell)


def _fit(loss: LossModule, cell: Cell, peak: float = 3e-3, ema: float = 0.998) -> FlowMap:
    """The weights' moving average after the steps of the cell."""
    average, generator = copy.deepcopy(loss.flow_map), torch.Generator().manual_seed(cell.seed)
    kept, moving = ([weight.data for weight in m.parameters()] for m in (average, loss.flow_map))
    optimizer = torch.optim.Adam(loss.flow_map.parameters(), betas=(0.9, 0.99), fused=True)
    for step in range(cell.steps):
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1, (step + 1) / 100) * (1 + math.cos(math.pi * step / cell.steps)) / 2
        data = cell.scale * TOYS[cell.toy].draw(cell.batch, generator)
        value, _ = loss(data, progress=step / cell.steps, generator=generator)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(loss.flow_map.parameters(), 1.0)
        optimizer.step()
        torch._foreach_lerp_(kept, moving, 1 - min(ema, (1 + step) / (10 + step)))
    return average


def measure(flow_map: FlowMap, cell: Cell) -> dict[str, list[float]]:
    """Wasserstein-2 distance to fresh data and share off the support, by the number of steps, and for the ODE."""
    toy, generator = TOYS[cell.toy], torch.Generator().manual_seed(1000 + cell.seed)
    noise, truth = torch.randn(POINTS, 2, generator=generator), toy.draw(POINTS, generator)
    if cell.spacing:
        spaced: Formulation = replace(flow_map.formulation, spacing=cell.spacing)  # pyright: ignore[reportArgumentType]
        flow_map = FlowMap(flow_map.network, spaced)
    gamma = float(cell.objective == "consistency")
    samples = {str(k): flow_map.sample(noise, k, gamma=gamma, generator=generator) for k in STEPS}
    samples["ode"] = flow_map.sample_ode(noise, 64)
    return {
        name: [wasserstein2(x / cell.scale, truth), float(toy.off_support(x / cell.scale).float().mean())]
        for name, x in samples.items()
    }


def wasserstein2(first: Tensor, second: Tensor) -> float:
    """Exact 2-Wasserstein distance of two equally large point sets: POT's network simplex, twice as fast as scipy."""
    return math.sqrt(ot.emd2([], [], torch.cdist(first.double(), second.double()).square().numpy(), numItermax=10**7))


def run(cell: Cell) -> dict[str, Any]:
    """A cell's results, as one line of the record."""
    torch.set_num_threads(1)
    return {"cell": asdict(cell), "found": measure(train(cell), cell)}


def floors() -> dict[str, float]:
    """Distance between two samples of the truth, mean of eight pairs, for every toy."""
    generator = torch.Generator().manual_seed(77)
    return {
        name: statistics.mean(wasserstein2(toy.draw(POINTS, generator), toy.draw(POINTS, generator)) for _ in range(8))
        for name, toy in TOYS.items()
    }


def complete(record: Path) -> None:
    """Run the cells that the record lacks, two at a time."""
    record.parent.mkdir(parents=True, exist_ok=True)
    done = {Cell(**row["cell"]) for row in rows(record)}
    missing = [cell for cell in cells() if cell not in done]
    with multiprocessing.get_context("spawn").Pool(2) as pool, record.open("a") as file:
        for row in tqdm(pool.imap_unordered(run, missing), total=len(missing), desc="trainings"):
            file.write(json.dumps(row) + "\n")
            file.flush()


def rows(record: Path) -> list[dict[str, Any]]:
    """The lines of the record."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and half the range."""
    if len(values) < len(SEEDS):
        return "-"
    return f"{statistics.mean(values):.{digits}f} ± {(max(values) - min(values)) / 2:.{digits}f}"


def line(head: str, found: list[dict[str, list[float]]], floor: float) -> str:
    """One row: distances over the floor, then shares off the support."""
    columns = [*map(str, STEPS), "ode"]
    distances = [spread([one[name][0] / floor for one in found]) for name in columns]
    off = [
        f"{100 * statistics.mean(one[name][1] for one in found):.1f}" if found else "-" for name in ("1", "4", "ode")
    ]
    ratios = [
        f"{statistics.mean(one[k][0] for one in found) / statistics.mean(one['ode'][0] for one in found):.2f}"
        if found
        else "-"
        for k in ("1", "4")
    ]
    return "| " + " | ".join([head, *distances, *ratios, *off]) + " |"


HEAD = (
    "| {} | 1 step | 2 | 4 | 8 | 64-step ODE | 1 step / ODE | 4 / ODE | off support, %: 1 step | 4 | ODE |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def tables(record: Path) -> str:
    """All tables as Markdown."""
    found: dict[Cell, list[dict[str, list[float]]]] = {}
    for row in rows(record):
        found.setdefault(replace(Cell(**row["cell"]), seed=0), []).append(row["found"])
    floor, parts = floors(), []
    for toy in TOYS:
        parts += [f"## {toy} (floor {floor[toy]:.3f})", "", HEAD.format("formulation / objective")]
        parts += [line(" / ".join(pair), found.get(Cell(toy, *pair, 0), []), floor[toy]) for pair in PAIRS]
        parts.append("")
    board = floor["checkerboard"]
    parts += ["## checkerboard, 8,000 steps of 512 samples", "", HEAD.format("formulation / objective")]
    parts += [line(f"{c.formulation} / {c.objective}", found.get(c, []), board) for c in longer() if c.seed == 0]
    parts += ["", "## u-prediction, semigroup, on the checkerboard", "", HEAD.format("change")]
    base = Cell("checkerboard", "u_prediction", "semigroup", 0)
    for cell in [base, *(c for c in u_prediction_checked() if c.seed == 0)]:
        change = ", ".join(f"{k} {v}" for k, v in asdict(cell).items() if v != asdict(base)[k])
        parts.append(line(change or "none", found.get(cell, []), board))
    return "\n".join(parts) + "\n"


def main() -> None:
    """Run what is missing, print the tables and write them behind the document's introduction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=Path("docs/results/flow2d.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/flow2d.md"))
    parser.add_argument("--table", action="store_true", help="do not train")
    options = parser.parse_args()
    if not options.table:
        complete(options.record)
    text = tables(options.record)
    print(text)
    mark = "<!-- tables: written by the command above -->\n"
    before = options.out.read_text().partition(mark)[0] if options.out.is_file() else "# Flow maps in the plane\n\n"
    options.out.write_text(before + mark + "\n" + text)


if __name__ == "__main__":
    main()
