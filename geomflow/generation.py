"""The result of a generation, and how it is written: numbered meshes, generation.json and a preview."""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import trimesh
from torch import Tensor

from geomflow.files import named_if_full
from geomflow.geometry.frame import Similarity, normalize
from geomflow.geometry.solid import SolidReport
from geomflow.geometry.write import check_writable, write_mesh

ABOUT, PREVIEW = "generation.json", "preview.png"

OUTERMOST = 1.1
"""How far from the middle a generated mesh may reach in the unit frame."""

PREVIEWED = 64
"""Shapes drawn on a preview, at most."""


MADE = ("shapes", "images")
"""Keys under which a generation.json lists files."""

Up = Literal["y", "z"]
UPRIGHT = {"y": np.eye(4), "z": np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])}
"""Rotations that take y to the axis that is to point up."""


@dataclass(frozen=True)
class Shape:
    """One generated shape.

    Attributes:
        seed: Seed of its noise: the same model, seed, steps, condition and way of steering give it again, alone or in
            any batch; but shapes steered by `tilt` are of one population, which has the first one's.
        mesh: The surface, empty if there was none.
        report: Whether it is a solid, and if not, why.
        dropped: Bodies that were removed.
        repaired: Rung of the repair that made the mesh what it is, `none` if it is as extracted.
        problem: Why there is no mesh, empty if there is one.
    """

    seed: int
    mesh: trimesh.Trimesh
    report: SolidReport | None = None
    dropped: int = 0
    repaired: str = "none"
    problem: str = ""

    @property
    def reasons(self) -> list[str]:
        """Why the shape is no solid, nothing if it is one."""
        return self.report.reasons() if self.report else [self.problem]

    def moved(self, frame: Similarity) -> "Shape":
        """Return the shape in the frame that a similarity takes to the unit frame, where it was generated.

        Args:
            frame: Where the shape goes: the map from there to the unit frame.
        """
        matrix = np.diag([1 / frame.scale] * 3 + [1.0])
        matrix[:3, 3] = frame.shift
        return self._transformed(matrix, 1 / frame.scale)

    def placed(self, up: Up = "y", size: float | None = None) -> "Shape":
        """Return the shape as other software wants it: with another axis up, as large as it is in life.

        Args:
            up: Axis that is to point up; generated shapes have y up and z in front, as GLB wants it. With `z` the front
                is -y, as in Blender and most printers' software.
            size: Longest edge of the shape's box, in whatever unit the file is to have; as generated if None.

        Raises:
            ValueError: Another axis, or a size that is not positive.
        """
        check_placing(up, size)
        if not len(self.mesh.faces):
            return self
        factor = 1.0 if size is None else size / float(self.mesh.extents.max())
        return self._transformed(UPRIGHT[up] @ np.diag([factor] * 3 + [1.0]), factor)

    def _transformed(self, matrix: np.ndarray, factor: float) -> "Shape":
        if not len(self.mesh.faces):
            return self
        mesh = self.mesh.copy(include_cache=True).apply_transform(matrix)  # with normals, if they are given
        return replace(self, mesh=mesh, report=self.report and self.report.scaled(factor))

    def as_dict(self) -> dict[str, Any]:
        """Return what is known of the shape, for generation.json."""
        report = self.report.as_dict() if self.report else {}
        return {
            "seed": self.seed,
            **report,
            "passes": not self.reasons,
            "reasons": self.reasons,
            "dropped": self.dropped,
            "repaired": self.repaired,
        }


@dataclass(frozen=True)
class Generation:
    """The shapes of one call and what they cost.

    Attributes:
        shapes: Mesh, report and seed of every shape.
        steps: Jumps of the flow map.
        nfe: Network calls per shape.
        resolution: Samples per axis of the extraction.
        seconds: Wall time of each stage: `network`; `decode`, which is all calls of the decoder; `extraction`, which is
            the rest of the way to meshes; `report`, with dropping and repair; for steps="auto", `choice of steps`;
            of several candidates, `choice of candidates`; with a reward `steering` in place of `network`.
        latents: What the decoder was given (count, *latent shape).
        settings: What else decides the meshes: the condition by name, and how fields became meshes.
    """

    shapes: list[Shape]
    steps: int
    nfe: int
    resolution: int
    seconds: dict[str, float]
    latents: Tensor
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def meshes(self) -> list[trimesh.Trimesh]:
        """The surfaces, in the unit frame, or in that of the points that they complete."""
        return [shape.mesh for shape in self.shapes]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the surfaces, for generation.json."""
        return {
            "count": len(self.shapes),
            "steps": self.steps,
            "nfe": self.nfe,
            "resolution": self.resolution,
            **self.settings,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "shapes": [shape.as_dict() for shape in self.shapes],
        }


def check_placing(up: str, size: float | None) -> None:
    """Refuse an axis or a size that no file can have.

    Args:
        up: Axis that points up, `y` or `z`.
        size: Longest edge, None for the model's own.

    Raises:
        ValueError: Another axis than y and z, or a size that is not positive and finite.
    """
    if up not in UPRIGHT:
        raise ValueError(f"up must be one of {', '.join(UPRIGHT)}, given {up!r}")
    if size is not None and not 0 < size < math.inf:
        raise ValueError(f"size must be positive and finite, given {size}")


def save_generation(
    result: Generation,
    out: str | Path,
    file_format: str = "ply",
    model: str = "",
    up: Up = "y",
    size: float | None = None,
) -> Path:
    """Write 0000.ply, 0001.ply, ..., generation.json and preview.png into a folder, and return it.

    Everything is written to a temporary folder inside it and moved at the end, so nothing half-written is left behind;
    the shapes and the preview of an earlier generation in the same folder are removed then.

    Args:
        result: What was generated.
        out: The folder.
        file_format: Suffix of the meshes' files.
        model: What generation.json calls the model.
        up: Axis that points up in the files, see `Shape.placed`.
        size: Longest edge of every shape in the files.

    Raises:
        ValueError: Unknown format or axis, or a size that is not positive.
        OSError: The folder cannot be written or the disk is full.
    """
    from geomflow.viz import contact_sheet, save_png

    out = Path(out)
    check_writable(out / f"0000.{file_format}")
    with replaced(out) as partial:
        start = time.perf_counter()
        placed = [shape.placed(up, size) for shape in result.shapes]
        names = [_export(shape, partial, i, file_format) for i, shape in enumerate(placed)]
        seconds = {**result.seconds, "export": time.perf_counter() - start}
        about = {"model": str(model), "up": up, **replace(result, shapes=placed, seconds=seconds).as_dict()}
        for name, entry in zip(names, about["shapes"], strict=True):
            entry["file"] = name
        (partial / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        drawn = [_in_view(mesh) for mesh in result.meshes if len(mesh.faces)][:PREVIEWED]
        if drawn:
            save_png(contact_sheet(drawn), partial / PREVIEW)
    return out


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Give a temporary folder inside `out` whose files take the place of an earlier generation's in the end.

    Args:
        out: Folder of the generation.

    Raises:
        OSError: The folder cannot be written or the disk is full; then what was there stays as it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".partial-{time.time_ns()}"
    partial.mkdir()
    try:
        with named_if_full(out):
            yield partial
        for file in _earlier(out):
            file.unlink(missing_ok=True)
        for file in sorted(partial.iterdir()):
            file.replace(out / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _in_view(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A mesh in the unit frame, where pictures are taken: as it is if it is there."""
    return mesh if np.abs(mesh.bounds).max() <= OUTERMOST else normalize(mesh).mesh


def _earlier(out: Path) -> list[Path]:
    """What an earlier generation left in a folder, as its generation.json says, and its preview."""
    try:
        about = json.loads((out / ABOUT).read_text())
        listed = [entry["file"] for kind in MADE for entry in about.get(kind, ())]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
    return [out / Path(name).name for name in [*listed, PREVIEW] if name]


def _export(shape: Shape, folder: Path, index: int, file_format: str) -> str:
    name = f"{index:04d}.{file_format}" if len(shape.mesh.faces) else ""
    if name:
        write_mesh(shape.mesh, folder / name)
    return name
