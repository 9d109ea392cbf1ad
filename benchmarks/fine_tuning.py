"""Fine-tuning of the embedded chairs on a reward, against the same noises of the model as it was.

python -m benchmarks.fine_tuning --out docs/results

The map is trained on other noises than those that are measured. Distances are to what the old map makes of a noise in
as many jumps, and to its converged ODE; the likelihood is the old model's. A training that was stopped goes on where it
was, and rows already in the JSON are not measured again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from benchmarks.steering import REWARDS, Bench, Setting, prepare, run, unsteered
from benchmarks.steering_tables import Row, table
from geomflow import shelves
from geomflow.flow import FlowMap
from geomflow.pipelines.shapes import ShapePipeline
from geomflow.steer.fine_tune import STATE

RUNS = (("stands_up", 10.0), ("stands_up", 100.0))
"""Rewards, and what a unit of mean square distance costs, in deviations of the reward."""
STEPS, BATCH, JUMPS = 60, 8, 2
MEASURED = (1, 2, 3)
"""Jumps that samples are measured in."""


def train(bench: Bench, beta: float, folder: Path) -> FlowMap:
    """The map fine-tuned on a reward."""
    reward = shelves.load("rewards", bench.name, **REWARDS[bench.name])
    options = {"steps": STEPS, "batch": BATCH, "jumps": JUMPS, "beta": beta, "resume": (folder / STATE).exists()}
    flow_map = bench.pipe.fine_tune(reward, folder, **options).model.flow_map
    assert flow_map is not None
    return flow_map


def settings(bench: Bench, tuned: FlowMap, beta: float) -> Iterator[Setting]:
    """A fine-tuned map in several numbers of jumps."""
    for jumps in MEASURED:
        plain, made = (partial(flow_map.sample, bench.noise, jumps) for flow_map in (bench.flow_map, tuned))
        call = partial(unsteered, made, bench.reward, jumps)
        yield Setting("fine_tune", f"{jumps} jump" + "s" * (jumps > 1), beta, call, plain)


def measure(pipe: ShapePipeline, file: Path, folder: Path) -> list[Row]:
    """Rows of all runs, and in the file the CPU minutes of each training."""
    content = json.loads(file.read_text()) if file.exists() else {"minutes": {}, "rows": []}
    for name, beta in RUNS:
        key = f"{name}, {beta:g}"
        if key in content["minutes"]:
            continue
        bench, begin = prepare(pipe, name), time.process_time()
        tuned = train(bench, beta, folder / f"{name}_{beta:g}")
        content["minutes"][key] = round((time.process_time() - begin) / 60, 2)
        rows = [run(bench, setting) for setting in settings(bench, tuned, beta)]
        content["rows"] += [asdict(row) for row in rows]
        file.write_text(json.dumps(content) + "\n")
        print(key, content["minutes"][key], *(row.summary() for row in rows), sep="\n", flush=True)
    return [Row(**row) for row in content["rows"]]


def main() -> None:
    """Train, measure, write fine_tuning.json, and print the tables of steering.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/steering"))
    parser.add_argument("--models", type=Path, default=Path("build/fine_tuned"), help="where trained maps are kept")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows = measure(ShapePipeline.from_pretrained("chairs"), args.out / "fine_tuning.json", args.models)
    for name in dict.fromkeys(row.target for row in rows):
        print(f"### {name}\n\n{table([row for row in rows if row.target == name], 'beta')}\n")


if __name__ == "__main__":
    main()
