"""Where in space the points of a set of shapes lie, all shapes taken together: Jensen-Shannon divergence (JSD).

Each set's points are counted in the cells of a grid, and the two distributions over cells are compared (Achlioptas et
al., ICML 2018):

    JSD = H((P + Q) / 2) - (H(P) + H(Q)) / 2,   in bits, between 0 and 1.

It says nothing of single shapes: averages of chairs that look like no chair can have a small one. Two finite samples of
one law do not reach 0, so it comes with the null band of these two sets, whole shapes being shuffled.
"""

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from geomflow.metrics.statistics import Band, Estimate, half_intervals, null_bands

RESOLUTION = 28
"""Cells per axis that this metric is customarily taken with."""


def jensen_shannon(
    generated: Float[np.ndarray, "_ _ 3"],
    reference: Float[np.ndarray, "_ _ 3"],
    resolution: int = RESOLUTION,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return the Jensen-Shannon divergence of two sets' points over cells of the reference's bounding cube, in bits.

    Points outside of the cube count in the nearest cell.

    Args:
        generated: Generated clouds (g, n, 3).
        reference: Reference clouds (r, n, 3) in the same frame.
        resolution: Cells per axis.
        level: Probability of interval and band, between 0 and 1.
        draws: Resamples and shuffles of whole shapes.
        seed: Same seed, same interval and band.

    Raises:
        ValueError: The resolution or the level is out of range.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, not {resolution}")
    low, high = reference.min(axis=(0, 1)), reference.max(axis=(0, 1))
    corner, edge = (low + high) / 2 - (high - low).max() / 2, (high - low).max() or 1.0
    counts = _counts(np.concatenate([generated, reference]), corner, edge, resolution)
    g, r = len(generated), len(reference)

    def metrics(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
        return {"jsd": _divergence(_total(counts, one), _total(counts, other))}

    value = metrics(np.arange(g), np.arange(g, g + r))["jsd"]
    low, high = half_intervals(metrics, g, r, level, draws, seed)["jsd"]
    null = null_bands(metrics, g, r, level, draws, seed)["jsd"]
    return Estimate(value, Band(max(low, 0.0), min(high, 1.0)), null)


def _counts(clouds: np.ndarray, corner: np.ndarray, edge: float, resolution: int) -> csr_array:
    """Points of each shape in each cell that any has points in (shapes, cells)."""
    cells = ((clouds - corner) / edge * resolution).astype(np.int64).clip(0, resolution - 1)
    flat = np.ravel_multi_index(tuple(np.moveaxis(cells, -1, 0)), (resolution,) * 3)
    used, column = np.unique(flat, return_inverse=True)
    row = np.repeat(np.arange(len(clouds)), clouds.shape[1])
    return csr_array((np.ones(flat.size), (row, column.ravel())), shape=(len(clouds), len(used)))


def _total(counts: csr_array, shapes: np.ndarray) -> np.ndarray:
    """Points of some shapes together in each cell."""
    return np.asarray(counts[shapes].sum(axis=0))


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, float(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2))


def _entropy(p: np.ndarray) -> float:
    """Entropy in bits."""
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
