"""Share of a training step of the point autoencoder that goes to the neighbourhood ops: docs/results/point_encoder.md.

python -m benchmarks.point_encoder --data build/seating --out docs/results

The ops are timed where the encoder calls them, by the clock, with torch's brute force (GEOMFLOW_OPS=reference) and with
whatever `auto` takes, on the same batches of real records and from the same weights.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from geomflow import set_abstraction, shelves
from geomflow.config import Item
from geomflow.encoders._loss import ReconstructionLoss
from geomflow.ops.dispatch import VARIABLE

OPS = ("sample_farthest_points", "knn_points", "knn_gather", "group_points")
BATCHES = (8, 32)
BACKENDS = {"reference": "before: torch", "auto": "after: auto"}
SEED = 0
COLUMNS = (
    "batch",
    "ops",
    "s per step",
    "of it encode",
    "of it ops",
    "farthest points, ms",
    "neighbours, ms",
    "gather, ms",
    "ops / step",
    "ops / encode",
)


class Step(NamedTuple):
    """Seconds of one training step, and of each op in its forward half."""

    whole: float
    encode: float
    ops: dict[str, float]


class Trainer:
    """The preset's autoencoder with its optimiser, ready to be timed."""

    def __init__(self, encoder: Item) -> None:
        torch.manual_seed(SEED)
        self.model = make(encoder)
        self.loss = ReconstructionLoss(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self, batch: dict[str, torch.Tensor], seed: int) -> Step:
        """Do one step in the precision of the preset and return its times."""
        start = time.perf_counter()
        with timed_ops() as ops, timed(self.model, "encode", {}) as encode, torch.autocast("cpu", torch.bfloat16):
            loss, _ = self.loss(batch, 0.0, torch.Generator().manual_seed(seed))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return Step(time.perf_counter() - start, encode["encode"], ops)


@contextmanager
def timed(owner: Any, name: str, seconds: dict[str, float]) -> Iterator[dict[str, float]]:
    """Add up, under its name, the time of calls to a function of a module or an object."""
    original: Callable[..., Any] = getattr(owner, name)
    seconds[name] = 0.0

    def call(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **options)
        finally:
            seconds[name] += time.perf_counter() - start

    setattr(owner, name, call)
    try:
        yield seconds
    finally:
        setattr(owner, name, original)


@contextmanager
def timed_ops() -> Iterator[dict[str, float]]:
    """Times of the ops that the encoder calls; none of the four names is reached through another of them there."""
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        for name in OPS:
            stack.enter_context(timed(set_abstraction, name, seconds))
        yield seconds


def make(encoder: Item) -> Any:
    """The autoencoder that a preset names."""
    return shelves.load("encoders", encoder.name, **encoder.options)


def measure(data: Path, size: int, steps: int, encoder: Item) -> dict[str, list[Step]]:
    """Steps of both backends, taken in turns on the same batches, after one of each to warm up."""
    trainers = {name: Trainer(encoder) for name in BACKENDS}
    points = trainers["auto"].model.points
    dataset = shelves.load("datasets", "sdf_samples", folder=str(data), split="test", surface=points)
    found: dict[str, list[Step]] = {name: [] for name in BACKENDS}
    for i in range(steps + 1):
        rows = torch.arange(i * size, (i + 1) * size) % len(dataset)
        batch = dataset.batch(rows, torch.Generator().manual_seed(i))
        for name, trainer in trainers.items():
            os.environ[VARIABLE] = name
            found[name].append(trainer.step(batch, i))
    return {name: done[1:] for name, done in found.items()}


def row(size: int, backend: str, steps: list[Step]) -> str:
    """One line of the table: medians over the steps."""

    def median(of: Callable[[Step], float]) -> float:
        return statistics.median(map(of, steps))

    farthest, nearest, *gathers = (1e3 * median(lambda step, name=name: step.ops[name]) for name in OPS)
    cells = [
        f"{size}",
        BACKENDS[backend],
        f"{median(lambda step: step.whole):.3f}",
        f"{median(lambda step: step.encode):.3f}",
        f"{median(total):.4f}",
        *(f"{ms:.1f}" for ms in (farthest, nearest, sum(gathers))),
        f"{100 * median(lambda step: total(step) / step.whole):.1f} %",
        f"{100 * median(lambda step: total(step) / step.encode):.1f} %",
    ]
    return f"| {' | '.join(cells)} |"


def total(step: Step) -> float:
    """Seconds in all ops."""
    return sum(step.ops.values())


def table(results: dict[int, dict[str, list[Step]]]) -> list[str]:
    """Markdown table of all batch sizes and backends."""
    return [
        f"| {' | '.join(COLUMNS)} |",
        f"| {' | '.join('---' for _ in COLUMNS)} |",
        *(row(size, name, steps) for size, both in results.items() for name, steps in both.items()),
    ]


def report(lines: list[str], model: Any, steps: int) -> str:
    """The page: how it was made, what it counts, the table."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "warp-lang", "pykdtree", "scipy"))
    centers, neighbours = " and ".join(map(str, model.encoder.centers)), model.encoder.fine.neighbours
    return f"""# The point autoencoder's neighbourhood ops in a training step

    python -m benchmarks.point_encoder --data build/seating --out docs/results

Preset `sdf_point_autoencoder` ({model.points} points, {centers} centres, {neighbours} neighbours), bfloat16 autocast,
real records: the test split of the seating dataset. {torch.get_num_threads()} thread of a CPU; {libraries}.
Before and after take turns on the same batches; medians of {steps} steps. An op's time is that of its calls in the
forward half; the backward half of gathering is torch's own either way and counts as network.

""" + "\n".join([*lines, ""])


def main() -> None:
    """Print the table and, if asked, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = shelves.load("presets", "sdf_point_autoencoder")
    results = {size: measure(options.data, size, options.steps, config.encoder) for size in options.batches}
    text = report(table(results), make(config.encoder), options.steps)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "point_encoder.md").write_text(text)


if __name__ == "__main__":
    main()
