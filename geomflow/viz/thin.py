"""Thinning: fewer points and triangles where there are more than a page can hold."""

import numpy as np
from jaxtyping import Float, Int

from geomflow.viz.layers import Surface

SHRINK = 0.8
"""Factor on the cells of the lattice until few enough triangles are left."""


def chosen(count: int, limit: int) -> Int[np.ndarray, " n"]:
    """Return the indices, ascending, of at most `limit` of `count` points: all, or random ones, always the same.

    Args:
        count: How many points there are.
        limit: How many there may be.
    """
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def clustered(surface: Surface, limit: int) -> Surface:
    """Return a surface of at most `limit` triangles: as it is, or with the vertices of each cell of a lattice as one.

    That one lies at their mean and has the mean of their colours and values; triangles with two corners in one cell
    vanish (vertex clustering, Rossignac and Borrel, 1993). Of lattices each 0.8 times as fine as the one
    before, it is the first that leaves few enough.

    Args:
        surface: The surface.
        limit: Triangles that there may be.
    """
    cells = max(1.0, np.sqrt(limit))
    thinned = surface
    while len(thinned.faces) > limit:
        thinned = _merged(surface, cells)
        cells *= SHRINK
    return thinned


def _merged(surface: Surface, cells: float) -> Surface:
    lower, extent = surface.vertices.min(axis=0), np.ptp(surface.vertices, axis=0).max() or 1.0
    cell = ((surface.vertices - lower) / extent * cells).astype(int)
    _, first, group = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    group, count = group.ravel(), len(first)
    faces = group[surface.faces]
    a, b, c = faces.T
    return Surface(
        vertices=_mean(surface.vertices, group, count),
        faces=faces[(a != b) & (b != c) & (c != a)],
        colors=None if surface.colors is None else _mean(surface.colors, group, count),
        values=None if surface.values is None else _mean(surface.values[:, None], group, count)[:, 0],
        opacity=surface.opacity,
    )


def _mean(rows: Float[np.ndarray, "v c"], group: Int[np.ndarray, " v"], count: int) -> Float[np.ndarray, "g c"]:
    """Mean row of every group."""
    sums = np.stack([np.bincount(group, column, count) for column in rows.T], axis=1)
    return sums / np.bincount(group, minlength=count)[:, None]
