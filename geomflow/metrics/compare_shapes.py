"""Shapes against the reference of their name: reconstructed surfaces, and samples of a fitted surface."""

import math
from typing import Any

import numpy as np
import trimesh

from geomflow.errors import EvaluationError
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import similarity_of
from geomflow.geometry.surface import sample_surface
from geomflow.metrics.density import density_dispersion
from geomflow.metrics.distances import chamfer_floor, match
from geomflow.metrics.evaluation import Number, finite_or_none, mean_of
from geomflow.metrics.frames import SHIFT, SPREAD
from geomflow.metrics.inputs import Shape, ShapeSet, in_pairs
from geomflow.metrics.parallel import Options, mapped
from geomflow.metrics.protocols import Protocol
from geomflow.metrics.reconstruction import F_SCORE_TAU, near_surface_iou, sampled_iou, summary

WORST_IS_LARGE = ("chamfer", "hausdorff", "to-", "dispersion")
"""Beginnings of the names of numbers whose worst values are the largest."""

FRAME = ("times-as-large", "moved-by")
"""Numbers that tell whether a shape is in the frame of its reference: extents, and half edges of its box."""

Job = tuple[Shape, Shape, int, int]
"""A shape, its reference, points and seed."""


def evaluate_pairs(
    generated: ShapeSet, reference: ShapeSet, protocol: Protocol, options: Options
) -> tuple[list[Number], list[dict[str, Any]]]:
    """Return means over shapes with medians and worst tenths, and the numbers of every shape.

    A number that a shape does not have, as an open sheet has no inside to compare, is left out of the mean.

    Args:
        generated: Shapes to judge.
        reference: What each of them should be, by id.
        protocol: The row of the table that says how.
        options: How it is measured.

    Raises:
        EvaluationError: A reference has no counterpart, most shapes are in another frame than their references, or a
            shape cannot be measured; the message names it.
        MeshError: A file cannot be read, or is no mesh where one is wanted; the message names it.
    """
    measure = surfaces if protocol.compares == "surfaces" else samples
    pairs = in_pairs(generated, reference)
    jobs = [(one, other, protocol.points, options.seed) for one, other in pairs]
    keys = [f"{protocol.name}-1-{protocol.points}-{one.seed(other.sha256, options.seed):016x}" for one, other in pairs]
    rows = [{k: float(v) for k, v in row.items()} for row in mapped(measure, jobs, keys, protocol.name, options)]
    if not options.any_frame:
        _check_frame(generated, rows)
    shapes = [{"id": other.id, **finite_or_none(row)} for (_, other), row in zip(pairs, rows, strict=True)]
    found = {name: [row[name] for row in rows if math.isfinite(row[name])] for name in rows[0] if name not in FRAME}
    return [number for name, values in found.items() if values for number in _numbers(name, values, options)], shapes


def surfaces(job: Job) -> dict[str, np.ndarray]:
    """Return how well a mesh reproduces its reference, in the box of the reference (edge 2).

    Outer surfaces are compared: walls buried inside a solid are left out of both meshes.

    Args:
        job: A shape, its reference, and how they are compared.
    """
    shape, reference, count, seed = job
    unit, mesh = _in_frame_of(reference.mesh(), shape.mesh())
    true, made = (SignedDistanceField(one, internal_walls=False) for one in (unit, mesh))
    boundary = true.boundary()
    wanted = sample_surface(boundary, count, reference.seed("reference", seed))
    found = sample_surface(made.boundary(), count, shape.seed("generated", seed))
    pairs = match(wanted.points, found.points)
    numbers = {
        "chamfer": pairs.chamfer(),
        "chamfer-over-floor": pairs.chamfer() / chamfer_floor(float(boundary.area), count),
        "f-score": pairs.f_score(F_SCORE_TAU),
        "hausdorff": pairs.hausdorff(),
        "normal-consistency": pairs.normal_consistency(wanted.normals, found.normals),
        "iou": _or_none(sampled_iou, true, made, 2 * count, reference.seed("inside", seed)),
        "near-iou": _or_none(near_surface_iou, true, made, count, reference.seed("near", seed)),
        "to-reference": true.unsigned(found.points).mean(),
        "to-generated": made.unsigned(wanted.points).mean(),
        **_frame_numbers(wanted.points, found.points),
    }
    return {name: np.asarray(value) for name, value in numbers.items()}


def samples(job: Job) -> dict[str, np.ndarray]:
    """Return how well points sample the surface of their reference, in its box (edge 2) and against the noise floor.

    Args:
        job: A shape, its reference, and how they are compared.
    """
    shape, reference, count, seed = job
    true, cloud = _in_frame_of(reference.mesh(), trimesh.PointCloud(shape.cloud(count, "generated", seed)))
    points, wanted = np.asarray(cloud.vertices), sample_surface(true, count, reference.seed("reference", seed)).points
    chamfer = match(wanted, points).chamfer()
    off = SignedDistanceField(true).unsigned(points).astype(np.float64)
    numbers = {
        "chamfer": chamfer,
        "chamfer-over-floor": chamfer / chamfer_floor(float(true.area), count),
        "to-surface-mean": off.mean(),
        "to-surface-rms": np.sqrt(np.square(off).mean()),
        "to-surface-max": off.max(),
        "dispersion": density_dispersion(points, true, reference.seed("dispersion", seed)),
        **_frame_numbers(wanted, points),
    }
    return {name: np.asarray(value) for name, value in numbers.items()}


def _in_frame_of(reference: trimesh.Trimesh, other: Any) -> tuple[trimesh.Trimesh, Any]:
    """Both in the box of the reference."""
    true, moved = reference.copy(), other.copy()
    similarity = similarity_of(np.asarray(reference.vertices)[np.unique(reference.faces)], margin=1.0)
    true.vertices, moved.vertices = (similarity.apply(np.asarray(one.vertices)) for one in (reference, other))
    return true, moved


def _or_none(iou: Any, true: SignedDistanceField, made: SignedDistanceField, count: int, seed: int) -> float:
    """An IoU, NaN where neither solid has an inside."""
    try:
        return iou(true, made, count=count, seed=seed)
    except ValueError:
        return math.nan


def _frame_numbers(wanted: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """How large a shape's points lie and where, beside those of its reference, but for a hundredth on either side."""
    (low, high), (below, above) = (np.quantile(points, (0.01, 0.99), axis=0) for points in (wanted, found))
    half = (high - low).max() / 2
    numbers = (above - below).max() / 2 / half, np.abs(below + above - low - high).max() / 2 / half
    return dict(zip(FRAME, numbers, strict=True))


def _check_frame(generated: ShapeSet, rows: list[dict[str, float]]) -> None:
    ratio, moved = (float(np.median([row[name] for row in rows])) for name in FRAME)
    if not (1 / SPREAD < ratio < SPREAD and moved < SHIFT):
        raise EvaluationError(
            f"{generated.path}: in another frame than the reference: {ratio:.3g} times as large and moved by "
            f"{moved:.3g} half edges of a reference's box, at the median (--any-frame compares anyway)"
        )


def _numbers(name: str, values: list[float], options: Options) -> list[Number]:
    """Mean with interval, median and worst tenth of one number."""
    mean = mean_of(name, values, options.level, options.draws, options.seed)
    if len(values) == 1:
        return [mean]
    found = summary(values, not name.startswith(WORST_IS_LARGE))
    return [mean, Number(f"{name}-median", found.median), Number(f"{name}-worst-tenth", found.worst_tenth)]
