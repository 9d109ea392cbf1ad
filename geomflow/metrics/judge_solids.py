"""Meshes as solids: shares that are closed, whole, without self-intersections, and thick enough to print."""

import math
from typing import Any

import numpy as np

from geomflow.geometry.frame import normalize
from geomflow.geometry.thickness import print_report
from geomflow.geometry.weld import weld
from geomflow.metrics.evaluation import Number, finite_or_none, share_of
from geomflow.metrics.inputs import Shape, ShapeSet
from geomflow.metrics.parallel import Options, mapped
from geomflow.metrics.protocols import Protocol

MINIMUM_THICKNESS = 0.02
"""Least wall thickness of what can be printed: 1 % of the longest edge of the shape's box."""

SHARES = ("watertight", "one-component", "no-self-intersections", "thick-enough", "solid", "printable")
"""Findings of which the share of all shapes is given."""


def evaluate_solids(
    shapes: ShapeSet, protocol: Protocol, options: Options, role: str
) -> tuple[list[Number], list[dict[str, Any]]]:
    """Return the shares of a set's shapes that pass, shapes without any surface failing, and each shape's findings.

    Args:
        shapes: Meshes in any frames; each is measured in its own box, edge 2.
        protocol: The protocol.
        options: How to go about it.
        role: What the bar calls the set.

    Raises:
        MeshError: A file cannot be read, or is no mesh; the message names it.
    """
    jobs = [(shape, protocol.points, options.seed) for shape in shapes.shapes]
    keys = [f"solid-2-{protocol.points}-{shape.seed('solid', options.seed):016x}" for shape in shapes.shapes]
    found = mapped(_judged, jobs, keys, f"{role} solids", options)
    rows = [{name: value.item() for name, value in row.items()} for row in found]
    failed = [dict.fromkeys(SHARES, False) for _ in range(shapes.missing)]
    numbers = [share_of(name, [row[name] for row in (*rows, *failed)], options.level) for name in SHARES]
    thickness = [row["thickness"] for row in rows if math.isfinite(row["thickness"])]
    if thickness:
        numbers.append(Number("thickness-median", float(np.median(thickness))))
    return numbers, [{"id": shape.id, **finite_or_none(row)} for shape, row in zip(shapes.shapes, rows, strict=True)]


def _judged(job: tuple[Shape, int, int]) -> dict[str, np.ndarray]:
    shape, count, seed = job
    unit = weld(normalize(shape.mesh(), margin=1.0).mesh)
    report = print_report(unit, MINIMUM_THICKNESS, count, seed=shape.seed("thickness", seed))
    solid = report.solid
    findings = {
        "watertight": solid.watertight and solid.winding_consistent,
        "one-component": solid.outer_components == 1,
        "no-self-intersections": solid.self_intersections == 0,
        "thick-enough": math.isfinite(report.thickness) and not set(report.reasons()) - set(solid.reasons()),
        "solid": solid.passes,
        "printable": report.passes,
        "components": solid.outer_components,
        "self-intersections": solid.self_intersections,
        "thickness": report.thickness,
        "volume": solid.volume,
        "area": solid.area,
    }
    return {name: np.asarray(value) for name, value in findings.items()}
