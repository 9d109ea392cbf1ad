"""What a training step of each objective costs, in units of plain flow matching: docs/results/flow_cost.md.

python -m benchmarks.flow_cost --out docs/results
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from geomflow import shelves
from geomflow.flow import FlowMap, LossModule, TimePairs

ROUNDS, STEPS, BATCH = 15, 10, 512
OBJECTIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain flow matching": ("instantaneous", {}),
    "semigroup": ("semigroup", {}),
    "alpha": ("alpha", {}),
    "consistency": ("consistency", {}),
    "progressive": ("progressive", {"levels": 1}),
    "eulerian": ("eulerian", {}),
    "eulerian, predicted tangent": ("eulerian", {"tangent": "predicted"}),
    "eulerian, central difference": ("eulerian", {"derivative": "difference"}),
    "lagrangian": ("lagrangian", {}),
    "lagrangian, central difference": ("lagrangian", {"derivative": "difference"}),
    "distillation, lagrangian": ("distillation", {}),
    "distillation, eulerian": ("distillation", {"kind": "eulerian"}),
    "distillation, direct, 8 Heun steps": ("distillation", {"kind": "direct"}),
}


class Trainer:
    """A small network with an objective, ready to be timed."""

    def __init__(self, objective: str, options: dict[str, Any], share: float) -> None:
        formulation = shelves.load("formulations", "u_prediction")
        flow_map, teacher = (FlowMap(shelves.load("networks", "perceptron"), formulation) for _ in range(2))
        if objective == "distillation":
            options = {**options, "teacher": teacher.requires_grad_(False)}
        pairs = TimePairs(instantaneous_share=share, warm_up=0.0, full_span=0.0)
        self.loss = LossModule(flow_map, shelves.load("objectives", objective, **options), pairs)
        self.optimizer = torch.optim.Adam(flow_map.parameters(), fused=True)

    def seconds(self) -> float:
        """Time of a few optimiser steps."""
        data, start = torch.randn(BATCH, 2), time.perf_counter()
        for _ in range(STEPS):
            self.optimizer.zero_grad()
            self.loss(data)[0].backward()
            self.optimizer.step()
        return time.perf_counter() - start


def costs(share: float) -> dict[str, tuple[float, float]]:
    """Milliseconds per step, and the median over rounds of the ratio to the plain step timed beside it."""
    trainers = {name: Trainer(*what, 1.0 if what[0] == "instantaneous" else share) for name, what in OBJECTIVES.items()}
    rounds = [{name: trainer.seconds() for name, trainer in trainers.items()} for _ in range(ROUNDS + 1)][1:]
    plain = "plain flow matching"
    return {
        name: (
            1e3 / STEPS * statistics.median(times[name] for times in rounds),
            statistics.median(times[name] / times[plain] for times in rounds),
        )
        for name in trainers
    }


def main() -> None:
    """Print the table and, if asked, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    half, all_jumps = costs(0.5), costs(0.0)
    lines = [
        "| objective | ms per step | / plain, half of the rows r = t (default) | / plain, jumps only |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {half[name][0]:.1f} | {half[name][1]:.2f} | {all_jumps[name][1]:.2f} |" for name in OBJECTIVES),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "flow_cost.md").write_text(
            "# Cost of a training step\n\n    python -m benchmarks.flow_cost --out docs/results\n\n"
            f"The shelf's perceptron (116,000 weights), u-prediction, {BATCH} points, one thread of a CPU; all\n"
            f"objectives take turns, medians of {ROUNDS} rounds of {STEPS} steps.\n\n{text}"
        )


if __name__ == "__main__":
    main()
