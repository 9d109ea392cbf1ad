"""Drawings made of strokes compared in pairs: structural similarity of their pictures, chamfer distance of their lines.

A drawing is the control points (strokes, k, 2) of its strokes in the square [-1, 1]^2 (`geomflow.geometry.strokes`);
drawing i of one set belongs to drawing i of the other, say what was drawn of an image and what should have been. Both
distances look at the lines alone, not at which stroke drew them or in which order.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.spatial.distance import cdist

from geomflow.geometry.strokes import WIDTH, evaluate_strokes, picture_similarity, rasterize_strokes
from geomflow.metrics.statistics import Band, bootstrap_interval

SAMPLES = 33
"""Points on each stroke, from which it is drawn and measured."""


@dataclass(frozen=True)
class StrokeAgreement:
    """How far drawings agree with those they belong to.

    Attributes:
        similarity: Mean structural similarity of their pictures, at most 1; unrelated drawings do not score 0.
        similarity_interval: Where it lies, as far as the choice of drawings goes.
        chamfer: Mean chamfer distance of their lines, both directions summed, in units of the square (side 2).
        chamfer_interval: Where it lies.
        drawings: Pairs.
        size: Pixels per axis of the pictures.
        width: Of the lines in them, in units of the square.
    """

    similarity: float
    similarity_interval: Band
    chamfer: float
    chamfer_interval: Band
    drawings: int
    size: int
    width: float


def compare_strokes(
    generated: Shaped[np.ndarray, "n strokes k 2"],
    reference: Shaped[np.ndarray, "m others j 2"],
    size: int = 64,
    width: float = WIDTH,
    level: float = 0.95,
    seed: int = 0,
) -> StrokeAgreement:
    """Return how far drawings agree with the reference drawings that they belong to.

    Args:
        generated: Control points (n, strokes, k, 2).
        reference: Control points (m, others, j, 2) of as many drawings; strokes, and points on each, may be others.
        size: Pixels per axis of the pictures, at least 11.
        width: Of the lines in them, in units of the square.
        level: Probability of the intervals.
        seed: Of the intervals.

    Raises:
        ValueError: The sets differ in size, are empty or not finite, or size, width or level are out of range.
    """
    similarities = stroke_similarities(generated, reference, size, width)
    distances = stroke_chamfers(generated, reference)
    return StrokeAgreement(
        similarity=float(similarities.mean()),
        similarity_interval=bootstrap_interval(similarities, level, seed=seed),
        chamfer=float(distances.mean()),
        chamfer_interval=bootstrap_interval(distances, level, seed=seed),
        drawings=len(distances),
        size=size,
        width=width,
    )


def stroke_similarities(
    generated: Shaped[np.ndarray, "n strokes k 2"],
    reference: Shaped[np.ndarray, "m others j 2"],
    size: int = 64,
    width: float = WIDTH,
) -> Float[np.ndarray, " n"]:
    """Return the structural similarity (n,) of each drawing's picture and its reference's.

    Args:
        generated: Control points of the drawings to judge.
        reference: Control points of what they should be.
        size: Pixels along each edge of a picture.
        width: Width of a stroke in pixels.

    Raises:
        ValueError: The sets differ in size, are empty or not finite, or size or width are out of range.
    """
    pairs = zip(*_lines(generated, reference), strict=True)
    return np.array([picture_similarity(*(rasterize_strokes(lines, size, width) for lines in pair)) for pair in pairs])


def stroke_chamfers(
    generated: Shaped[np.ndarray, "n strokes k 2"], reference: Shaped[np.ndarray, "m others j 2"]
) -> Float[np.ndarray, " n"]:
    """Return the chamfer distance (n,) of each drawing's lines and its reference's, in units of the square.

    mean_a d(p, b) + mean_b d(q, a) over `SAMPLES` points on each stroke (`geomflow.metrics.distances`, reconstruction).
    Equal lines that are cut otherwise do not reach 0 but about half the distance of neighbouring points.

    Args:
        generated: Control points of the drawings to judge.
        reference: Control points of what they should be.

    Raises:
        ValueError: The sets differ in size, are empty or not finite.
    """
    pairs = ([lines.reshape(-1, 2) for lines in pair] for pair in zip(*_lines(generated, reference), strict=True))
    distances = (cdist(a, b) for a, b in pairs)
    return np.array([table.min(axis=1).mean() + table.min(axis=0).mean() for table in distances])


def _lines(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points on the strokes of both sets."""
    for name, strokes in (("generated", generated), ("reference", reference)):
        if strokes.ndim != 4 or strokes.shape[-1] != 2 or not strokes.size or not np.isfinite(strokes).all():
            raise ValueError(f"{name} must be finite control points (n, strokes, k, 2), given shape {strokes.shape}")
    if len(generated) != len(reference):
        raise ValueError(
            f"generated and reference must be as many drawings, given {len(generated)} and {len(reference)}"
        )
    return evaluate_strokes(generated, SAMPLES), evaluate_strokes(reference, SAMPLES)
