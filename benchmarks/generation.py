"""Where the time of a generation goes, stage by stage, and what few steps save.

python -m benchmarks.generation --models chairs --out docs/results

One shape at a time after one to warm up, as a user at a prompt has it; seconds are medians over the shapes.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from geomflow.generation import ABOUT, save_generation
from geomflow.pipeline import Pipeline, pretrained_names

STAGES = ("network", "decode", "extraction", "report", "export")
STEPS, RESOLUTIONS, MANY = (1, 2, 4, 64), (128, 256), 64
MADE = ("network", "decode", "extraction", "export")
"""What a mesh on disk needs; the report is a check."""


def seconds(pipeline: Pipeline, steps: int, resolution: int, count: int) -> dict[str, float]:
    """Median seconds of each stage for one shape."""
    rows = []
    for seed in range(count + 1):
        with tempfile.TemporaryDirectory() as folder:
            save_generation(pipeline(1, steps, seed, resolution), folder, "ply")
            rows.append(json.loads((Path(folder) / ABOUT).read_text())["seconds"])
    return {stage: float(np.median([row[stage] for row in rows[1:]])) for stage in STAGES}


def table(model: str, count: int) -> list[str]:
    """Lines of Markdown: a row per resolution and step count, then the ratios."""
    pipeline = Pipeline.from_pretrained(model)
    lines = [
        f"\n## `{Path(model).name}`\n",
        f"| resolution | steps | {' s | '.join(STAGES)} s | noise to file s |",
        "| --- " * (len(STAGES) + 3) + "|",
    ]
    ratios = []
    for resolution in RESOLUTIONS:
        found = {steps: seconds(pipeline, steps, resolution, count) for steps in STEPS}
        whole = {steps: sum(row[stage] for stage in MADE) for steps, row in found.items()}
        for steps, row in found.items():
            numbers = [*(row[stage] for stage in STAGES), whole[steps]]
            lines.append(f"| {resolution} | {steps} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
        network = found[MANY]["network"] / found[1]["network"]
        ratios.append(
            f"At {resolution}, {MANY} steps take {whole[MANY] / whole[1]:.1f} times as long as one from noise to file, "
            f"{network:.0f} times as long in the network."
        )
    return [*lines, "", *ratios]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=pretrained_names())
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    threads = torch.get_num_threads()
    lines = [
        "# Where the time of a generation goes\n",
        f"    python -m benchmarks.generation --models {' '.join(options.models)} --count {options.count}\n",
        f"Median seconds per shape over {options.count} shapes made one at a time, {threads} threads of a CPU, no GPU; "
        "`report` is the check whether the mesh is a solid, which is not part of `noise to file`.",
    ]
    for model in options.models:
        lines += table(model, options.count)
        print("\n".join(lines), flush=True)
    (options.out / "generation.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
