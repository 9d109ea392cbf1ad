"""The protocols: what is measured, on how many points, in which frame. Numbers of different rows cannot be compared.

A new one is a row here; a new kind of comparison is a file beside `compare_sets`, and a line in `evaluate`.
"""

from dataclasses import dataclass
from typing import Literal

from geomflow.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """One way to measure.

    Attributes:
        name: What it is called.
        compares: Sets with sets, meshes or points with the reference of their name, or meshes with what a solid is.
        points: Points per shape.
        frame: Frame of the numbers: `global` (one mean and deviation for all), `box` (each shape's own), `reference`
            (the box of each reference, edge 2, for both).
        distances: Distances between shapes.
        about: What it is for, in one line.
    """

    name: str
    compares: Literal["sets", "surfaces", "samples", "solids", "images"]
    points: int
    frame: Literal["global", "box", "reference", "none"]
    distances: tuple[str, ...]
    about: str


DISTANCES = ("chamfer", "emd")
"""Distances that sets can be compared by."""

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "pointflow", "sets", 2048, "global", ("chamfer", "emd"), "generated sets, in one frame for all shapes"
        ),
        Protocol("lion-box", "sets", 2048, "box", ("chamfer", "emd"), "generated sets, every shape in its own box"),
        Protocol("recon-unit", "surfaces", 100_000, "reference", ("chamfer",), "reconstructed meshes, one by one"),
        Protocol("geomdist", "samples", 100_000, "reference", ("chamfer",), "points drawn from a fitted surface"),
        Protocol("solid", "solids", 2_000, "box", (), "meshes as solids: closed, whole, thick enough to print"),
        Protocol("fashion-mnist", "images", 0, "none", ("frechet",), "28 x 28 images, on the repo's own classifier"),
    )
}


def protocol_of(name: str) -> Protocol:
    """Return a protocol by its name.

    Args:
        name: Name of the protocol.

    Raises:
        ConfigError: There is none of that name; the message lists those that there are.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}: the protocols are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
