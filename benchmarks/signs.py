"""Signs of distances on damaged primitives whose insides are known exactly, beside plain methods, as Markdown tables.

python -m benchmarks.signs --out docs/results

Five solids are meshed with a few thousand faces and damaged in many ways. All methods get the same damaged mesh and the
same points: half of them near the undamaged surface, half uniform in the cube. Points closer to the smooth solid than
its facets are not judged.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import point_cloud_utils as pcu
import trimesh

from geomflow.geometry import SignedDistanceField, sample_surface
from geomflow.geometry.bvh import Bvh
from geomflow.geometry.primitives import Box, Capsule, Moved, RoundedCylinder, Solid, Sphere, Torus, Union

Method = Callable[[trimesh.Trimesh, np.ndarray], np.ndarray]
"""Which of the points (n, 3) a method takes to be inside the mesh (n,)."""

NEAR = 0.02
"""Standard deviation of the near points' offsets."""

CONE = np.cos(np.radians(30))
"""Cosine of half the opening of the cone whose faces are cut off."""

BINS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class Shape(NamedTuple):
    """A solid, a closed mesh of it, and the largest distance between the two."""

    solid: Solid
    mesh: trimesh.Trimesh
    tolerance: float


class Case(NamedTuple):
    """What the methods are given, the surface near which they are asked, and the solid that they should find."""

    mesh: trimesh.Trimesh
    whole: trimesh.Trimesh
    solid: Solid


class Row(NamedTuple):
    """One solid under one damage: shares of wrong signs by method, and our confidence and errors point by point."""

    shape: str
    damage: str
    near: dict[str, float]
    cube: dict[str, float]
    confidence: np.ndarray
    wrong: np.ndarray


def shapes() -> dict[str, Shape]:
    """Five solids with meshes of about 3,000 to 5,000 faces."""
    capsule, cylinder = Capsule(), RoundedCylinder()
    box = trimesh.creation.box(2 * np.asarray(Box().half_extents))
    return {
        "sphere": _shape(Sphere(), trimesh.creation.icosphere(subdivisions=4, radius=Sphere().radius)),
        "box": _shape(Box(), box.subdivide().subdivide().subdivide().subdivide()),
        "torus": _shape(Torus(), trimesh.creation.torus(0.6, 0.25, major_sections=72, minor_sections=32)),
        "capsule": _shape(capsule, _turned(capsule.radius, capsule.half_height, capsule.radius)),
        "rounded cylinder": _shape(
            cylinder, _turned(cylinder.radius, cylinder.half_height - cylinder.rounding, cylinder.rounding)
        ),
    }


def _shape(solid: Solid, mesh: trimesh.Trimesh) -> Shape:
    return Shape(solid, mesh, float(np.abs(solid(sample_surface(mesh, 50_000).points)).max()) + 1e-4)


def _turned(radius: float, shoulder: float, rounding: float) -> trimesh.Trimesh:
    """A capsule or a rounded cylinder about z, its straight parts divided as finely as its round ones."""
    angle = np.linspace(0, np.pi / 2, 10)
    arc = np.stack([radius - rounding + rounding * np.cos(angle), shoulder + rounding * np.sin(angle)], axis=1)
    lid = np.stack([np.linspace(arc[-1, 0], 0, 7), np.full(7, arc[-1, 1])], axis=1)[1:]
    upper = np.vstack([arc, lid if rounding < radius else np.zeros((0, 2))])
    upper[-1, 0] = 0  # the pole, which the cosine misses by a rounding error
    wall = np.stack([np.full(12, radius), np.linspace(-shoulder, shoulder, 14)[1:-1]], axis=1)
    return trimesh.creation.revolve(np.vstack([upper[::-1] * [1, -1], wall, upper]), sections=64)


def harmed(shape: Shape, rng: np.random.Generator, missing: float = 0, flipped: float = 0, merged: bool = True) -> Case:
    """Shares of the faces missing and turned round, and vertices shared by faces or not."""
    turn = rng.random(len(shape.mesh.faces)) < flipped
    faces = np.where(turn[:, None], shape.mesh.faces[:, ::-1], shape.mesh.faces)
    faces = faces[rng.random(len(faces)) >= missing]
    vertices = np.asarray(shape.mesh.vertices)
    soup = (vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3))
    return Case(_mesh(*((vertices, faces) if merged else soup)), shape.mesh, shape.solid)


def beheaded(shape: Shape, rng: np.random.Generator) -> Case:
    """All faces missing whose centres lie in a cone from the origin about one of them."""
    direction = trimesh.unitize(shape.mesh.triangles_center)
    keep = direction @ direction[rng.integers(len(direction))] < CONE
    return Case(_mesh(shape.mesh.vertices, shape.mesh.faces[keep]), shape.mesh, shape.solid)


def overlapping_copy(shape: Shape, rng: np.random.Generator) -> Case:
    """The solid and a shifted copy, walls inside each other included."""
    offset = (0.15, 0.1, -0.12)
    both = _joined(shape.mesh, shape.mesh.copy().apply_translation(offset))
    return Case(both, both, Union(shape.solid, Moved(shape.solid, offset)))


def overlapping_box(shape: Shape, rng: np.random.Generator) -> Case:
    """The solid and a box of twelve faces that reaches out of it."""
    box, offset = Box((0.35, 0.25, 0.4)), (0.3, 0.1, 0.15)
    both = _joined(shape.mesh, box.mesh().apply_translation(offset))
    return Case(both, both, Union(shape.solid, Moved(box, offset)))


def sheet_beside(shape: Shape, rng: np.random.Generator, sides: int) -> Case:
    """The solid and a flat disc above it, which encloses nothing."""
    profile = np.stack([np.linspace(0, 0.4, 7), np.full(7, shape.mesh.bounds[1, 2] + 0.1)], axis=1)
    disc = trimesh.creation.revolve(profile, sections=48)
    sheets = [disc, _mesh(disc.vertices, disc.faces[:, ::-1])][:sides]
    both = _joined(shape.mesh, *sheets)
    return Case(both, both, shape.solid)


def _mesh(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, process=False)


def _joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    """One soup of all faces, nothing welded."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return _mesh(np.vstack([mesh.vertices for mesh in meshes]), np.vstack(faces))


DAMAGES: dict[str, Callable[[Shape, np.random.Generator], Case]] = {
    "none": harmed,
    "5 % missing": partial(harmed, missing=0.05),
    "20 % missing": partial(harmed, missing=0.2),
    "5 % flipped": partial(harmed, flipped=0.05),
    "20 % flipped": partial(harmed, flipped=0.2),
    "5 % missing, 5 % flipped": partial(harmed, missing=0.05, flipped=0.05),
    "20 % missing, 20 % flipped": partial(harmed, missing=0.2, flipped=0.2),
    "unmerged vertices": partial(harmed, merged=False),
    "unmerged, 20 % flipped": partial(harmed, merged=False, flipped=0.2),
    "overlapping copy": overlapping_copy,
    "overlapping box": overlapping_box,
    "inside out": partial(harmed, flipped=1),
    "a cap cut off": beheaded,
    "open sheet beside": partial(sheet_beside, sides=1),
    "two-sided sheet beside": partial(sheet_beside, sides=2),
}


def winding(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    """Winding numbers (n,) of the faces as they are."""
    vertices, faces = np.asarray(mesh.vertices, dtype=np.float64), np.ascontiguousarray(mesh.faces, dtype=np.int32)
    return np.reshape(pcu.triangle_soup_fast_winding_number(vertices, faces, points), len(points))


def open3d_inside(mesh: trimesh.Trimesh, points: np.ndarray, rays: int) -> np.ndarray:
    """Open3D's sign from the parity of `rays` rays."""
    import open3d

    scene = open3d.t.geometry.RaycastingScene()
    vertices, faces = (open3d.core.Tensor(np.array(a)) for a in (_f32(mesh.vertices), mesh.faces.astype(np.uint32)))
    scene.add_triangles(vertices, faces)
    return scene.compute_signed_distance(open3d.core.Tensor(_f32(points)), nsamples=rays).numpy() < 0


def _f32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32)


METHODS: dict[str, Method] = {
    "w > 1/2": lambda mesh, points: winding(mesh, points) > 0.5,
    "abs w > 1/2": lambda mesh, points: np.abs(winding(mesh, points)) > 0.5,
    "7 rays": lambda mesh, points: Bvh(np.asarray(mesh.vertices), np.asarray(mesh.faces)).parity(points) > 0.5,
}
if importlib.util.find_spec("open3d"):
    METHODS |= {"Open3D, 1 ray": partial(open3d_inside, rays=1), "Open3D, 7 rays": partial(open3d_inside, rays=7)}


def query_points(surface: trimesh.Trimesh, count: int, seed: int) -> np.ndarray:
    """Points (2 count, 3): first those near the surface, then those uniform in the cube."""
    rng = np.random.default_rng(seed)
    near = sample_surface(surface, count, seed).points + rng.normal(0, NEAR, (count, 3))
    return np.vstack([near, rng.uniform(-1, 1, (count, 3))])


def measure(points: int, seeds: int, methods: dict[str, Method] = METHODS) -> list[Row]:
    """Judge geomflow and the other methods on every solid under every damage, pooling the seeds."""
    return [_row(name, shape, damage, points, seeds, methods) for name, shape in shapes().items() for damage in DAMAGES]


def _row(name: str, shape: Shape, damage: str, points: int, seeds: int, methods: dict[str, Method]) -> Row:
    trials = [_trial(shape, damage, points, seed, methods) for seed in range(seeds)]
    judged, confidence = (np.concatenate([trial[k] for trial in trials], axis=1) for k in (0, 1))
    wrong = {method: np.concatenate([trial[2][method] for trial in trials], axis=1) for method in trials[0][2]}
    near, cube = ({method: float(bad[k][judged[k]].mean()) for method, bad in wrong.items()} for k in (0, 1))
    return Row(name, damage, near, cube, confidence[judged], wrong["geomflow"][judged])


def _trial(shape: Shape, damage: str, points: int, seed: int, methods: dict[str, Method]):
    """Which points count, our confidence, and wrong signs by method: arrays (2, points), near and in the cube."""
    case = DAMAGES[damage](shape, np.random.default_rng(seed))
    asked = query_points(case.whole, points, seed)
    exact, found = case.solid(asked), SignedDistanceField(case.mesh)(asked)
    inside = {"geomflow": found.distance < 0} | {name: method(case.mesh, asked) for name, method in methods.items()}
    wrong = {name: (guess != (exact < 0)).reshape(2, -1) for name, guess in inside.items()}
    return (np.abs(exact) > shape.tolerance).reshape(2, -1), found.confidence.reshape(2, -1), wrong


def columns(shares: dict[str, float]) -> dict[str, float]:
    """The shares with the better of the two winding numbers as one."""
    best = min(shares["w > 1/2"], shares["abs w > 1/2"])
    others = {name: share for name, share in shares.items() if "1/2" not in name and name != "geomflow"}
    return {"geomflow": shares["geomflow"], "winding number": best, **others}


def excess(shares: dict[str, float]) -> float:
    """How much larger our share is than the better of winding number and rays."""
    found = columns(shares)
    return found["geomflow"] - min(found["winding number"], found["7 rays"])


def sign_table(rows: list[Row]) -> list[str]:
    """A line per solid and damage, and the mean of them."""
    names = list(columns(rows[0].near))
    head = ["solid", "damage", *(f"near: {name}" for name in names), *(f"cube: {name}" for name in names)]
    head += ["not worse than both", "of our wrong doubted", "doubted in all"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [_line(row) for row in rows]
    places = [row.near for row in rows], [row.cube for row in rows]
    means = [np.mean([columns(shares)[name] for shares in place]) for place in places for name in names]
    return [*lines, f"| mean | | {' | '.join(map(_percent, means))} | | | |"]


def _line(row: Row) -> str:
    shares = [_percent(share) for place in (row.near, row.cube) for share in columns(place).values()]
    good = "yes" if max(excess(row.near), excess(row.cube)) <= 0 else "no"
    doubted = row.confidence < 0.5
    known = _percent(doubted[row.wrong].mean(), 0) if row.wrong.any() else "-"
    return f"| {row.shape} | {row.damage} | {' | '.join([*shares, good, known, _percent(doubted.mean(), 2)])} |"


def _percent(share: float, digits: int = 3) -> str:
    return f"{100 * share:.{digits}f} %"


def summary(rows: list[Row]) -> list[str]:
    """In how many comparisons ours is worse than the better of winding number and rays, and by how much."""
    compared = [(excess(getattr(row, place)), row, place) for row in rows for place in ("near", "cube")]
    worse = sorted((item for item in compared if item[0] > 0), key=lambda item: -item[0])
    lines = [f"Worse than the better of winding number and rays in {len(worse)} of {len(compared)} comparisons."]
    return [*lines, "", *(f"- {row.shape}, {row.damage}, {place}: by {_percent(by)}" for by, row, place in worse)]


def reliability_table(rows: list[Row]) -> list[str]:
    """Error rate of our signs by their confidence, all rows and points together."""
    confidence, wrong = (np.concatenate([getattr(row, name) for row in rows]) for name in ("confidence", "wrong"))
    which = np.digitize(confidence, BINS[1:-1])
    lines = ["| confidence | points | wrong |", "| --- | --- | --- |"]
    for k in range(len(BINS) - 1):
        share = _percent(wrong[which == k].mean()) if (which == k).any() else "-"
        lines.append(f"| {BINS[k]:g} to {BINS[k + 1]:g} | {np.sum(which == k):,} | {share} |")
    return lines


def main() -> None:
    """Print the tables and, if asked, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000, help="points near the surface, and as many in the cube")
    parser.add_argument("--seeds", type=int, default=3, help="draws of damage and points that are pooled")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = measure(options.points, options.seeds)
    told = (
        f"{options.points:,} points near the surface (offsets of {NEAR}) and {options.points:,} in the cube, "
        f"{options.seeds} seeds. Shares of wrong signs; *winding number* is the better of w > 1/2 and |w| > 1/2, "
        "row by row; *doubted* is a confidence below 0.5."
    )
    tables = [*sign_table(rows), "", "## Error rate by confidence", "", *reliability_table(rows)]
    text = "\n".join([told, "", *summary(rows), "", *tables]) + "\n"
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        command = f"python -m benchmarks.signs --points {options.points} --seeds {options.seeds} --out docs/results"
        (options.out / "signs.md").write_text(f"# Signs on damaged solids\n\n    {command}\n\n{text}")


if __name__ == "__main__":
    main()
