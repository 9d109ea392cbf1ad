"""Fitting one shape: a mesh or cloud in, a run folder out that samples its surface in one to a few steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from geomflow import checkpoint, shelves
from geomflow import config as configs
from geomflow.config import Item, RunConfig
from geomflow.errors import CheckpointError
from geomflow.files import sha256_of
from geomflow.geometry.attributes import check_attributes
from geomflow.geometry.read import SUFFIXES
from geomflow.train import steps_in_time, train

PRESET = "geometry_distribution"

CHECKPOINTS = 8
"""Times that a fit is scored and saved."""


def fit(
    shape: str | Path,
    out: str | Path,
    minutes: float = 5.0,
    *,
    formulation: str = "edm",
    objective: str = "semigroup",
    attributes: Sequence[str] = (),
    noise: str = "gaussian",
    seed: int = 0,
    stop_at: float = 0.0,
    settings: Mapping[str, str] | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Fit the distribution of a shape's points and return the run folder, which `Pipeline.from_pretrained` reads.

    How many steps the time allows is measured first, unless `settings` has `optimization.steps`; from then on the run
    depends on the seed alone. The weights of the best score are kept: chamfer distance in four steps over its floor.

    Args:
        shape: Mesh, whose surface is fitted, or file of points, which are.
        out: Run folder.
        minutes: How long to train, about.
        formulation: Item of the shelf `formulations`.
        objective: Item of the shelf `objectives`.
        attributes: Some of normals, colors and labels, generated together with the positions.
        noise: `gaussian`, `box`, `sphere`, or a mesh file whose surface the points start from.
        seed: Seed of weights, points, noise and times.
        stop_at: Score at which to stop early.
        settings: Other settings of the run as `section.key` and text, such as `{"network.width": "256"}`.
        resume: Go on with the run in `out`, with its own settings; other `settings` are refused.
        device: A torch device name.
        progress: Whether to show a bar.

    Raises:
        ValueError: `minutes` is not positive, or an attribute is unknown.
        MeshError: The shape cannot be read, has no area, or does not carry an attribute.
        ConfigError: An unknown item or setting.
        CheckpointError: `out` holds another run, or there is nothing to resume.
        KeyboardInterrupt: After Ctrl-C, once the checkpoint is written.
    """
    if not (minutes > 0 and math.isfinite(minutes)):
        raise ValueError(f"minutes must be a positive number, given {minutes}")
    check_attributes(attributes)
    settings = settings or {}
    if resume:
        config = configs.override(_saved_config(out, shape), settings)
        return train(config, shape, out, resume=True, device=device, progress=progress)
    config = configs.override(_config(formulation, objective, attributes, noise, seed, stop_at), settings)
    if settings.get("objective.split", "chain") != "chain":
        config = configs.override(_one_stage(config), settings)
    if "optimization.steps" not in settings:
        config = _with_steps(config, steps_in_time(config, shape, out, minutes, device))
    if "optimization.save_every" not in settings:
        config = _with_checkpoints(config)
    return train(config, shape, out, device=device, progress=progress)


def _config(
    formulation: str, objective: str, attributes: Sequence[str], noise: str, seed: int, stop_at: float
) -> RunConfig:
    """The preset with what is asked for."""
    preset: RunConfig = shelves.load("presets", PRESET)
    if objective != preset.objective.name:
        preset = _one_stage(preset)
    dataset = replace(preset.dataset, options={**preset.dataset.options, "attributes": list(attributes)})
    return replace(
        preset,
        dataset=dataset,
        formulation=_kept(preset.formulation, formulation),
        objective=_kept(preset.objective, objective),
        noise=Item("mesh", {"file": noise}) if Path(noise).suffix.lower() in SUFFIXES else Item(noise),
        optimization=replace(preset.optimization, seed=seed, stop_at=stop_at),
    )


def _one_stage(config: RunConfig) -> RunConfig:
    """The run for objectives whose jumps learn from other jumps: spans grow, and targets move with the weights."""
    times = {**config.times, "full_span": 0.7}
    return replace(config, times=times, optimization=replace(config.optimization, second_stage=0.0))


def _with_steps(config: RunConfig, steps: int) -> RunConfig:
    return replace(config, optimization=replace(config.optimization, steps=steps))


def _with_checkpoints(config: RunConfig) -> RunConfig:
    """The run with a checkpoint after each eighth."""
    every = -(-config.optimization.steps // CHECKPOINTS)
    return replace(config, optimization=replace(config.optimization, save_every=every))


def _kept(preset: Item, name: str) -> Item:
    """The preset's item, with its options, if it has the name; another item without options if not."""
    return preset if name == preset.name else Item(name)


def _saved_config(out: str | Path, shape: str | Path) -> RunConfig:
    """The configuration of a run that this shape can go on with."""
    saved = checkpoint.load(out)
    if saved.config.task != "points":
        raise CheckpointError(f"{out}: wanted a run of geomflow fit, found one of the task {saved.config.task!r}")
    if saved.facts.get("sha256") != sha256_of(shape):
        raise CheckpointError(f"{out}: was fitted to another file than {shape}: {saved.facts.get('file')}")
    return saved.config
