"""Flow maps on manifolds: mixtures on the sphere and of rotations, and shapes' normals on the sphere or as channels.

python -m benchmarks.manifolds --data shared/data/classics --out docs/results

Every training has one thread and a fixed number of steps. Rows go to manifolds.json one by one; those that are there
are not measured again, so it goes on where it was stopped; without the file it starts anew.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.manifold_normals import Record, Row, changes, draw, fits, measured, run_of, trained
from geomflow.geometry.attributes import point_source
from geomflow.viz import render_points, save_png
from tests.flow.curved_learning import energy_distance, mixture, noise_and_data, train

OBJECTIVES = ("geodesic_semigroup", "geodesic_lagrangian", "geodesic_eulerian")
JUMPS, MIXTURE_STEPS = (1, 2, 4), 700
SHOWN = "spot"


def mixture_row(name: str, objective: str) -> dict[str, float]:
    """Energy distances of samples to 4,000 held-out ones."""
    target, begin = mixture(name), time.process_time()
    flow_map = train(target, objective, MIXTURE_STEPS)
    seconds = time.process_time() - begin
    noise, data = noise_and_data(target)
    row = {str(k): energy_distance(flow_map.sample(noise, k), data) for k in JUMPS}
    row["euler"] = energy_distance(flow_map.sample_ode(noise, 1, "euler"), data)
    row["ode"] = energy_distance(flow_map.sample_ode(noise, 32), data)
    floors = [abs(energy_distance(target.draw(4000, torch.Generator().manual_seed(k)), data)) for k in range(8)]
    off = flow_map.sample(noise, 4)
    error = float((target.manifold.project(off.double()) - off).abs().max())
    start = energy_distance(flow_map.formulation.start(noise), data)
    return {**row, "floor": max(floors), "start": start, "off": error, "seconds": seconds}


def record(file: Path, key: str, make: Callable[[], Row]) -> Row:
    """A row by its name, measured once."""
    rows = json.loads(file.read_text()) if file.is_file() else {}
    if key not in rows:
        rows[key] = make()
        file.write_text(json.dumps(rows, indent=1) + "\n")
    return rows[key]


def table(rows: Iterable[Sequence[str]]) -> str:
    """Markdown, the head being the first line."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def mixtures(record: Record) -> Iterator[list[str]]:
    """Lines of a table of manifolds and objectives, its head first."""
    yield [
        "manifold",
        "objective",
        "1 jump",
        "2",
        "4",
        "its ODE (63 calls)",
        "one Euler step",
        "noise",
        "floor",
        "off the manifold",
        "CPU s",
    ]
    for name in ("sphere", "rotations"):
        for objective in OBJECTIVES:
            row = record(f"{name} {objective}", lambda name=name, law=objective: mixture_row(name, law))
            ends = [f"{row[key]:.4f}" for key in ("1", "2", "4", "ode", "euler", "start", "floor")]
            yield [name, f"`{objective}`", *ends, f"{row['off']:.0e}", f"{row['seconds']:.0f}"]


def picture(data: Path) -> np.ndarray:
    """Above, the mixture on the sphere; below, a shape coloured by its normals."""
    target = mixture("sphere")
    flow_map = train(target, "geodesic_lagrangian", MIXTURE_STEPS)
    noise, held_out = noise_and_data(target, 20_000)
    clouds: list[Tensor] = [
        flow_map.sample(noise, 1, return_path=True)[0],
        *(flow_map.sample(noise, k) for k in (1, 4)),
    ]
    above = [render_points(cloud.numpy(), 300, frame=clouds[0].numpy()) for cloud in [*clouds, held_out]]
    return np.concatenate([np.concatenate(above, axis=1), np.concatenate(normals(data), axis=1)])


def normals(data: Path) -> list[np.ndarray]:
    """One shape as channels and on the sphere in one jump, on the sphere in four, and as it is."""
    true = point_source(data / f"{SHOWN}.obj", ["normals"]).draw(60_000, np.random.default_rng(0))
    for way in ("channels", "sphere"):
        if not run_of(way, SHOWN, 0).is_dir():
            trained(way, SHOWN, 0, data)
    columns = (("channels", 1), ("sphere", 1), ("sphere", 4))
    shown = [draw(run_of(way, SHOWN, 0), jumps, 60_000) for way, jumps in columns]
    return [
        render_points(points, 300, azimuth=215, colors=(found.clip(-1, 1) + 1) / 2, frame=true[:, :3])
        for points, found in [*shown, (true[:, :3], true[:, 3:])]
    ]


def write(page: Path, name: str, rows: Iterable[Sequence[str]]) -> None:
    """Print a table and put it between its marks on the page."""
    made, begin, end = table(rows), f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    print(made)
    text = page.read_text() if page.is_file() else ""
    text = text if begin in text else f"{text}\n{begin}{end}\n"
    before, _, rest = text.partition(begin)
    page.write_text(before + begin + made + end + rest.partition(end)[2])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with spot.obj, fandisk.obj and stanford_bunny.obj"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep = partial(record, options.out / "manifolds.json")
    page = options.out / "manifolds.md"
    write(page, "mixtures", mixtures(keep))
    rows = measured(keep, options.data)
    write(page, "normals", fits(rows))
    write(page, "changes", changes(rows))
    save_png(picture(options.data), options.out / "manifolds.png")


if __name__ == "__main__":
    main()
