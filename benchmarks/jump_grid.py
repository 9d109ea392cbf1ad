"""Where jumps should land: how far few of them end from the ODE of the same weights, for several grids of noise levels.

python -m benchmarks.jump_grid --models chairs categories --out docs/results

The gap is the root mean square over latent numbers of unit spread, of the same noises; nothing is decoded, and no test
shape is looked at. A model of classes is asked for one class after the other.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geomflow.flow import FlowMap
from geomflow.pipelines.shapes import ShapePipeline

COUNT, ODE_STEPS, STEPS = 32, 32, (1, 2, 4, 8)
GRIDS = (None, (20.0, 0.02), (20.0, 0.1), (20.0, 0.4), (40.0, 0.1), (80.0, 0.1))


def gaps(flow_map: FlowMap, noise: Tensor, condition: dict[str, Tensor] | None) -> dict[str, list[float]]:
    """The gap for each number of steps, by grid."""
    end = flow_map.sample_ode(noise, ODE_STEPS, condition=condition)
    found = {}
    for ratios in GRIDS:
        flow_map.formulation = replace(flow_map.formulation, jump_ratios=ratios)
        ends = [flow_map.sample(noise, steps, condition=condition) for steps in STEPS]
        name = "the ODE's" if ratios is None else "{:g} to {:g}".format(*ratios)
        found[name] = [float((other - end).square().mean().sqrt()) for other in ends]
    return found


def table(model: str) -> list[str]:
    """Lines of Markdown: a row per grid."""
    pipeline = ShapePipeline.from_pretrained(model)
    noise = torch.randn(COUNT, *pipeline.model.autoencoder.latent_shape, generator=torch.Generator().manual_seed(0))
    condition = {"class": torch.arange(COUNT) % len(pipeline.classes)} if pipeline.classes else None
    columns = " | ".join(f"{steps} step{'s' * (steps > 1)}" for steps in STEPS)
    lines = [
        f"\n## `{Path(model).name}`\n",
        f"| noise levels of jumps | {columns} |",
        "| --- " * (1 + len(STEPS)) + "|",
    ]
    for name, row in gaps(pipeline.model.flow_map, noise, condition).items():
        lines.append(f"| {name} | " + " | ".join(f"{gap:.3f}" for gap in row) + " |")
    return lines


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["chairs", "categories"])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    lines = [
        "# Where jumps should land\n",
        f"    python -m benchmarks.jump_grid --models {' '.join(options.models)}\n",
        f"Root mean square gap between {COUNT} latents (numbers of unit spread) made in a few jumps and by the "
        f"{ODE_STEPS}-step ODE of the same weights from the same noises. Jumps land on noise levels spread evenly in "
        "their logarithm between the two.",
    ]
    for model in options.models:
        lines += table(model)
    (options.out / "jump_grid.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
