"""Evaluate: two places of shapes and the name of a protocol in, numbers with their uncertainty out."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from geomflow.errors import ConfigError
from geomflow.metrics.compare_sets import evaluate_sets
from geomflow.metrics.compare_shapes import evaluate_pairs
from geomflow.metrics.evaluation import Evaluation
from geomflow.metrics.inputs import ShapeSet, open_shapes
from geomflow.metrics.judge_solids import evaluate_solids
from geomflow.metrics.parallel import Options
from geomflow.metrics.protocols import Protocol, protocol_of

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
        train: What the model was trained on: for a control, and to find shapes that it remembers. For protocols that
            compare sets, it also sets the global frame.
        split: Split of a reference dataset, by default `test`; training shapes are those of `train`.
        points: Points per shape, if not the protocol's.
        distances: Distances between shapes, if not the protocol's.
        options: Seed, level, draws, processes, cache and so on.

    Raises:
        ConfigError: There is no such protocol or distance, or it wants a reference, or does not take a training set.
        EvaluationError: What is given does not fit the protocol, or the shapes are in different frames.
        MeshError: A file cannot be read; the message names it.
        RecordError: There are no shapes.
    """
    options, how = options or Options(), protocol_of(protocol)
    how = replace(how, points=points or how.points, distances=distances or how.distances)
    _check(how, reference, train)
    if how.compares == "images":
        from geomflow.metrics.compare_images import evaluate_images  # loads torch

        return evaluate_images(Path(generated), Path(str(reference)), train and Path(train), how, options)
    sets = {"generated": open_shapes(generated), "reference": reference and open_shapes(reference, split)}
    sets["train"] = train and open_shapes(train, "train" if (Path(train) / "manifest.jsonl").is_file() else "")
    there: dict[str, Any] = {role: one for role, one in sets.items() if one}
    start = time.perf_counter()
    frame, found = _measured(there, how, options)
    return Evaluation(
        terms=_terms(how, frame, there),
        settings={"seed": options.seed, "level": options.level, "draws": options.draws},
        inputs={role: one.about() for role, one in there.items()},
        seconds={"measuring": time.perf_counter() - start},
        **found,
    )


def _measured(sets: dict[str, ShapeSet], how: Protocol, options: Options) -> tuple[dict[str, Any], dict[str, Any]]:
    """The frame, and numbers, controls and shapes by name."""
    generated, reference = sets["generated"], sets.get("reference")
    if how.compares == "solids":
        numbers, shapes = evaluate_solids(generated, how, options, "generated")
        controls = {"reference": evaluate_solids(reference, how, options, "reference")[0]} if reference else {}
        return {"name": how.frame}, {"numbers": numbers, "shapes": shapes, "controls": controls}
    if reference is None:
        raise ConfigError(f"protocol {how.name!r} compares with a reference, given none")
    if how.compares == "sets":
        frame, numbers, controls, shapes = evaluate_sets(generated, reference, sets.get("train"), how, options)
        return frame, {"numbers": numbers, "controls": controls, "shapes": shapes}
    numbers, shapes = evaluate_pairs(generated, reference, how, options)
    return {"name": how.frame}, {"numbers": numbers, "shapes": shapes}


def _check(how: Protocol, reference: Place | None, train: Place | None) -> None:
    if reference is None and how.compares != "solids":
        raise ConfigError(f"protocol {how.name!r} compares with a reference, given none")
    if train is not None and how.compares not in ("sets", "images"):
        raise ConfigError(f"protocol {how.name!r} does not look at training shapes; leave train out")
    if how.points < 1 and how.compares != "images":
        raise ConfigError(f"points must be at least 1, not {how.points}")


def _terms(how: Protocol, frame: dict[str, Any], sets: dict[str, ShapeSet]) -> dict[str, Any]:
    """What must agree for results to be comparable."""
    reference = sets.get("reference")
    return {
        "protocol": how.name,
        "points": how.points,
        "frame": frame,
        "distances": list(how.distances),
        "reference": reference and {"count": len(reference), "sha256": reference.sha256()},
    }
