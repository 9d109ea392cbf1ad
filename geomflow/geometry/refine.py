"""Refinement of an extracted surface: vertices moved onto the zero of the field, and the field's own normals.

Marching cubes puts vertices where a straight line between two nodes crosses zero; on a curved surface that is off by
about the squared spacing over eight radii. Newton's steps along the gradient take them the rest of the way. Where a
learned field is rough, faces may come to cut each other: let `solid_report` look at the result.
"""

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.geometry.grid import Field

REACH = 0.5
"""Farthest that a vertex moves in all, in spacings: so that no vertex leaves its cell far behind."""

DIFFERENCE = 0.1
"""Half the span of a central difference, in spacings."""


def refine_vertices(
    mesh: trimesh.Trimesh, field: Field, spacing: float, rounds: int = 2, level: float = 0.0
) -> trimesh.Trimesh:
    """Return the mesh with its vertices nearer to where a field equals `level`, and the field's normals at them.

    A vertex stays where it is if no move brings it nearer: at creases, where the gradient jumps. Seven samples per
    vertex and round, and six for the normals.

    Args:
        mesh: Surface that was extracted from the field.
        field: Signed distance at points (n, 3), negative inside; also asked up to a spacing around the surface.
        spacing: Distance between the samples that the mesh was extracted from.
        rounds: Newton steps.
        level: Value of the surface.

    Raises:
        ValueError: `rounds` is negative, or the spacing not positive.
    """
    if rounds < 0 or not spacing > 0:
        raise ValueError(f"rounds must be at least 0 and spacing positive, given {rounds} and {spacing}")
    start = np.asarray(mesh.vertices)
    vertices, off = start, np.asarray(field(start)) - level
    for _ in range(rounds):
        slope = gradient(field, vertices, DIFFERENCE * spacing)
        step = off[:, None] * slope / np.maximum((slope**2).sum(axis=1, keepdims=True), 1e-12)
        moved = start + _shortened(vertices - step - start, REACH * spacing)
        there = np.asarray(field(moved)) - level
        better = np.abs(there) < np.abs(off)
        vertices, off = np.where(better[:, None], moved, vertices), np.where(better, there, off)
    return trimesh.Trimesh(vertices, mesh.faces, vertex_normals=_normals(field, vertices, spacing), process=False)


def gradient(field: Field, points: Float[np.ndarray, "n 3"], step: float) -> Float[np.ndarray, "n 3"]:
    """Return the field's gradient at points, by central differences of a half span `step`.

    Args:
        field: Takes points (n, 3) to signed distances (n,).
        points: Where to ask.
        step: Half of the span of the differences.
    """
    sides = [np.asarray(field(points + step * axis)) - np.asarray(field(points - step * axis)) for axis in np.eye(3)]
    return np.stack(sides, axis=1) / (2 * step)


def _normals(field: Field, points: np.ndarray, spacing: float) -> np.ndarray:
    slope = gradient(field, points, DIFFERENCE * spacing)
    return slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)


def _shortened(moves: np.ndarray, most: float) -> np.ndarray:
    """Moves of a bounded length."""
    return moves * np.minimum(1, most / np.maximum(np.linalg.norm(moves, axis=1, keepdims=True), 1e-30))
