"""Shapes against the reference of their name: reconstructed surfaces, and samples of a fitted surface."""

from typing import Any

import numpy as np
import trimesh

from geomflow.errors import EvaluationError
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import similarity_of
from geomflow.geometry.surface import sample_surface
from geomflow.metrics.density import density_dispersion
from geomflow.metrics.distances import chamfer_floor, match
from geomflow.metrics.evaluation import Number, mean_of
from geomflow.metrics.inputs import Shape, ShapeSet, in_pairs
from geomflow.metrics.parallel import Options, mapped
from geomflow.metrics.protocols import Protocol
from geomflow.metrics.reconstruction import F_SCORE_TAU, near_surface_iou, sampled_iou, summary

SPREAD = 2.0
"""Ratio of two shapes' extents from which on they are in different units."""

LOWER_IS_BETTER = ("chamfer", "hausdorff", "to-reference", "to-generated", "to-surface", "dispersion")
"""Beginnings of the names of numbers whose worst values are the largest."""


def evaluate_pairs(
    generated: ShapeSet, reference: ShapeSet, protocol: Protocol, options: Options
) -> tuple[list[Number], list[dict[str, Any]]]:
    """Return means over shapes with medians and worst tenths, and the numbers of every shape.

    Raises:
        EvaluationError: A reference has no counterpart, or a shape is in another frame than its reference.
        MeshError: A file cannot be read, or is no mesh where one is wanted; the message names it.
    """
    measure = surfaces if protocol.compares == "surfaces" else samples
    pairs = in_pairs(generated, reference)
    jobs = [(one, other, protocol.points, options.any_frame, options.seed) for one, other in pairs]
    keys = [
        f"{protocol.name}-1-{protocol.points}-{options.any_frame:d}-{one.seed(other.sha256, options.seed):016x}"
        for one, other in pairs
    ]
    found = mapped(measure, jobs, keys, protocol.name, options)
    rows = [{name: float(value) for name, value in row.items()} for row in found]
    shapes = [{"id": other.id, **row} for (_, other), row in zip(pairs, rows, strict=True)]
    return [number for name in rows[0] for number in _numbers(name, [row[name] for row in rows], options)], shapes


def surfaces(job: tuple[Shape, Shape, int, bool, int]) -> dict[str, np.ndarray]:
    """Return how well a mesh reproduces its reference, in the box of the reference (edge 2).

    Outer surfaces are compared: walls buried inside a solid are left out of both meshes.
    """
    shape, reference, count, any_frame, seed = job
    true, mesh = _in_frame_of(reference.mesh(), shape.mesh(), shape, any_frame)
    true, mesh = (SignedDistanceField(one, internal_walls=False) for one in (true, mesh))
    boundary, made = true.boundary(), mesh.boundary()
    roles = zip((boundary, made), (reference.seed("reference", seed), shape.seed("generated", seed)), strict=True)
    wanted, found = (sample_surface(one, count, draw) for one, draw in roles)
    pairs = match(wanted.points, found.points)
    numbers = {
        "chamfer": pairs.chamfer(),
        "chamfer-over-floor": pairs.chamfer() / chamfer_floor(float(boundary.area), count),
        "f-score": pairs.f_score(F_SCORE_TAU),
        "hausdorff": pairs.hausdorff(),
        "normal-consistency": pairs.normal_consistency(wanted.normals, found.normals),
        "iou": sampled_iou(true, mesh, seed=reference.seed("inside", seed)),
        "near-iou": near_surface_iou(true, mesh, seed=reference.seed("near", seed)),
        "to-reference": true.unsigned(found.points).mean(),
        "to-generated": mesh.unsigned(wanted.points).mean(),
    }
    return {name: np.asarray(value) for name, value in numbers.items()}


def samples(job: tuple[Shape, Shape, int, bool, int]) -> dict[str, np.ndarray]:
    """Return how well points sample the surface of their reference, in its box (edge 2) and against the noise floor."""
    shape, reference, count, any_frame, seed = job
    true, cloud = _in_frame_of(
        reference.mesh(), trimesh.PointCloud(shape.cloud(count, "generated", seed)), shape, any_frame
    )
    points = np.asarray(cloud.vertices)
    pairs = match(sample_surface(true, count, reference.seed("reference", seed)).points, points)
    off = SignedDistanceField(true).unsigned(points).astype(np.float64)
    numbers = {
        "chamfer": pairs.chamfer(),
        "chamfer-over-floor": pairs.chamfer() / chamfer_floor(float(true.area), count),
        "to-surface-mean": off.mean(),
        "to-surface-rms": np.sqrt(np.square(off).mean()),
        "to-surface-max": off.max(),
        "dispersion": density_dispersion(points, true, reference.seed("dispersion", seed)),
    }
    return {name: np.asarray(value) for name, value in numbers.items()}


def _in_frame_of(
    reference: trimesh.Trimesh, other: trimesh.Trimesh | trimesh.PointCloud, shape: Shape, any_frame: bool
) -> tuple[trimesh.Trimesh, Any]:
    """Both in the box of the reference, unless the other is clearly somewhere else or of another size."""
    true, moved = reference.copy(), other.copy()
    similarity = similarity_of(np.asarray(reference.vertices)[np.unique(reference.faces)], margin=1.0)
    true.vertices, moved.vertices = (similarity.apply(np.asarray(one.vertices)) for one in (reference, other))
    low, high = (np.quantile(np.asarray(moved.vertices), q, axis=0) for q in (0.005, 0.995))
    extent = float((high - low).max()) / 2
    apart = float(np.abs(low + high).max()) / 2
    if not any_frame and not (1 / SPREAD < extent < SPREAD and apart < 1):
        raise EvaluationError(
            f"{shape.path}: in another frame than its reference: {extent:.3g} times as large, its middle "
            f"{apart:.3g} half edges of the reference's box away (--any-frame compares anyway)"
        )
    return true, moved


def _numbers(name: str, values: list[float], options: Options) -> list[Number]:
    """Mean with interval, median and worst tenth of one number."""
    mean = mean_of(name, values, options.level, options.draws, options.seed)
    if len(values) == 1:
        return [mean]
    found = summary(values, not name.startswith(LOWER_IS_BETTER))
    return [mean, Number(f"{name}-median", found.median), Number(f"{name}-worst-tenth", found.worst_tenth)]
