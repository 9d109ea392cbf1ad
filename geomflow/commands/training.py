"""The verb that trains a preset or a configuration."""

import os
from pathlib import Path
from typing import Annotated

import tyro

from geomflow.commands._common import Device, say

USES = {
    "autoencoder": "reconstruct {run} MESH --out back.ply",
    "flow_map": "generate {run} --out out/mine",
    "points": "sample {run} --out points.ply",
}
"""What to do with a run of a task."""

TOLD = {
    "class": 'generate {run} --class "{name}" --out out/mine',
    "points": "complete {run} POINTS --out whole.ply",
    "surface": "joints {run} MESH --out joints.json",
}
"""The same for a run that is told something."""


def train(
    preset: tyro.conf.Positional[str],
    /,
    *,
    data: str,
    out: Path,
    minutes: float | None = None,
    resume: bool = False,
    auto_resume: bool = False,
    save_minutes: float | None = None,
    device: Device = "cpu",
    settings: Annotated[dict[str, str] | None, tyro.conf.Suppress] = None,
) -> None:
    """Train a preset or a TOML file; any setting can be changed with --section.key value.

    With several processes: torchrun --nproc-per-node 2 -m geomflow train ... --optimization.micro_batches 2

    Args:
        preset: Name of a preset (see `geomflow list presets`) or a .toml file.
        data: Dataset folder made by `geomflow prep`, its shards, an image set, or the URL of one (s3://...), which is
            copied into GEOMFLOW_CACHE first; for geometry_distribution a file with one shape.
        out: Run folder.
        minutes: Stop after this time; the run can be resumed.
        resume: Go on from the state in the run folder.
        auto_resume: Go on if there is a state, and start if not: for jobs that may be restarted.
        save_minutes: Save after this time, too; optimization.save_every counts steps.
        device: Where to compute.
        settings: What was given as --section.key value.
    """
    from geomflow import checkpoint, shelves
    from geomflow import config as configs
    from geomflow.train import train as run

    base = configs.read_toml(preset) if preset.endswith(".toml") else shelves.load("presets", preset)
    config = configs.override(base, settings or {})
    run(config, data, out, minutes, "auto" if auto_resume else resume, device, save_minutes=save_minutes)
    if os.environ.get("RANK", "0") != "0":
        return
    made = checkpoint.load(out).config
    if made.condition == "image":
        say(f"wrote {out}; try in Python: geomflow.Pipeline.from_pretrained({str(out)!r})(image)")
        return
    use = TOLD.get(made.condition, USES[made.task])
    say(f"wrote {out}; try: geomflow {use.format(run=out, name=next(iter(made.classes), ''))}")
