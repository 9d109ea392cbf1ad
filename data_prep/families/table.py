"""Tables: boards on legs, a column, trestles or side boards, with aprons, drawers and shelves."""

from dataclasses import dataclass

import numpy as np

from data_prep.families import _legs as legs
from data_prep.families._parts import (
    BITE,
    SIDES,
    ball,
    bar,
    block,
    ellipse,
    lathe,
    one_of,
    plate,
    rod,
    rounded,
    smooth,
    solid_of,
    tube,
)
from geomflow.geometry.primitives import Assembly, Solid


@dataclass(frozen=True)
class Top:
    """Measures of the board, in metres, which everything else is fitted to.

    Attributes:
        width: Extent in x.
        depth: Extent in z.
        height: Height of its upper side.
        thickness: Height from its lower to its upper side.
        is_round: Whether it is an ellipse rather than a rectangle.
    """

    width: float
    depth: float
    height: float
    thickness: float
    is_round: bool

    @property
    def underside(self) -> float:
        """Height at which legs end, inside the board."""
        return self.height - self.thickness + BITE

    @property
    def corner(self) -> tuple[float, float]:
        """Where a leg stands under the board: x and z."""
        share = 0.34 if self.is_round else 0.45
        return share * self.width, share * self.depth


def make(rng: np.random.Generator) -> Assembly:
    """Return a table.

    Args:
        rng: Source of everything random in it.
    """
    top = _measures(rng)
    bases = [_legs, _legs, _column] if top.is_round else [_legs, _legs, _legs, _legs, _trestles, _sides, _runners]
    return Assembly((_board(rng, top), *one_of(rng, bases)(rng, top)))


def _measures(rng: np.random.Generator) -> Top:
    """A dining table or desk, a side table or a low table."""
    low, high = one_of(rng, [(0.7, 0.78), (0.7, 0.78), (0.5, 0.62), (0.33, 0.45)])
    height, is_round, thickness = rng.uniform(low, high), bool(rng.random() < 0.35), rng.uniform(0.018, 0.05)
    if is_round:
        width = rng.uniform(0.8, 1.3) * height
        return Top(width, width * one_of(rng, [1.0, rng.uniform(0.65, 0.9)]), height, thickness, is_round)
    width = height * one_of(rng, [rng.uniform(0.8, 1.3), *[rng.uniform(1.3, 2.4)] * 3])
    return Top(width, min(width, rng.uniform(0.7, 1.2) * height), height, thickness, is_round)


def _board(rng: np.random.Generator, top: Top) -> Solid:
    corner = min(0.12, one_of(rng, [0.0, rng.uniform(0.01, 0.3 * top.depth)]))
    outline = ellipse(top.width, top.depth) if top.is_round else rounded(top.width, top.depth, corner)
    return plate(outline, top.height - top.thickness, top.height)


def _legs(rng: np.random.Generator, top: Top) -> list[Solid]:
    """Four legs of one kind, upright or splayed, under an apron, drawers or none, perhaps with a shelf."""
    shape, taper, splay = one_of(rng, legs.SHAPES), rng.uniform(0.45, 1.0), one_of(rng, [0.0, rng.uniform(0.02, 0.07)])
    thick = rng.uniform(0.036, 0.072) * top.height**0.5
    x, z = np.array(top.corner) - thick / 2 - splay
    ends = [((a * (x + splay), 0, b * (z + splay)), (a * x, top.underside, b * z)) for a in SIDES for b in SIDES]
    parts = [shape(foot, head, thick, taper) for foot, head in ends]
    parts += _apron(rng, top, x, z, rng.uniform(0.06, 0.14)) if rng.random() < 0.6 else []
    return parts + (_shelf(rng, top, x, z, splay) if rng.random() < 0.3 else [])


def _apron(rng: np.random.Generator, top: Top, x: float, z: float, tall: float) -> list[Solid]:
    """Four rails under the board, and often drawers between the front legs."""
    middle, thick = top.underside - tall / 2, 0.022
    along = [block((0, middle, b * z), (2 * x, tall, thick)) for b in SIDES]
    across = [block((a * x, middle, 0), (thick, tall, 2 * z)) for a in SIDES]
    return [*along, *across, *(_drawers(rng, middle, x, z, tall) if rng.random() < 0.5 else [])]


def _drawers(rng: np.random.Generator, middle: float, x: float, z: float, tall: float) -> list[Solid]:
    """Drawer fronts on the front rail, each with a knob or a handle."""
    count, front, fitting = int(rng.integers(1, 4)), z + 0.012, one_of(rng, [_knob, _handle])
    pitch = (2 * x - 0.06) / count
    parts: list[Solid] = []
    for center in pitch * (np.arange(count) - (count - 1) / 2):
        parts.append(block((center, middle - BITE, front), (pitch - 0.02, 0.75 * tall, 0.02)))
        parts += fitting(center, middle, front, min(0.06, 0.3 * pitch))
    return parts


def _knob(x: float, y: float, front: float, _: float) -> list[Solid]:
    return [rod((x, y, front), (x, y, front + 0.03), 0.006), ball((x, y, front + 0.035), 0.015)]


def _handle(x: float, y: float, front: float, reach: float) -> list[Solid]:
    """A bent bar, `reach` to both sides."""
    return tube([(x + s * reach, y, front + 0.03 * out) for s, out in ((-1, 0), (-1, 1), (1, 1), (1, 0))], 0.005)


def _shelf(rng: np.random.Generator, top: Top, x: float, z: float, splay: float) -> list[Solid]:
    """A board between the legs, near the floor."""
    level = rng.uniform(0.15, 0.35)
    spread = 2 * splay * (1 - level)
    return [block((0, level * top.height, 0), (2 * x + spread, 0.02, 2 * z + spread))]


def _column(rng: np.random.Generator, top: Top) -> list[Solid]:
    """A turned column on a disc or on three or four feet, and a flat head under the board."""
    reach, radius = rng.uniform(0.3, 0.4) * top.depth, rng.uniform(0.025, 0.06)
    heights = np.linspace(0.02, top.underside, int(rng.integers(4, 8)))
    radii = radius * rng.uniform(0.6, 1.5, len(heights))
    column = lathe(solid_of(smooth(heights, radii, 40)))
    head = lathe([(0, 0), (1.5 * radius, 0), (0.5 * reach, 0.03), (0, 0.03)], (0, top.underside - 0.03, 0))
    return [column, head, *one_of(rng, [_disc, _feet])(rng, reach, radius)]


def _disc(rng: np.random.Generator, reach: float, radius: float) -> list[Solid]:
    rim, rise = rng.uniform(0.012, 0.03), rng.uniform(0.03, 0.08)
    slope = smooth([0.0, 0.5, 1.0], [1.0, rng.uniform(0.35, 0.7), 0.0], 12)
    curve = np.stack([radius + (reach - radius) * slope[:, 0], rim + (rise - rim) * slope[:, 1]], axis=1)
    return [lathe(solid_of(np.vstack([[reach, 0], curve])))]


def _feet(rng: np.random.Generator, reach: float, radius: float) -> list[Solid]:
    """Bent feet around the column, one of them to the front."""
    count, rise = int(rng.integers(3, 5)), rng.uniform(0.12, 0.22)
    thick = rng.uniform(0.015, 0.024)
    s = np.linspace(0, 1, 7)
    out, up = radius * 0.3 + (1.15 * reach - 0.3 * radius) * s, thick + rise * (1 - s) ** 2
    parts = []
    for angle in 2 * np.pi / count * np.arange(count):
        parts += tube(np.stack([out * np.sin(angle), up, out * np.cos(angle)], axis=1), thick)
    return parts


def _trestles(rng: np.random.Generator, top: Top) -> list[Solid]:
    """A frame at each end, upright, A- or X-shaped, and a beam between them."""
    thick, x, z = rng.uniform(0.04, 0.07), 0.36 * top.width, 0.4 * top.depth
    frame, level = one_of(rng, [(_post, 0.4), (_spread, 0.35), (_crossed, 0.5)])
    level *= top.underside
    ends = [part for a in SIDES for part in frame(a * x, z, top.underside, thick, level)]
    return [*ends, block((0, level, 0), (2 * x, 0.05, 0.6 * thick))]


def _post(x: float, z: float, top: float, thick: float, _: float) -> list[Solid]:
    """One post between a foot and a head."""
    ends = [block((x, y, 0), (1.3 * thick, 0.06, 1.9 * z)) for y in (0.03, top - 0.03)]
    return [*ends, bar((x, 0.01, 0), (x, top - 0.01, 0), (thick, 2 * thick), (thick, 2 * thick))]


def _spread(x: float, z: float, top: float, thick: float, level: float) -> list[Solid]:
    """Two legs that spread to the floor, a bar between them and a head."""
    beams = [bar((x, 0, b * z), (x, top, b * 0.4 * z), (thick, thick), (thick, thick)) for b in SIDES]
    tie = block((x, level, 0), (0.6 * thick, 0.05, 2 * z * (1 - 0.6 * level / top)))
    return [*beams, tie, block((x, top - 0.025, 0), (1.2 * thick, 0.05, 1.6 * z))]


def _crossed(x: float, z: float, top: float, thick: float, _: float) -> list[Solid]:
    """Two legs that cross at half height, and a head."""
    beams = [bar((x, 0, b * z), (x, top, -b * 0.9 * z), (thick, thick), (thick, thick)) for b in SIDES]
    return [*beams, block((x, top - 0.02, 0), (1.2 * thick, 0.04, 1.9 * z))]


def _sides(rng: np.random.Generator, top: Top) -> list[Solid]:
    """Two boards as sides, with a back board and perhaps drawers under the top."""
    thick, x = rng.uniform(0.02, 0.05), 0.47 * top.width
    boards = [block((a * x, top.underside / 2, 0), (thick, top.underside, 0.92 * top.depth)) for a in SIDES]
    tall = rng.uniform(0.15, 0.6) * top.height
    boards.append(block((0, top.underside - tall / 2, -0.4 * top.depth), (2 * x, tall, 0.02)))
    return boards + (_apron(rng, top, x, 0.42 * top.depth, rng.uniform(0.1, 0.14)) if rng.random() < 0.5 else [])


def _runners(rng: np.random.Generator, top: Top) -> list[Solid]:
    """Bent square or round frames at both ends."""
    x, z, radius = 0.44 * top.width, 0.42 * top.depth, rng.uniform(0.012, 0.022)
    under = top.underside - radius
    ring = [(under, -z), (under, z), (radius, z), (radius, -z), (under, -z)]
    sides = [piece for a in SIDES for piece in tube([(a * x, y, w) for y, w in ring], radius)]
    return [*sides, *tube([(-x, under, 0), (x, under, 0)], radius)]
