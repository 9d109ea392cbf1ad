"""Winding numbers of many points, most of them taken over from points in sight.

Of a closed surface the winding number is constant on every connected piece of space without surface, so whatever a
segment reaches without touching the surface shares the number of where it began. An open surface lets the number
drift, and lets segments slip through its holes; there two witnesses must be seen, and must agree. A segment costs a
thirtieth of an evaluation near the surface.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Shaped

from geomflow.geometry.bvh import Bvh, Closest, border_edges
from geomflow.geometry.winding import FARTHER, WindingTree

CELL = 0.1
"""Size of the cells in which points near the surface look for each other in the first round; it halves each time."""

ROUNDS = 8
"""Most rounds."""

AGREEMENT = 1 / 8
"""How far two witnesses may be apart, as a share of the distance of their mean from a tie."""

TIE = 0.25
"""Distance from a tie under which a number is evaluated once more, with care."""

WHOLE = 0.25
"""Distance from a whole number over which that of a closed surface, which is whole, is evaluated once more."""

MEMBERS = 2
"""Fewest points per witness for which a cell is looked at."""


class SharedWinding:
    """Winding numbers of one surface at many points at a time.

    Args:
        vertices: Positions (v, 3) about unit size.
        faces: Triangles (f, 3), or none: then all numbers are 0.
        bvh: Tree of what blocks the sight: these triangles and, if wanted, others.
    """

    def __init__(self, vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"], bvh: Bvh) -> None:
        self._bvh, self._closed = bvh, not border_edges(faces).any()
        self._witnesses = 1 if self._closed else 2
        self._tree = WindingTree(vertices, faces, bvh.device) if len(faces) else None

    def __call__(self, points: Shaped[np.ndarray, "n 3"], closest: Closest) -> Float[np.ndarray, " n"]:
        """Return the winding number (n,) at points (n, 3), given what lies closest to each of them.

        Args:
            points: Where to ask.
            closest: What `Bvh.closest` returned for them.
        """
        number = np.full(len(points), np.nan)
        for size in CELL / 2.0 ** np.arange(ROUNDS):
            waiting = np.flatnonzero(np.isnan(number) & (closest.side != 0))
            cells = _cells(points[waiting], Closest(*(part[waiting] for part in closest)), size)
            cells = _crowded(cells, MEMBERS * self._witnesses)
            if not len(cells.order):
                break
            for chosen, value in self._round(points, waiting[cells.order], cells):
                number[chosen] = value
        alone = np.flatnonzero(np.isnan(number))
        number[alone] = self._evaluate(points[alone])
        return number

    def _round(
        self, points: np.ndarray, members: np.ndarray, cells: "_Cells"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Points and their numbers: members that see the witnesses of their cell, and the witnesses."""
        places = (cells.starts, cells.starts + cells.sizes // 2)[: self._witnesses]
        witnesses = [members[place] for place in places]
        numbers = [self._evaluate(points[witness]) for witness in witnesses]
        mean, spread = np.mean(numbers, axis=0), np.ptp(numbers, axis=0)
        agreed = np.repeat(spread <= AGREEMENT * _from_tie(mean), cells.sizes)
        for witness in witnesses:
            candidates = np.flatnonzero(agreed)
            target = np.repeat(witness, cells.sizes)[candidates]
            agreed[candidates] = self._bvh.sees(points[members[candidates]], points[target])
        yield members[agreed], np.repeat(mean, cells.sizes)[agreed]
        yield from zip(witnesses, numbers, strict=True)

    def _evaluate(self, points: np.ndarray) -> np.ndarray:
        if self._tree is None:
            return np.zeros(len(points))
        number = self._tree(points)
        from_whole = np.abs(number - np.rint(number))
        doubtful = from_whole > WHOLE if self._closed else _from_tie(number) < TIE
        number[doubtful] = self._tree(points[doubtful], FARTHER)
        return np.rint(number) if self._closed else number


def _from_tie(number: np.ndarray) -> np.ndarray:
    """Distance from the number between outside and inside, twice over: 1 at 0 and at 1."""
    return np.abs(2 * number - 1)


class _Cells(NamedTuple):
    """Points put into cells: an order in which each cell is a run, and where the runs start and how long they are."""

    order: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


def _cells(points: np.ndarray, closest: Closest, size: float) -> _Cells:
    """Cells of points on one side of the surface, farthest from it first; away from the surface cells are larger."""
    level = np.ceil(np.log2(np.maximum(closest.distance, CELL) / CELL)).astype(np.int64)
    width = size * 2.0**level
    place = np.floor(points / width[:, None]).astype(np.int64) + (1 << 13)  # at most 2^11 from the origin
    cell = (place @ np.array([1 << 34, 1 << 20, 1 << 6])) + 2 * level + (closest.side > 0)
    depth = np.minimum(closest.distance / width * 512, 1023).astype(np.int64)
    order = np.argsort((cell << 10) - depth, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    return _Cells(order, starts, np.diff(starts, append=len(points)))


def _crowded(cells: _Cells, least: int) -> _Cells:
    """The cells with at least so many points."""
    kept = cells.sizes >= least
    sizes = cells.sizes[kept]
    return _Cells(cells.order[np.repeat(kept, cells.sizes)], np.cumsum(sizes) - sizes, sizes)
