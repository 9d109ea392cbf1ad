"""Evaluate: two places of shapes and the name of a protocol in, numbers with their uncertainty out."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from geomflow.errors import ConfigError
from geomflow.metrics.compare_sets import evaluate_sets
from geomflow.metrics.compare_shapes import evaluate_pairs
from geomflow.metrics.density import PER_CELL
from geomflow.metrics.evaluation import Evaluation
from geomflow.metrics.inputs import ShapeSet, open_shapes
from geomflow.metrics.judge_solids import evaluate_solids
from geomflow.metrics.parallel import Options
from geomflow.metrics.protocols import DISTANCES, Protocol, protocol_of

logger = logging.getLogger("geomflow")

Place = str | Path


def evaluate(
    generated: Place,
    reference: Place | None,
    protocol: str = "pointflow",
    *,
    train: Place | None = None,
    split: str = "",
    points: int = 0,
    distances: tuple[str, ...] = (),
    options: Options | None = None,
) -> Evaluation:
    """Return what a protocol says of generated shapes.

    Shapes are read from folders, zips or CSVs of meshes or point files, datasets of `geomflow prep`, or .npy and .pt
    arrays (`geomflow.metrics.open_shapes`).

    Args:
        generated: The shapes to judge.
        reference: The shapes to judge by; `solid` does without.
        protocol: A name of `geomflow.metrics.PROTOCOLS`.
        train: What the model was trained on, for protocols that compare sets: for a control, for the frame that all
            shapes share, and to find shapes that the model remembers. For images: more images of the reference's law.
        split: Split of the reference, by default `test` where there is one; training shapes are those of `train`.
        points: Points per shape, if not the protocol's.
        distances: Distances between sets, if not the protocol's.
        options: Seed, level, draws, processes, cache and so on.

    Raises:
        ConfigError: There is no such protocol or distance, or it wants a reference, or does not take an argument.
        EvaluationError: What is given does not fit the protocol, or the shapes are in different frames.
        MeshError: A file cannot be read; the message names it.
        RecordError: There are no shapes.
    """
    options, how = _usable(options or Options()), protocol_of(protocol)
    _check(how, reference, {"train": train, "split": split, "points": points, "distances": distances})
    how = replace(how, points=points or how.points, distances=distances or how.distances)
    start = time.perf_counter()
    if how.compares == "images":
        from geomflow.metrics.compare_images import evaluate_images  # loads torch

        more = None if train is None else Path(train)
        return evaluate_images(Path(generated), Path(str(reference)), more, how, options)
    sets = {"generated": open_shapes(generated)}
    if reference is not None:
        sets["reference"] = open_shapes(reference, split)
    if train is not None:
        sets["train"] = open_shapes(train, default="train")
    frame, found = _measured(sets, how, options)
    return Evaluation(
        terms=_terms(how, sets, options),
        settings={"seed": options.seed, "level": options.level, "draws": options.draws, "frame": frame},
        inputs={role: one.about() for role, one in sets.items()},
        seconds={"measuring": time.perf_counter() - start},
        **found,
    )


def _measured(sets: dict[str, ShapeSet], how: Protocol, options: Options) -> tuple[dict[str, Any], dict[str, Any]]:
    """The frame, and numbers, controls and shapes by name."""
    generated, reference = sets["generated"], sets.get("reference")
    if how.compares == "solids":
        numbers, shapes = evaluate_solids(generated, how, options, "generated")
        controls = (
            {"reference": evaluate_solids(reference, how, options, "reference")[0]} if reference is not None else {}
        )
        return {"name": how.frame}, {"numbers": numbers, "shapes": shapes, "controls": controls}
    if how.compares == "sets":
        frame, numbers, controls, shapes = evaluate_sets(generated, sets["reference"], sets.get("train"), how, options)
        return frame, {"numbers": numbers, "controls": controls, "shapes": shapes}
    numbers, shapes = evaluate_pairs(generated, sets["reference"], how, options)
    return {"name": how.frame}, {"numbers": numbers, "shapes": shapes}


def _check(how: Protocol, reference: Place | None, given: dict[str, Any]) -> None:
    """Refuse what a protocol does not use, before anything is measured."""
    if reference is None and how.compares != "solids":
        raise ConfigError(f"protocol {how.name!r} compares with a reference, given none")
    sets, images = how.compares == "sets", how.compares == "images"
    takes = {"train": sets or images, "split": not images and reference, "points": not images, "distances": sets}
    for name, value in given.items():
        if value and not takes[name]:
            raise ConfigError(f"protocol {how.name!r} does not use {name} here; leave it out")
    for distance in given["distances"]:
        if distance not in DISTANCES:
            raise ConfigError(f"unknown distance {distance!r}: the distances between sets are {', '.join(DISTANCES)}")
    least = 2 * PER_CELL if how.compares == "samples" else 1
    if given["points"] and given["points"] < least:
        raise ConfigError(f"points must be at least {least} for {how.name!r}, not {given['points']}")


def _usable(options: Options) -> Options:
    """The options, without a cache that cannot be written.

    Raises:
        ConfigError: One is out of range, or there is no such device.
    """
    if options.draws < 1 or options.workers < 1 or not 0 < options.level < 1:
        given = f"draws {options.draws}, workers {options.workers}, level {options.level}"
        raise ConfigError(f"draws and workers must be at least 1 and level between 0 and 1, given {given}")
    if options.device != "cpu":
        import torch

        if not torch.cuda.is_available():
            raise ConfigError(f"device {options.device!r} is not there; use cpu")
    try:
        if options.cache is not None:
            options.cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("%s: cannot be written, so nothing is kept (%s)", options.cache, error.strerror)
        return replace(options, cache=None)
    return options


def _terms(how: Protocol, sets: dict[str, ShapeSet], options: Options) -> dict[str, Any]:
    """What must agree for results to be comparable."""
    hashes = {role: one.sha256() for role, one in sets.items() if role != "generated"}
    return {
        "protocol": how.name,
        "points": how.points,
        "frame": how.frame,
        "distances": list(how.distances),
        "any_frame": options.any_frame,
        "generated": len(sets["generated"]),
        **{role: f"{len(sets[role])} shapes, sha256 {digest}" for role, digest in hashes.items()},
    }
