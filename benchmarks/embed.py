"""Make an embedded model of a training run: half-precision weights beside their configuration and model card.

python -m benchmarks.embed runs/seating_flow_map geomflow/models/chairs
"""

import argparse
from dataclasses import replace
from pathlib import Path

from geomflow import checkpoint


def main() -> None:
    """Convert and report the size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    saved = checkpoint.load(options.run)
    half = {name: tensor.half() for name, tensor in saved.weights.items()}
    config = replace(saved.config, pretrained_encoder="")
    checkpoint.save(options.out, checkpoint.Checkpoint(config, saved.facts, half))
    size = (options.out / checkpoint.WEIGHTS).stat().st_size
    print(f"{options.out}: {size / 1e6:.1f} MB, {sum(t.numel() for t in half.values()):,} numbers")


if __name__ == "__main__":
    main()
