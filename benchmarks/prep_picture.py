"""The stages of preprocessing in one picture, on one real mesh with faults.

python -m benchmarks.prep_picture --data DATA --out docs/results/preprocessing.png

DATA holds the folder `shapes` as `data_prep.shapes` reads it. The points are those of the record that `geomflow prep`
makes with its defaults; the slice is taken of a finer grid, so as to have the confidence as well. Takes half a minute.
"""

import argparse
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh
from PIL import Image

from data_prep.shapes import read
from geomflow.geometry.bvh import Bvh
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import normalize
from geomflow.geometry.orient import orient
from geomflow.geometry.read import read_surface
from geomflow.prep.job import make_record, upright
from geomflow.prep.quality import DOUBTED
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source, local_file
from geomflow.records import ShapeRecord
from geomflow.viz import render, save_png

SHAPE = "cargotrain_coalcontainer_01"
AZIMUTH, ELEVATION = 28.0, 24.0
PIXELS = 800
ZOOM = 1.38
"""How much larger than in the unit frame a shape is seen."""

FAR = 10.0
"""Distance from the eye at which nothing is left to see."""

SLAB = 0.05
"""Half the thickness of the slab around z = 0 whose points are shown."""

ARROWS = 110
"""About how many normals are drawn."""

OUTER, INNER, OPEN, BURIED = "#7fa8cf", "#e8772e", "#222222", "#c8324a"
INSIDE, OUTSIDE, DOUBT = "#c8324a", "#3b78a8", "#f2b632"
COLORS = 144
"""Colours of the picture, few so that its file is small."""

QUIVER = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004, "headwidth": 4, "headlength": 5}


class Camera(NamedTuple):
    """The camera of `geomflow.viz.render`: the eye, and unit vectors to the right, up and forward."""

    eye: np.ndarray
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray

    @classmethod
    def usual(cls) -> "Camera":
        """Return the camera of all panels."""
        a, e = np.radians(AZIMUTH), np.radians(ELEVATION)
        back = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
        right = np.array([np.cos(a), 0.0, -np.sin(a)])
        return cls(5.2 * back, right, np.cross(back, right), -back)

    def rays(self) -> np.ndarray:
        """Return the unit direction of each pixel's ray (PIXELS^2, 3)."""
        x = 0.28 * (2 * (np.arange(PIXELS) + 0.5) / PIXELS - 1)
        across, upward = np.meshgrid(x, -x)
        rays = self.forward + across[..., None] * self.right + upward[..., None] * self.up
        return np.asarray(trimesh.unitize(rays.reshape(-1, 3)))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return where points are in the picture (n, 2), whose sides are at -1 and 1."""
        way = points - self.eye
        return np.stack([way @ self.right, way @ self.up], axis=1) / (way @ self.forward)[:, None] / 0.28


CAMERA = Camera.usual()


@dataclass(frozen=True)
class Subject:
    """One shape in all its states, in the unit frame."""

    read: trimesh.Trimesh
    oriented: trimesh.Trimesh
    boundary: trimesh.Trimesh
    field: SignedDistanceField
    record: ShapeRecord

    @classmethod
    def of(cls, source: Source) -> "Subject":
        """Return the states of a shape."""
        with local_file(source.path) as file:
            unit = normalize(upright(read_surface(file), source.up, source.yaw)).mesh
        field = SignedDistanceField(unit, internal_walls=False)
        return cls(unit, orient(unit).mesh, field.boundary(), field, make_record(source, Recipe()))

    def buried(self) -> np.ndarray:
        """Return which oriented faces (f,) are no part of the boundary."""
        kept = set(map(tuple, self.boundary.faces))
        return np.array([tuple(face) not in kept for face in self.oriented.faces])


def enlarged(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return the mesh so large that it fills a panel."""
    return trimesh.Trimesh(ZOOM * np.asarray(mesh.vertices), mesh.faces, process=False)


def depth(mesh: trimesh.Trimesh, chosen: np.ndarray) -> np.ndarray:
    """Return how far away the chosen faces are along each pixel's ray (PIXELS, PIXELS), `FAR` where there is none."""
    if not chosen.any():
        return np.full((PIXELS, PIXELS), FAR)
    rays = CAMERA.rays()
    tree = Bvh(np.asarray(mesh.vertices), np.asarray(mesh.faces)[chosen])
    return tree.free_way(np.broadcast_to(CAMERA.eye, rays.shape), rays, FAR).reshape(PIXELS, PIXELS)


def tinted(mesh: trimesh.Trimesh, color: np.ndarray) -> np.ndarray:
    """Return a picture of a mesh, shaded, in one colour (3,) or in one for each pixel (PIXELS, PIXELS, 3)."""
    light = render(mesh, PIXELS, AZIMUTH, ELEVATION, (1.0, 1.0, 1.0)) / 255
    hit = depth(mesh, np.ones(len(mesh.faces), dtype=bool)) < FAR
    return np.where(hit[..., None], light * color, light)


def rgb(color: str) -> np.ndarray:
    """Return red, green and blue in [0, 1] of a colour like #7fa8cf."""
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def two_sided(mesh: trimesh.Trimesh) -> np.ndarray:
    """Return a picture in which outer sides of faces have one colour and inner sides another."""
    large = enlarged(mesh)
    facing = np.einsum("nd,nd->n", CAMERA.eye - large.triangles_center, large.face_normals) > 0
    outer = depth(large, facing) <= depth(large, ~facing)
    return tinted(large, np.where(outer[..., None], rgb(OUTER), rgb(INNER)))


def see_through(mesh: trimesh.Trimesh, chosen: np.ndarray) -> np.ndarray:
    """Return a picture in which the chosen faces shine through the others, darker where they are farther away."""
    large = enlarged(mesh)
    veil = 0.5 * tinted(large, rgb(OUTER)) + 0.5
    there = depth(large, chosen)
    near, far = there.min(), there[there < FAR].max(initial=there.min() + 1e-6)
    color = rgb(BURIED) * (1.1 - 0.5 * (there - near) / (far - near))[..., None]
    return np.where((there < FAR)[..., None], 0.8 * color + 0.2 * veil, veil)


def show(axes: Any, picture: np.ndarray) -> None:
    """Put a picture into a panel."""
    axes.imshow(picture.clip(0, 1), extent=(-1, 1, -1, 1), interpolation="lanczos")


def show_oriented(axes: Any, mesh: trimesh.Trimesh) -> None:
    """Draw the two sides of faces, and the edges that belong to one face only."""
    show(axes, two_sided(mesh))
    edges, count = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    for ends in ZOOM * np.asarray(mesh.vertices)[edges[count == 1]]:
        axes.plot(*CAMERA.project(ends).T, color=OPEN, linewidth=1.2)


def show_points(axes: Any, mesh: trimesh.Trimesh, points: np.ndarray, normals: np.ndarray) -> None:
    """Draw the points that are in sight, coloured by their normals, and some of the normals."""
    large = enlarged(mesh)
    lifted = ZOOM * points + 5e-3 * normals
    tree = Bvh(np.asarray(large.vertices), np.asarray(large.faces))
    seen = np.flatnonzero(tree.sees(lifted, np.broadcast_to(CAMERA.eye, lifted.shape)))
    start, end = CAMERA.project(lifted[seen]), CAMERA.project(lifted[seen] + 0.12 * normals[seen])
    colors = 0.5 + 0.4 * normals[seen]
    some = slice(None, None, max(1, len(seen) // ARROWS))
    show(axes, 0.15 * tinted(large, np.ones(3)) + 0.83)
    axes.scatter(*start.T, s=2.5, c=colors, linewidths=0)
    axes.quiver(*start[some].T, *(end - start)[some].T, color=0.75 * colors[some], **QUIVER)


def show_signs(axes: Any, points: np.ndarray, distance: np.ndarray, confidence: np.ndarray) -> None:
    """Draw the points of the slab, coloured by sign, or as doubted."""
    chosen = np.abs(points[:, 2]) < SLAB
    colors = np.where(confidence < DOUBTED, DOUBT, np.where(distance < 0, INSIDE, OUTSIDE))
    axes.scatter(points[chosen, 0], points[chosen, 1], s=6, linewidths=0, c=colors[chosen])


def show_slice(axes: Any, field: SignedDistanceField) -> None:
    """Draw the distances at z = 0, cut off at the band of a record's grid, the zero line, and what is doubted."""
    from matplotlib.colors import LinearSegmentedColormap

    x, y = np.meshgrid(np.linspace(-1, 1, 600), np.linspace(-0.6, 0.6, 360))
    found = field(np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3))
    distance, confidence = (values.reshape(x.shape) for values in found)
    band, extent = Recipe().band, (-1, 1, -0.6, 0.6)
    colors = LinearSegmentedColormap.from_list("signs", ["#8c1c30", INSIDE, "#ffffff", OUTSIDE, "#1f4e73"])
    axes.imshow(distance.clip(-band, band), extent=extent, origin="lower", cmap=colors, vmin=-band, vmax=band)
    axes.contour(x, y, distance, np.arange(0.05, band, 0.05), colors="white", linewidths=0.6)
    axes.contourf(x, y, confidence, [-0.1, DOUBTED], colors=[DOUBT], alpha=0.9)
    axes.contour(x, y, distance, [0], colors="black", linewidths=1.3)


Panel = tuple[str, dict[str, str], Callable[[Any], object]]
"""Title, colours of words that explain colours, and what fills the panel."""


def panels(subject: Subject) -> list[Panel]:
    """Return the stages in their order."""
    record, edge = subject.record, subject.boundary
    sides, sign = {"outer side": OUTER, "inner side": INNER}, {"inside": INSIDE, "outside": OUTSIDE, "in doubt": DOUBT}
    surface, sharp = (record.surface_points, record.surface_normals), (record.sharp_points, record.sharp_normals)
    near = (record.near_points, record.near_sdf, record.near_confidence)
    volume = (record.vol_points, record.vol_sdf, record.vol_confidence)
    return [
        ("1  as read", sides, lambda axes: show(axes, two_sided(subject.read))),
        ("2  welded and oriented", {**sides, "open edge": OPEN}, lambda axes: show_oriented(axes, subject.oriented)),
        (
            "3  buried faces go",
            {"buried": BURIED},
            lambda axes: show(axes, see_through(subject.oriented, subject.buried())),
        ),
        ("4  surface points", {}, lambda axes: show_points(axes, edge, *surface)),
        ("5  sharp edges", {}, lambda axes: show_points(axes, edge, *sharp)),
        ("6  points near the surface", sign, lambda axes: show_signs(axes, *near)),
        ("7  points anywhere", sign, lambda axes: show_signs(axes, *volume)),
        ("8  signed distance", sign, lambda axes: show_slice(axes, subject.field)),
    ]


def draw(subject: Subject) -> np.ndarray:
    """Return the picture of all stages."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, 4, figsize=(16, 6), dpi=100)
    for axes, (title, words, fill) in zip(grid.ravel(), panels(subject), strict=True):
        fill(axes)
        axes.set(xlim=(-1, 1), ylim=(-0.6, 0.6), aspect="equal")
        axes.set_axis_off()
        axes.set_title(title, fontsize=15, loc="left")
        for place, (word, color) in enumerate(words.items()):
            axes.text(
                0.02 + 0.27 * place, -0.02, f"● {word}", color=color, transform=axes.transAxes, va="top", fontsize=11
            )
    figure.subplots_adjust(left=0.005, right=0.995, top=0.94, bottom=0.04, wspace=0.03, hspace=0.2)
    page = io.BytesIO()
    figure.savefig(page)
    return np.asarray(Image.open(page).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).convert("RGB"))


def source_of(data: Path, name: str) -> Source:
    """Return a shape of a collection with a manifest.

    Raises:
        SystemExit: The collection has no such shape.
    """
    found = [item for item in read(data / "shapes") if item.id == name]
    if not found:
        raise SystemExit(f"{data}/shapes/manifest.csv: no shape {name}")
    item = found[0]
    terms = {"license": item.license, "creator": item.creator, "sha256": item.sha256}
    return Source(item.id, item.path, item.class_name, item.split, item.up or "y", item.yaw or 0.0, **terms)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results/preprocessing.png"))
    parser.add_argument("--shape", default=SHAPE, help="id in DATA/shapes/manifest.csv")
    options = parser.parse_args()
    source = source_of(options.data, options.shape)
    save_png(draw(Subject.of(source)), options.out)
    print(f"{options.out}: {source.id} by {source.creator}, {source.license}")


if __name__ == "__main__":
    main()
