"""Memory of a large training by processes, with whole weights and with shares of them.

python -m benchmarks.sharding --out docs/results

The network of the preset `image_latents` on random pixels, one image per process; each training runs under torchrun.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geomflow import assemble, shelves
from geomflow.config import Item, RunConfig
from geomflow.image_sets import write_image_set
from geomflow.train.ranks import joined
from geomflow.train.run import Run

CASES = ((1, False), (2, False), (2, True), (4, False), (4, True))
"""Processes, and whether they share the weights."""
IMAGES, SIDE, CLASSES = 64, 32, 10
STEPS = 2
"""Steps that are measured, after one that is not."""
MB = 1e6


@dataclass(frozen=True)
class Took:
    """What a process needed; memory in MB.

    Attributes:
        weights: All weights it keeps.
        moments: AdamW's.
        average: Its part of the average.
        between: Resident between steps.
        most: Resident at most within steps.
        seconds: Processor time of a step.
    """

    weights: float
    moments: float
    average: float
    between: float
    most: float
    seconds: float


def config(processes: int, sharded: bool) -> RunConfig:
    """The preset on pixels, in single precision."""
    preset = shelves.load("presets", "image_latents")
    options = {"precision": "float32", "batch_size": processes, "micro_batches": processes, "warmup": 1}
    optimization = replace(preset.optimization, sharded=sharded, steps=10, **options)
    pixels = Item("pixels", {"size": SIDE, "channels": 3})
    return replace(preset, pretrained_encoder="", encoder=pixels, guidance={}, optimization=optimization)


def write_pixels(folder: Path) -> None:
    """An image set of chance."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    about = {"classes": [str(number) for number in range(CLASSES)]}
    write_image_set(folder / "train.safetensors", {"images": images, "labels": np.arange(IMAGES) % CLASSES}, about)


def work(processes: int, sharded: bool, data: Path, folder: Path) -> None:
    """Train in this process, and leave what it took in a file."""
    torch.set_num_threads(1)
    with joined("cpu") as ranks:
        parts = assemble.training(config(processes, sharded), data, ranks.device)
        with closing(Run(parts, folder / "run", ranks)) as run:
            _step(run)
            with _peak() as most:
                start = time.process_time()
                for _ in range(STEPS):
                    _step(run)
                seconds = (time.process_time() - start) / STEPS
            moments = [value for state in run.optimizers[0].state.values() for value in state.values() if value.ndim]
            kept = (sum(map(_kept, tensors)) for tensors in (run.weights, moments, run.ema.share.values()))
            took = Took(*kept, between=_resident(), most=max(most), seconds=seconds)
            (folder / f"took-{ranks.rank}.json").write_text(json.dumps(asdict(took)))


def _step(run: Run) -> None:
    run.change(0.5)
    run.step += 1


def _kept(tensor: Tensor) -> float:
    """Memory of what this process has of a tensor."""
    own = tensor.to_local() if hasattr(tensor, "to_local") else tensor  # pyright: ignore[reportAttributeAccessIssue]
    return own.untyped_storage().nbytes() / MB


def _resident() -> float:
    """Resident memory of this process now (Linux)."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmRSS")) / 1e3


@contextmanager
def _peak() -> Iterator[list[float]]:
    """Resident memory while something runs, looked at fifty times a second."""
    seen, done = [_resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            seen.append(_resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    done.set()
    watcher.join()


def measure(processes: int, sharded: bool, data: Path) -> Took:
    """The most that any process needed."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
        worker = ["-m", "benchmarks.sharding", "--worker", folder, "--data", data, *["--sharded"] * sharded]
        subprocess.run([sys.executable, *map(str, [*launcher, *worker])], check=True, capture_output=True)
        rows = [json.loads((Path(folder) / f"took-{rank}.json").read_text()) for rank in range(processes)]
    return Took(**{name: max(row[name] for row in rows) for name in rows[0]})


def page(found: list[Took]) -> str:
    """The results as a page."""
    head = f"""# Memory with whole and with sharded weights

    python -m benchmarks.sharding --out docs/results

Network of the preset `image_latents` on pixels of {SIDE} x {SIDE}, {CLASSES} classes, one image per process; CPUs
(gloo), one thread per process, torch {torch.__version__}. MB in the process that has most; resident memory counts
libraries in. A step's seconds are the processor's. What it means: [training at scale](../scaling.md).

| processes | weights are | weights | moments | average | resident between steps | at most, in a step | s per step |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
    rows = [
        f"| {processes} | {'sharded' if sharded else 'whole'} | {took.weights:,.0f} | {took.moments:,.0f} | "
        f"{took.average:,.0f} | {took.between:,.0f} | {took.most:,.0f} | {took.seconds:.1f} |"
        for (processes, sharded), took in zip(CASES, found, strict=True)
    ]
    return head + "\n".join(rows) + "\n"


def main() -> None:
    """Print the page and, if asked, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sharded", action="store_true", help=argparse.SUPPRESS)
    for name in ("--worker", "--data"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(int(os.environ["WORLD_SIZE"]), options.sharded, options.data, options.worker)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_pixels(Path(folder))
        found = [measure(processes, sharded, Path(folder)) for processes, sharded in CASES]
    print(page(found))
    if options.out:
        (options.out / "sharding.md").write_text(page(found))


if __name__ == "__main__":
    main()
