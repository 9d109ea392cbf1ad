"""Generated sets against reference sets: 1-NNA, coverage, MMD and JSD, with what training shapes would score."""

from typing import Any

import numpy as np
from jaxtyping import Float

from geomflow.errors import EvaluationError
from geomflow.metrics.evaluation import Number, mean_of, numbers_of, share_of
from geomflow.metrics.frames import check_frames, frame_of
from geomflow.metrics.inputs import Shape, ShapeSet
from geomflow.metrics.occupancy import jensen_shannon
from geomflow.metrics.pairwise import pairwise_chamfer, pairwise_emd, sampling_floors
from geomflow.metrics.parallel import Options, mapped
from geomflow.metrics.protocols import Protocol
from geomflow.metrics.sets import duplicates, nearest, set_metrics

Clouds = Float[np.ndarray, "_ _ 3"]

CONTROL = "training shapes as generated"


def evaluate_sets(
    generated: ShapeSet, reference: ShapeSet, train: ShapeSet | None, protocol: Protocol, options: Options
) -> tuple[dict[str, Any], list[Number], dict[str, list[Number]], list[dict[str, Any]]]:
    """Return the frame, the numbers, those of the control, and for each generated shape its nearest training shape.

    Args:
        generated: Shapes to judge.
        reference: Shapes that they should be like.
        train: Shapes that the model was trained on, for the control and the nearest of each; None if not at hand.
        protocol: The row of the table that says how.
        options: How it is measured.

    Raises:
        EvaluationError: A set has fewer than two shapes, sets are in different frames, or the reference has shapes of
            the training set.
    """
    _refuse_leaks(reference, train)
    g = clouds_of(generated, protocol.points, "generated", options)
    r = clouds_of(reference, protocol.points, "reference", options)
    t = None if train is None else clouds_of(train, protocol.points, "training", options)
    if not options.any_frame:
        for who, clouds in (("generated", g), ("training", t)):
            if clouds is not None:
                check_frames(clouds, r, who, each_its_own=protocol.frame == "box")
    frame = frame_of(protocol.frame, r if t is None else t)  # pyright: ignore[reportArgumentType]
    g, r, t = frame.apply(g), frame.apply(r), None if t is None else frame.apply(t)
    within = {distance: _matrix(distance, r, r, options) for distance in protocol.distances}
    numbers, controls, nearest_training = _against(g, r, within, options), {}, []
    if train is not None and t is not None:
        controls[CONTROL] = _against(_control(t, len(g), options.seed), r, within, options)
        found, nearest_training = _memorised(g, r, t, train, options)
        numbers += found
    return frame.about(), numbers, controls, nearest_training


def clouds_of(shapes: ShapeSet, count: int, role: str, options: Options) -> Clouds:
    """Return `count` points of every shape of a set.

    Args:
        shapes: The set.
        count: Points per shape.
        role: What the points are for, which is part of their seed.
        options: How it is measured.

    Raises:
        EvaluationError: The set has fewer than two shapes, or a shape has too few points.
        MeshError: A file cannot be read; the message names it.
    """
    if len(shapes) < 2:
        raise EvaluationError(f"{shapes.path}: wanted a set of at least 2 shapes, found {len(shapes)}")
    jobs = [(shape, count, role, options.seed) for shape in shapes.shapes]
    keys = [f"points-1-{shape.sha256[:32]}-{count}-{shape.seed(role, options.seed):016x}" for shape in shapes.shapes]
    return np.stack([found["points"] for found in mapped(_cloud, jobs, keys, f"{role} points", options)])


def _cloud(job: tuple[Shape, int, str, int]) -> dict[str, np.ndarray]:
    shape, count, role, seed = job
    return {"points": shape.cloud(count, role, seed)}


def _against(g: Clouds, r: Clouds, within: dict[str, np.ndarray], options: Options) -> list[Number]:
    """All metrics of one set against the reference, within which all distances are known."""
    how = (options.level, options.draws, options.seed)
    numbers = []
    for distance, d_rr in within.items():
        d_gg, d_gr = (_matrix(distance, g, other, options) for other in (g, r))
        numbers += numbers_of(set_metrics(d_gg, d_gr, d_rr, *how), distance)
    return numbers + numbers_of({"jsd": jensen_shannon(g, r, level=how[0], draws=how[1], seed=how[2])})


def _matrix(distance: str, a: Clouds, b: Clouds, options: Options) -> np.ndarray:
    if distance == "emd":
        return pairwise_emd(a, b, options.progress, options.cache, options.device)
    return pairwise_chamfer(a, b, progress=options.progress, cache=options.cache)


def _refuse_leaks(reference: ShapeSet, train: ShapeSet | None) -> None:
    known = {shape.sha256: shape.id for shape in train.shapes} if train else {}
    shared = [shape.id for shape in reference.shapes if shape.sha256 in known]
    if train and shared:
        raise EvaluationError(
            f"{len(shared)} of the {len(reference)} reference shapes of {reference.path} are training shapes of "
            f"{train.path}, too ({shared[0]}): name another split or leave the training set out"
        )


def _control(train: Clouds, count: int, seed: int) -> Clouds:
    """As many training shapes as there are generated ones, or all of them."""
    return train[np.sort(np.random.default_rng(seed).permutation(len(train))[:count])]


def _memorised(
    g: Clouds, r: Clouds, t: Clouds, train: ShapeSet, options: Options
) -> tuple[list[Number], list[dict[str, Any]]]:
    """How near generated and reference shapes are to training shapes, duplicates of both, and the nearest ones."""
    floors, how = sampling_floors(t), (options.level, options.draws, options.seed)
    numbers, shapes = [], []
    for name, clouds in (("", g), ("reference-", r)):
        found = nearest(_matrix("chamfer", clouds, t, options))
        copies = duplicates(found, floors)
        numbers.append(mean_of(f"{name}nearest-training-chamfer", found.distances, *how))
        numbers.append(share_of(f"{name}duplicate-rate", copies, options.level))
        if not name:
            ids = [train.shapes[i].id for i in found.indices]
            rows = zip(ids, found.distances.tolist(), copies.tolist(), strict=True)
            shapes = [{"nearest_training": i, "chamfer": d, "duplicate": c} for i, d, c in rows]
    return numbers, shapes
