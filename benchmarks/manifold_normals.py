"""Points with their normals, fitted with normals on the sphere and as three plain channels: several shapes and seeds.

`benchmarks.manifolds` runs it. Each fit has one thread and a fixed number of steps, and nothing differs but where the
normals live. `in as much time` is the sphere with so much fewer steps that its CPU seconds are those of the channels.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch

from geomflow.fit import fit
from geomflow.geometry.attributes import PointSource, point_source
from geomflow.metrics.judge_points import PointJudge
from geomflow.ops import closest_point_on_mesh
from geomflow.pipelines.points import PointPipeline

BUILD = Path("build/manifolds")
SHAPES = {"spot": "modelled, smooth", "fandisk": "sharp creases", "stanford_bunny": "scan, fine relief"}
SEEDS, JUMPS, POINTS = (0, 1, 2), (1, 4), 20_000
SPHERE = {"manifolds.normals": "sphere"}
WAYS = {
    "channels": {"optimization.steps": "600"},
    "sphere": SPHERE | {"optimization.steps": "600"},
    "sphere, in as much time": SPHERE | {"optimization.steps": "500"},
}
"""Settings of fits."""
COLUMNS = {"angle": "mean angle", "median": "median", "beyond": "% beyond 30", "chamfer-over-floor": "chamfer / floor"}
"""What is compared, the less the better, by its name in a row and in a table."""

Row = dict[str, float]
Record = Callable[[str, Callable[[], Row]], Row]


def run_of(way: str, shape: str, seed: int) -> Path:
    """The folder of a fit."""
    return BUILD / f"{shape}-{way.replace(', ', '-').replace(' ', '-')}-{seed}"


def trained(way: str, shape: str, seed: int, data: Path) -> float:
    """Make a fit anew and return its CPU seconds; the last weights are kept, not those of the best score on the way."""
    run, begin = run_of(way, shape, seed), time.process_time()
    shutil.rmtree(run, ignore_errors=True)
    settings = {**WAYS[way], "optimization.save_every": WAYS[way]["optimization.steps"]}
    fit(data / f"{shape}.obj", run, attributes=["normals"], seed=seed, settings=settings, progress=False)
    return time.process_time() - begin


def draw(run: Path, jumps: int, count: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Points and their fourth to sixth numbers as they are, before a pipeline makes them unit normals."""
    rows = torch.cat(list(PointPipeline.from_pretrained(run).model.draw(count, jumps, seed=1))).numpy()
    return rows[:, :3], rows[:, 3:]


def true_normals(source: PointSource, points: np.ndarray) -> np.ndarray:
    """The normal of the surface where it is closest."""
    vertices, faces = (torch.from_numpy(np.asarray(part))[None] for part in (source.shape.vertices, source.shape.faces))  # pyright: ignore
    found = closest_point_on_mesh(torch.from_numpy(points)[None].double(), vertices.double(), faces.long())
    return np.asarray(source.shape.face_normals)[found[2][0].numpy()]  # pyright: ignore


def judged(run: Path, source: PointSource) -> Row:
    """How long normals are, how far they are turned (degrees) and how well the points lie, for each number of jumps."""
    row, judge = {}, PointJudge(source)
    for jumps in JUMPS:
        points, normals = draw(run, jumps)
        length = np.linalg.norm(normals, axis=1)
        cosine = (normals * true_normals(source, points)).sum(axis=1) / length
        angle, off = np.degrees(np.arccos(cosine.clip(-1, 1))), abs(length - 1)
        found = {
            "off": off.mean(),
            "off by a tenth": 100 * (off > 0.1).mean(),
            "most off": off.max(),
            "angle": angle.mean(),
            "median": np.median(angle),
            "beyond": 100 * (angle > 30).mean(),
            **judge(points),
        }
        row |= {f"{key} {jumps}": float(value) for key, value in found.items()}
    return row


def measured(record: Record, data: Path) -> dict[tuple[str, str], list[Row]]:
    """A row for each shape, way and seed."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for seed, shape, way in product(SEEDS, SHAPES, WAYS):

        def make(way: str = way, shape: str = shape, seed: int = seed) -> Row:
            seconds, source = trained(way, shape, seed, data), point_source(data / f"{shape}.obj", ["normals"])
            return {"seconds": seconds, **judged(run_of(way, shape, seed), source)}

        rows.setdefault((shape, way), []).append(record(f"{shape} {way} {seed}", make))
    return rows


def of(rows: list[Row], key: str) -> np.ndarray:
    """One number of all seeds."""
    return np.array([row[key] for row in rows])


def spread(values: np.ndarray, digits: int) -> str:
    """Mean and standard deviation."""
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def fits(rows: dict[tuple[str, str], list[Row]]) -> Iterator[list[str]]:
    """Lines of the table of what was measured, its head first."""
    lengths = ["length off by", "% off by over 0.1", "most"]
    yield ["shape", "normals", "jumps", *COLUMNS.values(), *lengths, "CPU s"]
    for shape in SHAPES:
        for jumps in JUMPS:
            for way in WAYS:
                own = rows[shape, way]
                values = [spread(of(own, f"{key} {jumps}"), 2) for key in COLUMNS]
                off = [of(own, f"{key} {jumps}") for key in ("off", "off by a tenth", "most off")]
                lengths = [f"{off[0].mean():.1g}", f"{off[1].mean():.2g}", f"{off[2].max():.1g}"]
                yield [shape, way, str(jumps), *values, *lengths, spread(of(own, "seconds"), 0)]


def verdict(ours: np.ndarray, theirs: np.ndarray) -> str:
    """The change in percent of the mean; bold where all seeds of one are on one side of all seeds of the other."""
    change = f"{round(100 * (ours.mean() / theirs.mean() - 1)):+d} %"
    apart = ours.max() < theirs.min() or theirs.max() < ours.min()
    return f"**{change}**" if apart else change


def changes(rows: dict[tuple[str, str], list[Row]]) -> Iterator[list[str]]:
    """Lines of the table of differences to channels, its head first."""
    yield ["shape", "jumps", "sphere with", *COLUMNS.values()]
    for shape in SHAPES:
        for jumps in JUMPS:
            for way, words in (("sphere", "as many steps"), ("sphere, in as much time", "as much time")):
                pairs = ((of(rows[shape, w], f"{key} {jumps}") for w in (way, "channels")) for key in COLUMNS)
                yield [shape, str(jumps), words, *(verdict(*pair) for pair in pairs)]
