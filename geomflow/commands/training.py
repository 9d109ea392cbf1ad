"""The verb that trains a preset or a configuration."""

from pathlib import Path
from typing import Annotated

import tyro

from geomflow.commands._common import Device, say

USES = {
    "autoencoder": "reconstruct {} MESH --out back.ply",
    "flow_map": "generate {} --out out/mine",
    "points": "sample {} --out points.ply",
}
"""What to do with a run of a task."""

COMPLETES = "complete {} POINTS --out whole.ply"


def train(
    preset: tyro.conf.Positional[str],
    /,
    *,
    data: Path,
    out: Path,
    minutes: float | None = None,
    resume: bool = False,
    device: Device = "cpu",
    settings: Annotated[dict[str, str] | None, tyro.conf.Suppress] = None,
) -> None:
    """Train a preset or a TOML file; any setting can be changed with --section.key value.

    Args:
        preset: Name of a preset (see `geomflow list presets`) or a .toml file.
        data: Dataset folder made by `geomflow prep`; for the preset geometry_distribution a file with one shape.
        out: Run folder.
        minutes: Stop after this time; the run can be resumed.
        resume: Go on from the state in the run folder.
        device: Where to compute.
        settings: What was given as --section.key value.
    """
    from geomflow import config as configs
    from geomflow import shelves
    from geomflow.train import train as run

    base = configs.read_toml(preset) if preset.endswith(".toml") else shelves.load("presets", preset)
    config = configs.override(base, settings or {})
    run(config, data, out, minutes, resume, device)
    use = COMPLETES if config.condition == "points" else USES[config.task]
    say(f"wrote {out}; try: geomflow {use.format(out)}")
