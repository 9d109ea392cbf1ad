"""Matrices of distances between two collections of shapes: chamfer, and earth mover's by exact assignment.

A row is one shape against a whole collection. Rows that are done are kept in a file, if a folder is given, so that an
interrupted matrix goes on where it was and one that was made before is read: the file is named after a hash of both
collections' points and of the distance.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from tqdm import tqdm

from geomflow.files import write_atomically
from geomflow.geometry.curve import along_curve
from geomflow.metrics._nearest import in_blocks, mean_nearest

Row = Callable[[int], np.ndarray]
"""A row of a matrix by its number."""

VERSION = 1
"""Counts up when a distance changes its value, so that no old matrix is read."""


def pairwise_chamfer(
    a_sets: Float[np.ndarray, "_ _ _"],
    b_sets: Float[np.ndarray, "_ _ _"],
    squared: bool = True,
    progress: bool = False,
    cache: Path | None = None,
) -> Float[np.ndarray, "a b"]:
    """Return the chamfer distance (a, b) of every shape of one collection to every shape of the other.

    The convention is that of `geomflow.metrics.chamfer`: both directions summed, squared by default (generation). If
    `b_sets` is `a_sets` itself, each pair is measured once.

    Args:
        a_sets: Points (a, n, 3).
        b_sets: Points (b, m, 3) in the same frame.
        squared: Mean squared or mean unsquared distances.
        progress: Show a progress bar.
        cache: Folder of matrices that were made, or begun, before.

    Raises:
        ValueError: A collection is empty, not (shapes, points, 3), or not finite.
    """
    a, b = _both(a_sets, b_sets)
    name = "chamfer squared" if squared else "chamfer"
    back = _filled(name, a, b, _mean_distances(a, b, squared), progress, cache)
    forward = back if b is a else _filled(name, b, a, _mean_distances(b, a, squared), progress, cache)
    return forward.T + back


def pairwise_emd(
    a_sets: Float[np.ndarray, "_ _ _"],
    b_sets: Float[np.ndarray, "_ _ _"],
    progress: bool = False,
    cache: Path | None = None,
    device: str = "cpu",
) -> Float[np.ndarray, "a b"]:
    """Return the earth mover's distance (a, b) of every shape of one collection to every shape of the other, exactly.

    The least mean length |p - q| over all one-to-one matchings of two clouds of equal size
    (`geomflow.ops.nearest_assignment`), in the points' unit, not halved and not squared. It is symmetric; if `b_sets`
    is `a_sets` itself, each pair is measured once.

    Args:
        a_sets: Points (a, n, 3).
        b_sets: Points (b, n, 3) in the same frame.
        progress: Show a progress bar.
        cache: Folder of matrices that were made, or begun, before.
        device: Where assignments are solved.

    Raises:
        ValueError: A collection is empty, not (shapes, points, 3), not finite, or clouds differ in size.
    """
    a, b = _both(a_sets, b_sets)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a_sets and b_sets must have as many points per shape, given {a.shape[1]} and {b.shape[1]}")
    upper = _filled("emd", a, b, _emd(a, b, device), progress, cache)
    return upper + upper.T if b is a else upper


def sampling_floors(sets: Float[np.ndarray, "shapes points 3"]) -> Float[np.ndarray, " shapes"]:
    """Return the squared chamfer distance (shapes,) that a second sample of each shape's surface would have to it.

    On a surface of area A a point's nearest neighbour among n others has the mean square A / (pi n), be they of its own
    sample or of another, so twice the mean square within the sample is the floor 2 A / (pi n) of `chamfer_floor`. That
    holds for random points: those spread evenly have larger floors. Copies of a point, as padding makes, count once.

    Args:
        sets: Points (shapes, n, 3), n at least 2.

    Raises:
        ValueError: The collection is empty, not (shapes, points, 3), not finite, or of single points.
    """
    sets = _checked("sets", sets)
    if sets.shape[1] < 2:
        raise ValueError("sets must have at least 2 points per shape, given 1")
    return np.array([_floor(np.unique(points, axis=0)) for points in sets])


def _floor(points: np.ndarray) -> float:
    """Twice the mean squared distance to the nearest other point, 0 where all points are one."""
    return float(2 * np.square(KDTree(points).query(points, k=2)[0][:, 1]).mean()) if len(points) > 1 else 0.0


def _both(a_sets: np.ndarray, b_sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both collections, checked; one and the same if they are."""
    a = _checked("a_sets", a_sets)
    return a, a if b_sets is a_sets else _checked("b_sets", b_sets)


def _checked(name: str, sets: np.ndarray) -> np.ndarray:
    if sets.ndim != 3 or sets.shape[-1] != 3 or not sets.size:
        raise ValueError(f"{name} must have shape (shapes, points, 3), none of them 0, given {sets.shape}")
    if not np.isfinite(sets).all():
        bad = np.flatnonzero(~np.isfinite(sets).all(axis=(1, 2)))
        raise ValueError(f"{name} must be finite, given NaN or infinite coordinates in shapes {bad[:5].tolist()}")
    return np.ascontiguousarray(sets, dtype=np.float64)


def _mean_distances(a: np.ndarray, b: np.ndarray, squared: bool) -> Row:
    """For a shape of a: the mean (squared) distance (b,) from each shape of b to it."""
    queries = np.stack([points[along_curve(points)] for points in b])
    return lambda i: mean_nearest(queries, in_blocks(a[i]), squared)


def _emd(a: np.ndarray, b: np.ndarray, device: str) -> Row:
    """For a shape of a: its distances to the shapes of b, only to later ones if a is b."""
    import torch

    from geomflow.ops import nearest_assignment

    one, other = torch.from_numpy(a).to(device), torch.from_numpy(b).to(device)

    def row(i: int) -> np.ndarray:
        others = other[i + 1 :] if b is a else other
        if not len(others):
            return np.zeros(len(b))
        found = nearest_assignment(one[i].expand_as(others), others).distance
        return np.concatenate([np.zeros(len(b) - len(others)), found.cpu().numpy()])

    return row


def _filled(
    name: str, rows: np.ndarray, columns: np.ndarray, row: Row, progress: bool, cache: Path | None
) -> np.ndarray:
    """The matrix of all rows; those that an earlier run left in the cache are not made again."""
    matrix = _opened(name, rows, columns, cache)
    todo = np.flatnonzero(np.isnan(matrix).any(axis=1))
    for i in tqdm(todo, desc=name, unit="shape", disable=not progress or not len(todo)):
        matrix[i] = row(int(i))
    return np.array(matrix)


def _opened(name: str, rows: np.ndarray, columns: np.ndarray, cache: Path | None) -> np.ndarray:
    """A matrix with NaN where nothing is known yet, in a file if there is a folder for it."""
    nothing = np.full((len(rows), len(columns)), np.nan)
    if cache is None:
        return nothing
    file, content = cache / f"{_key(name, rows, columns)}.npy", io.BytesIO()
    np.save(content, nothing)
    if not file.is_file() or file.stat().st_size != len(content.getvalue()):  # there is none, or half of one
        write_atomically(file, content.getvalue())
    return np.load(file, mmap_mode="r+")


def _key(name: str, *sets: np.ndarray) -> str:
    """A name that changes with the distance, the shapes, and their order."""
    digest = hashlib.sha256(f"{name} {VERSION} {[one.shape for one in sets]}".encode())
    for one in sets:
        digest.update(one.tobytes())
    return digest.hexdigest()[:32]
