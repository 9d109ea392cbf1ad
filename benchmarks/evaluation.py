"""What evaluation costs, whether its error bars hold, and what its traps do, as Markdown tables.

make bench-evaluation, or python -m benchmarks.evaluation build/seating --out docs/results

Sets are the clouds of a dataset of `geomflow prep`. Peers are asked in the same process, on a part of the pairs that
the table names, and their time is carried to the whole.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from geomflow.metrics import (
    Options,
    chamfer,
    chamfer_floor,
    emd,
    null_band,
    one_nearest_neighbour_accuracy,
    open_shapes,
    pairwise_chamfer,
    pairwise_emd,
    pool_distances,
    set_metrics,
    sinkhorn,
)
from geomflow.metrics.compare_sets import clouds_of
from geomflow.metrics.frames import frame_of

COUNT, POINTS = 200, 2048


def seconds(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def double_loop(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Chamfer as evaluation scripts have it: for each pair all differences, squared, and the least each way."""
    matrix = torch.empty(len(a), len(b))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            apart = (x[:, None] - y[None]).square().sum(-1)
            matrix[i, j] = apart.amin(1).mean() + apart.amin(0).mean()
    return matrix


def expanded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Chamfer as others have it: for each shape a batch of the others, |x|^2 + |y|^2 - 2 x.y by matrix products."""
    rows = []
    for x in a:
        batch = x.expand_as(b)
        products = batch @ b.mT
        apart = batch.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None] - 2 * products
        rows.append(apart.amin(1).mean(1) + apart.amin(2).mean(1))
    return torch.stack(rows)


def scipy_emd(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact assignment by SciPy, pair by pair."""

    def one(x: np.ndarray, y: np.ndarray) -> float:
        cost = cdist(x, y)
        return float(cost[linear_sum_assignment(cost)].mean())

    return np.array([[one(x, y) for y in b] for x in a])


def timings(clouds: np.ndarray) -> Iterator[str]:
    """Matrices of 200 x 200 shapes beside the usual ways."""
    a, b = clouds[:COUNT], clouds[COUNT : 2 * COUNT]
    one, other = (torch.from_numpy(c.astype(np.float32)) for c in (a, b))
    pairwise_chamfer(a[:3], b[:3])
    pairwise_emd(a[:3], b[:3])
    yield f"### Matrices of {len(a)} x {len(b)} shapes of {POINTS:,} points\n"
    yield "| distance | way | pairs measured | seconds for all pairs | times ours |\n| --- | --- | --- | --- | --- |"
    ours = seconds(lambda: pairwise_chamfer(a, b))
    yield f"| chamfer | `pairwise_chamfer` | {len(a) * len(b):,} | {ours:.1f} | 1 |"
    peers = {"torch, double loop over pairs": (double_loop, 10), "torch, batches by matrix products": (expanded, 20)}
    for name, (call, some) in peers.items():
        call(one[:2], other[:2])
        spent = seconds(lambda call=call, some=some: call(one[:some], other[:some])) * len(a) * len(b) / some**2
        error = np.abs(call(one[:5], other[:5]).numpy() / pairwise_chamfer(a[:5], b[:5]) - 1).max()
        yield f"| chamfer | {name} (differs by {error:.0e}) | {some**2} | {spent:.0f} | {spent / ours:.0f} |"
    ours = seconds(lambda: pairwise_emd(a, b))
    yield f"| EMD, exact | `pairwise_emd` | {len(a) * len(b):,} | {ours:.0f} | 1 |"
    spent = seconds(lambda: scipy_emd(a[:5], b[:5])) * len(a) * len(b) / 25
    error = np.abs(pairwise_emd(a[:5], b[:5]) / scipy_emd(a[:5], b[:5]) - 1).max()
    yield f"| EMD, exact | SciPy, pair by pair (differs by {error:.0e}) | 25 | {spent:.0f} | {spent / ours:.0f} |"


def pairs_of_sets(
    count: int, size: int, shift: float, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Distances of pairs of normal sets in five dimensions, the first shifted."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        g, r = rng.normal(size=(2, size, 5))
        g[:, 0] += shift
        yield cdist(g, g), cdist(g, r), cdist(r, r)


def calibration() -> Iterator[str]:
    """How often bands and intervals hold what they promise."""
    yield "\n### Bands and intervals of a nominal 95 %, by simulation\n"
    yield "| simulated | metric | pairs of sets | holds in |\n| --- | --- | --- | --- |"
    for size in (30, 100, 200):
        hits = []
        for seed, d in enumerate(pairs_of_sets(2000 if size < 200 else 500, size, 0, size)):
            low, high = null_band(pool_distances(*d), size, draws=400, seed=seed)
            hits.append(low <= one_nearest_neighbour_accuracy(*d) <= high)
        yield f"| null band, {size} + {size} shapes of one law | 1-nna | {len(hits)} | {100 * np.mean(hits):.1f} % |"
    for shift in (0.0, 1.5):
        found = [set_metrics(*d, draws=200, seed=i) for i, d in enumerate(pairs_of_sets(300, 60, shift, 1))]
        truth = [set_metrics(*d, draws=2) for d in pairs_of_sets(2000, 60, shift, 2)]
        for name in found[0]:
            value = np.mean([row[name].value for row in truth])
            hits = [row[name].interval.low <= value <= row[name].interval.high for row in found]
            half = np.mean([row[name].interval.high - row[name].interval.low for row in found]) / 2
            wide = half / (1.96 * np.std([row[name].value for row in truth]))
            law = f"interval, 60 + 60 shapes, shift {shift:g} (width {wide:.2f} of what is needed)"
            yield f"| {law} | {name} | {len(found)} | {100 * np.mean(hits):.1f} % |"


def perfect_models() -> Iterator[str]:
    """1-NNA of perfect models, and of the best of several that are chosen on the test set."""
    yield "\n### 1-NNA of a perfect model\n"
    yield "| shapes per set | mean | standard deviation | best of 20 checkpoints, chosen on the test set |"
    yield "| --- | --- | --- | --- |"
    for size, repeats in ((30, 400), (100, 200), (400, 40)):
        values = [one_nearest_neighbour_accuracy(*d) for d in pairs_of_sets(repeats, size, 0, 3)]
        shifted = [one_nearest_neighbour_accuracy(*d) for d in pairs_of_sets(repeats, size, 0.8, 4)]
        groups = np.array(shifted)[: len(shifted) // 20 * 20].reshape(-1, 20)
        best = np.abs(groups - 0.5).min(1).mean() + 0.5
        text = f"{100 * best:.1f} % where each is truly {100 * np.mean(shifted):.1f} %"
        yield f"| {size} | {100 * np.mean(values):.1f} % | {100 * np.std(values):.1f} % | {text} |"


def names_of_one_pair(clouds: np.ndarray) -> Iterator[str]:
    """What goes by one name, on one pair of shapes and on two samples of one shape."""
    x, y = clouds[0], clouds[1]
    yield "\n### One pair of chairs, and what is called by one name\n"
    yield "| name | what it is | value |\n| --- | --- | --- |"
    unsquared, squared = chamfer(x, y), chamfer(x, y, squared=True)
    for what, value in (
        ("mean squared, both ways summed (generation)", squared),
        ("mean unsquared, both ways summed (reconstruction)", unsquared),
        ("mean unsquared, both ways averaged", unsquared / 2),
        ("the sum over points, squared", POINTS * squared),
    ):
        yield f"| chamfer | {what} | {value:.4g} |"
    cost = cdist(x, y)
    squares = np.square(cost)
    for what, value in (
        ("exact, mean length (here)", emd(x, y)),
        ("exact, mean squared length", squares[linear_sum_assignment(squares)].mean()),
        ("exact, sum of lengths", POINTS * emd(x, y)),
        ("greedy matching, mean length", greedy(cost)),
        ("Sinkhorn divergence at blur 0.05, its root", np.sqrt(sinkhorn(x, y))),
    ):
        yield f"| EMD | {what} | {value:.4g} |"


def greedy(cost: np.ndarray) -> float:
    """Mean cost where every row takes the nearest column that is left."""
    left, total = cost.copy(), 0.0
    for row in left:
        j = row.argmin()
        total += row[j]
        left[:, j] = np.inf
    return total / len(cost)


def floors() -> Iterator[str]:
    """Two samples of the unit sphere against the closed floors."""
    yield "\n### Two samples of one sphere of radius 1: no model can be better\n"
    yield "| points | chamfer | sqrt(A/n) | squared chamfer | 2A/(pi n) | exact EMD |\n" + "| --- " * 6 + "|"
    for count in (512, 2048, 8192):
        x, y = np.random.default_rng(count).normal(size=(2, count, 3))
        x, y = (p / np.linalg.norm(p, axis=1, keepdims=True) for p in (x, y))
        area = 4 * np.pi
        both = [(chamfer(x, y, s), chamfer_floor(area, count, s)) for s in (False, True)]
        numbers = [*both[0], *both[1], emd(x, y)]
        yield f"| {count:,} | " + " | ".join(f"{n:.4g}" for n in numbers) + " |"


def sizes(clouds: np.ndarray) -> Iterator[str]:
    """Set metrics of training shapes against others, by the number of shapes and the frame."""
    yield "\n### Halves of one collection (perfect models): the same law, other sizes and frames\n"
    yield "| shapes per set | frame | 1-NNA (null band) | coverage | MMD, chamfer x 1e3 |\n" + "| --- " * 5 + "|"
    for size in (25, 50, 100, 200):
        for kind in ("global", "box"):
            chosen = np.random.default_rng(0).permutation(len(clouds))[: 2 * size]
            framed = frame_of(kind, clouds).apply(clouds)[chosen]
            g, r = framed[:size], framed[size:]
            d = pairwise_chamfer(g, g), pairwise_chamfer(g, r), pairwise_chamfer(r, r)
            found = set_metrics(*d, draws=300)
            nna = found["1-nna"]
            band = f"{100 * nna.value:.1f} % ({100 * nna.null.low:.0f}-{100 * nna.null.high:.0f})"
            rest = f"{100 * found['coverage'].value:.1f} % | {1e3 * found['mmd'].value:.2f}"
            yield f"| {size} | {kind} | {band} | {rest} |"


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    shapes = open_shapes(options.data, "train")
    clouds = clouds_of(shapes, POINTS, "benchmark", Options(workers=2))
    clouds = clouds[np.random.default_rng(0).permutation(len(clouds))]
    intro = f"`python -m benchmarks.evaluation {options.data}`, {torch.get_num_threads()} CPU cores.\n"
    lines = ["# Evaluation, measured\n", intro]
    tables = (timings(clouds), calibration(), perfect_models(), names_of_one_pair(clouds), floors(), sizes(clouds))
    for table in tables:
        for line in table:
            print(line, flush=True)
            lines.append(line)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "evaluation.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
