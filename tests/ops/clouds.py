"""Clouds that break neighbour searches, and naive answers to compare with."""

import numpy as np
import torch
from hypothesis import strategies as st

KINDS = ("uniform", "lattice", "copies", "offset", "line", "plane", "clusters", "outliers", "one spot", "octahedra")
EXACT = ("lattice", "copies", "offset", "one spot", "octahedra")
"""Kinds with many equal distances, equal on every backend that rounds squares one by one and adds x, y, z.

Those of permuted coordinates ("octahedra") would differ by rounding where multiplications and additions are fused."""


def cloud(kind: str, rng: np.random.Generator, size: int, dimension: int = 3) -> np.ndarray:
    """Points (size, dimension) of one kind in float32."""
    unit = rng.random((size, dimension))
    made = {
        "uniform": lambda: unit,
        "lattice": lambda: rng.integers(0, 4, (size, dimension)),
        "copies": lambda: rng.integers(0, 64, (max(1, size // 4), dimension))[rng.integers(0, max(1, size // 4), size)],
        "offset": lambda: 1e6 + unit,
        "line": lambda: unit[:, :1] * np.ones(dimension),
        "plane": lambda: np.where(np.arange(dimension) == dimension - 1, 0.25, unit),
        "clusters": lambda: 1e-4 * unit + rng.integers(0, 3, (size, 1)),
        "outliers": lambda: np.where(rng.random((size, 1)) < 0.03, 1e7 * unit, unit),
        "one spot": lambda: np.full((size, dimension), 0.5),
        "octahedra": lambda: rng.choice([0.1, 0.2, 0.3], (size, dimension)),
    }
    return made[kind]().astype(np.float32)


@st.composite
def searches(draw, most: int = 40):
    """Two batches of ragged clouds with broken points here and there: (kind, p1, p2, lengths1, lengths2)."""
    kind = draw(st.sampled_from(KINDS))
    batch, dimension = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sizes = draw(st.integers(0, most)), draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p1, p2 = (np.stack([cloud(kind, rng, size, dimension) for _ in range(batch)]) for size in sizes)
    if draw(st.booleans()):
        for points in (p1, p2):
            points[rng.random(points.shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    lengths = (torch.from_numpy(rng.integers(0, size + 1, batch)) for size in sizes)
    return (kind, torch.from_numpy(p1), torch.from_numpy(p2), *lengths)


def naive_knn(p1, p2, lengths1, lengths2, k: int, norm: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by Python loops: (distance, index) pairs sorted as tuples."""
    shape = (*p1.shape[:2], k)
    distance, index = np.full(shape, np.inf, np.float32), np.full(shape, -1)
    for b in range(len(p1)):
        for i in range(lengths1[b]):
            found = sorted(naive_row(p1[b, i].numpy(), p2[b, : lengths2[b]].numpy(), norm))[:k]
            for j, (d, n) in enumerate(found):
                distance[b, i, j], index[b, i, j] = d, n
    return distance, index


def naive_row(point: np.ndarray, others: np.ndarray, norm: int) -> list[tuple[float, int]]:
    """(distance, index) of every point that has a finite distance."""
    with np.errstate(all="ignore"):
        gap = others - point
        lengths = np.abs(gap).sum(1, dtype=np.float32) if norm == 1 else np.square(gap).sum(1, dtype=np.float32)
    return [(float(d), n) for n, d in enumerate(lengths) if np.isfinite(d)]


def naive_farthest(points: np.ndarray, k: int, start: int) -> list[int]:
    """Greedy farthest points of one finite cloud, by the definition."""
    nearest, chosen = np.full(len(points), np.inf, np.float32), [start]
    while len(chosen) < min(k, len(points)):
        nearest = np.minimum(nearest, np.square(points - points[chosen[-1]]).sum(1, dtype=np.float32))
        chosen.append(max((d, -n) for n, d in enumerate(nearest) if n not in chosen)[1] * -1)
    return chosen + [-1] * (k - len(chosen))
