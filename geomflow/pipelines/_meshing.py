"""From a decoded field to a shape: extraction, what becomes of its pieces, repair, and the report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import trimesh

from geomflow.errors import EmptySurface
from geomflow.generation import Shape
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.grid import Field
from geomflow.geometry.repair import RUNGS, Rung, repair
from geomflow.geometry.solid import keep_largest
from geomflow.pipeline import Clock

Floaters = Literal["keep", "specks", "largest"]
FLOATERS: dict[Floaters, float] = {"keep": 0.0, "specks": 0.02, "largest": 1.0}
"""Share of the largest body's volume under which other bodies of a generated mesh are dropped."""


@dataclass(frozen=True)
class Meshing:
    """How a decoded field becomes a mesh.

    Attributes:
        resolution: Samples per axis of the extraction.
        refine: Rounds in which vertices are moved on to the surface of the field.
        floaters: Which bodies beside the largest stay: all (`keep`), all but `specks` under 2 % of its volume, or none
            (`largest`).
        repair: Last rung of `geomflow.geometry.repair` that may be tried on a mesh that is no solid.

    Raises:
        ValueError: No such policy or rung.
    """

    resolution: int = 128
    refine: int = 0
    floaters: Floaters = "specks"
    repair: Rung = "none"

    def __post_init__(self) -> None:
        """Checks the names."""
        for name, choices in (("floaters", FLOATERS), ("repair", RUNGS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, given {getattr(self, name)!r}")

    def shape(self, decode: Callable[[], Field], seed: int, clock: Clock) -> Shape:
        """Return the shape of the field that `decode` gives, empty if that has no surface.

        Args:
            decode: Gives a field of [-1, 1]^3; its calls and those of the field are counted as the stage `decode`.
            seed: What is noted as the shape's seed.
            clock: Counts the stages `decode`, `extraction` and `report`.
        """
        try:
            with clock.stage("extraction"):
                field = clock.timed("decode", clock.timed("decode", decode)())
                mesh = extract_mesh(field, self.resolution, refine=self.refine)
        except EmptySurface as error:
            return Shape(seed, trimesh.Trimesh(), problem=str(error))
        with clock.stage("report"):
            mesh, dropped = keep_largest(mesh, FLOATERS[self.floaters])
            repaired = repair(mesh, self.repair, self.resolution)
        return Shape(seed, repaired.mesh, repaired.report, dropped, repaired.rung)
