"""What a picture is made of, as plain arrays: the one description that every backend draws."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Num


@dataclass(frozen=True)
class Surface:
    """Triangles.

    Attributes:
        vertices: Positions.
        faces: Corners of each triangle.
        colors: Red, green and blue from 0 to 1 of each vertex.
        values: Number at each vertex, drawn on a colour scale.
        opacity: 1 for a solid surface, less for glass.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Integer[np.ndarray, "f 3"]
    colors: Float[np.ndarray, "v 3"] | None = None
    values: Float[np.ndarray, " v"] | None = None
    opacity: float = 1.0

    def places(self) -> Float[np.ndarray, "v 3"]:
        """Return all positions."""
        return self.vertices


@dataclass(frozen=True)
class Points:
    """Points.

    Attributes:
        points: Positions.
        colors: Red, green and blue from 0 to 1 of each point.
        values: Number at each point, drawn on a colour scale.
    """

    points: Float[np.ndarray, "n 3"]
    colors: Float[np.ndarray, "n 3"] | None = None
    values: Float[np.ndarray, " n"] | None = None

    def places(self) -> Float[np.ndarray, "n 3"]:
        """Return all positions."""
        return self.points


@dataclass(frozen=True)
class Lines:
    """Straight lines.

    Attributes:
        starts: Where each begins.
        ends: Where each ends.
    """

    starts: Float[np.ndarray, "k 3"]
    ends: Float[np.ndarray, "k 3"]

    def places(self) -> Float[np.ndarray, "m 3"]:
        """Return all positions, starts first."""
        return np.concatenate([self.starts, self.ends])


@dataclass(frozen=True)
class Slice:
    """A plane through a grid of numbers.

    Attributes:
        nodes: Positions of the grid's nodes in the plane.
        values: Number at each of them.
    """

    nodes: Float[np.ndarray, "rows columns 3"]
    values: Float[np.ndarray, "rows columns"]

    def places(self) -> Float[np.ndarray, "n 3"]:
        """Return all positions."""
        return self.nodes.reshape(-1, 3)


Layer = Surface | Points | Lines | Slice


@dataclass(frozen=True)
class Panel:
    """Layers in one frame, and the line above them.

    Attributes:
        layers: What is drawn.
        title: The line.
    """

    layers: tuple[Layer, ...]
    title: str = ""


@dataclass(frozen=True)
class Scene:
    """Panels in rows, or one after the other.

    Attributes:
        panels: What is drawn.
        columns: Panels per row, at most.
        height: Pixels of a row.
        frames: Whether the panels are steps in time, which a page shows in turn and a picture side by side.

    Raises:
        ValueError: There is nothing to draw in any panel.
    """

    panels: tuple[Panel, ...]
    columns: int = 4
    height: int = 480
    frames: bool = False

    def __post_init__(self) -> None:
        """Refuse a scene of nothing, of which no backend could make a picture."""
        if not any(panel.layers for panel in self.panels):
            found = self.panels[0].title if self.panels else "no panels"
            raise ValueError(f"there is nothing to draw: {found}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the panels side by side."""
        columns = min(self.columns, len(self.panels))
        return -(-len(self.panels) // columns), columns

    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Return the lower and upper corner of the box around everything."""
        places = np.concatenate([layer.places() for panel in self.panels for layer in panel.layers])
        return np.stack([places.min(axis=0), places.max(axis=0)])


def color_range(values: Num[np.ndarray, "..."]) -> tuple[str, float, float]:
    """Return the colour scale of some numbers and its ends.

    Numbers of both signs get `RdBu`, red below zero and blue above, white at zero; others `viridis` from the least to
    the greatest.

    Args:
        values: The numbers, at least one.
    """
    low, high = float(values.min()), float(values.max())
    if low < 0 < high:
        return "RdBu", -max(-low, high), max(-low, high)
    return "viridis", low, high
