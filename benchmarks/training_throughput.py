"""Throughput and memory of trainings by batch, precision, objective and processes, and where a step's time goes.

python -m benchmarks.training_throughput --out docs/results

Trainings are those of the presets on boxes prepared here, some steps long; each runs by itself under torchrun.
"""

import argparse
import collections
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from geomflow import assemble, shelves
from geomflow.config import RunConfig, override
from geomflow.geometry.primitives import Box
from geomflow.prep import Recipe, prepare
from geomflow.train import train
from geomflow.train.ahead import Ahead
from geomflow.train.run import Run

SHAPES = 64
BATCH = 8
WARM = 2
"""Steps that do not count."""

COLUMNS = (
    "training | batch | parts | precision | compiled | processes | s per step | CPU-s per step | items/s | peak MiB"
)


@dataclass(frozen=True)
class Case:
    """One line of the table; the batch is the whole one, of all parts and processes."""

    preset: str
    batch: int
    parts: int = 1
    precision: str = "float32"
    compiled: bool = False
    processes: int = 1
    objective: str = ""

    def config(self, encoder: Path, steps: int) -> RunConfig:
        """The preset with that; jumps from the first step on."""
        changes = {
            "optimization.steps": f"{steps}",
            "optimization.save_every": f"{10 * steps}",
            "optimization.batch_size": f"{self.batch}",
            "optimization.micro_batches": f"{self.parts}",
            "optimization.precision": self.precision,
            "optimization.compile": f"{self.compiled}".lower(),
        }
        if self.preset != "sdf_autoencoder":
            changes |= {"pretrained_encoder": str(encoder), "times.warm_up": "0.0", "times.full_span": "0.0"}
        if self.objective:
            changes["objective"] = self.objective
        return override(shelves.load("presets", self.preset), changes)

    @property
    def name(self) -> str:
        """The preset and, if it is another one, the objective."""
        return f"{self.preset}, {self.objective}" if self.objective else self.preset


FLOW, AUTOENCODER = "sdf_flow_map", "sdf_autoencoder"
CASES = (
    Case(FLOW, 16),
    Case(FLOW, 64),
    Case(FLOW, 64, parts=4),
    Case(FLOW, 16, precision="bfloat16"),
    Case(FLOW, 16, compiled=True),
    *(
        Case(FLOW, 16, objective=objective, compiled=compiled)
        for objective in ("instantaneous", "eulerian", "lagrangian", "consistency")
        for compiled in (False, True)
    ),
    Case(FLOW, 16, parts=2),
    Case(FLOW, 16, parts=2, processes=2),
    Case(FLOW, 64, parts=4, processes=2),
    Case(AUTOENCODER, 8),
    Case(AUTOENCODER, 8, parts=2),
    Case(AUTOENCODER, 8, parts=2, processes=2),
)
PROFILED = (Case(FLOW, 16), Case(FLOW, 16, parts=2, processes=2), Case(AUTOENCODER, 8))


class Clock:
    """Wall and processor seconds of each call of some functions."""

    def __init__(self) -> None:
        self.wall, self.cpu = collections.defaultdict[str, list[float]](list), list[float]()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time noted under a name."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.wall[name].append(time.perf_counter() - wall)
                if name == "advance":
                    self.cpu.append(time.process_time() - cpu)

        return call


def work(case: Case, data: Path, encoder: Path, folder: Path, steps: int) -> None:
    """Train in this process, and leave what it took in a file."""
    clock = Clock()
    for name in ("advance", "change", "_update", "_gradients", "_average"):
        setattr(Run, name, clock.timed(name, getattr(Run, name)))
    Ahead.__call__ = clock.timed("data", Ahead.__call__)
    before = _peak()
    train(case.config(encoder, steps), data, folder / "run", progress=False)
    took = {"wall": clock.wall, "cpu": clock.cpu, "before": before, "peak": _peak()}
    (folder / f"took-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(took))


def _peak() -> float:
    """Largest resident memory of this process so far, MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case: Case, data: Path, encoder: Path, steps: int) -> list[dict[str, Any]]:
    """What a case took in each of its processes."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "case.json").write_text(json.dumps(case.__dict__))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(case.processes)]
        worker = ["-m", "benchmarks.training_throughput", "--worker", folder, "--data", data, "--encoder", encoder]
        command = [sys.executable, *launcher, *map(str, worker), "--steps", str(steps)]
        subprocess.run(command, check=True, capture_output=True)
        return [json.loads((Path(folder) / f"took-{rank}.json").read_text()) for rank in range(case.processes)]


def row(case: Case, took: list[dict[str, Any]]) -> str:
    """A line of the table: medians over steps; processor seconds and memory over all processes."""
    wall = statistics.median(took[0]["wall"]["advance"][WARM:])
    cpu = sum(statistics.median(one["cpu"][WARM:]) for one in took)
    peak = sum(one["peak"] for one in took)
    compiled = "yes" if case.compiled else ""
    cells = [case.name, case.batch, case.parts, case.precision, compiled, case.processes]
    return f"| {' | '.join(map(str, cells))} | {wall:.2f} | {cpu:.2f} | {case.batch / wall:.1f} | {peak:,.0f} |"


def shares(case: Case, took: dict[str, Any]) -> str:
    """Where the seconds of a step go, in the first process."""
    total = {name: sum(times[WARM:]) for name, times in took["wall"].items() if name != "data"}
    total["data"] = sum(took["wall"]["data"][WARM * case.parts // case.processes :])
    parts = {
        "waiting for data": total["data"],
        "loss and gradient": total["_gradients"] - total["data"],
        "clipping and optimiser": total["_update"] - total["_gradients"],
        "average": total["_average"],
        "log": total["advance"] - total["change"],
    }
    cells = [f"{100 * seconds / total['advance']:.1f} %" for seconds in parts.values()]
    return f"| {case.name}, batch {case.batch}, {case.processes} | {' | '.join(cells)} |"


def data_table(data: Path, encoder: Path) -> list[str]:
    """What data cost, in processor time per shape."""
    lines = ["| what | shapes | ms per shape |", "| --- | --- | --- |"]
    options = {"folder": str(data), "grid": True}
    both = {kept: shelves.load("datasets", "sdf_samples", **options, in_memory=kept) for kept in (True, False)}
    generator = torch.Generator().manual_seed(0)
    for kept, dataset in both.items():
        name = f"a batch of {BATCH}, {'of shapes in memory' if kept else 'read from disk (cached by the system)'}"
        tries = [_seconds(lambda d=dataset: d.batch(torch.randperm(SHAPES)[:BATCH], generator)) for _ in range(8)]
        lines.append(f"| {name} | {BATCH} | {1000 * statistics.median(tries) / BATCH:.1f} |")
    config = Case(FLOW, 16).config(encoder, 1)
    seconds = _seconds(lambda: assemble.training(config, data))
    name = "latents when a flow map's training starts, two views of each"
    return [*lines, f"| {name} | {SHAPES} | {1000 * seconds / SHAPES:.0f} |"]


def _seconds(function: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def prepared(folder: Path) -> tuple[Path, Path]:
    """A dataset of boxes, and an autoencoder that has hardly learned, which costs as much as a good one."""
    for k in range(SHAPES):
        (folder / "in").mkdir(exist_ok=True)
        Box((0.3 + 0.01 * k, 0.5, 0.9 - 0.01 * k)).mesh().export(folder / "in" / f"{k:03}.ply")
    prepare(folder / "in", folder / "set", Recipe(resolution=64), progress=False)
    preset = shelves.load("presets", AUTOENCODER)
    short = replace(preset, optimization=replace(preset.optimization, steps=1, batch_size=2))
    return folder / "set", train(short, folder / "set", folder / "encoder", progress=False)


def main() -> None:
    """Print the tables and, if asked, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=8, help="of each training, the first two of which do not count")
    for name in ("--worker", "--data", "--encoder"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.worker:
        case = Case(**json.loads((options.worker / "case.json").read_text()))
        work(case, options.data, options.encoder, options.worker, options.steps)
        return
    table = [f"| {COLUMNS} |", "|" + " --- |" * len(COLUMNS.split("|"))]
    profile = [
        "| training, batch, processes | waiting for data | loss, gradient | clipping, optimiser | average | log |",
        "|" + " --- |" * 6,
    ]
    with tempfile.TemporaryDirectory() as folder:
        data, encoder = prepared(Path(folder))
        costs = data_table(data, encoder)
        print("\n".join(costs), flush=True)
        for case in CASES:
            took = measure(case, data, encoder, options.steps)
            table.append(row(case, took))
            print(table[-1], flush=True)
            if case in PROFILED:
                profile.append(shares(case, took[0]))
                print(profile[-1], flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "training_throughput.md").write_text(_page(table, profile, costs))


def _page(table: list[str], profile: list[str], costs: list[str]) -> str:
    head = f"""# Throughput of training

    python -m benchmarks.training_throughput --out docs/results

torch {torch.__version__}, {os.cpu_count()} CPU cores, one thread per process, no GPU; medians of steps, the first
{WARM} left out. Processor seconds and memory (resident, libraries included) are sums over the processes. `parts` are
`optimization.micro_batches`. Wall-clock seconds are what others on the machine leave; processor seconds hardly
depend on them.
"""
    where = """
## Where the time of a step goes

Wall-clock time in the first process; waiting for another process counts to the gradient.
"""
    before = "\n## What data cost\n\nProcessor time; records have a grid of 64^3 and 20,000 points of each kind.\n"
    return "\n".join([head, *table, where, *profile, before, *costs]) + "\n"


if __name__ == "__main__":
    main()
