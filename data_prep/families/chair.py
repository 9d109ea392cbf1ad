"""Chairs: seats on legs, sleds or a column, with backs of slats, spindles, splats or one panel, and armrests."""

from dataclasses import dataclass

import numpy as np

from data_prep.families import _legs as legs
from data_prep.families._parts import (
    BITE,
    SIDES,
    arc_band,
    ball,
    bar,
    block,
    lathe,
    one_of,
    plate,
    rod,
    rounded,
    shifted,
    smooth,
    tilted,
    tube,
)
from geomflow.geometry.primitives import Assembly, Solid
from geomflow.geometry.profiles import Extruded


@dataclass(frozen=True)
class Seat:
    """Measures of the seat, in metres, which everything else is fitted to.

    Attributes:
        width: Extent in x.
        depth: Extent in z.
        height: Height of its upper side.
        thickness: Height from its lower to its upper side.
        narrowing: Width at the back over width in front.
    """

    width: float
    depth: float
    height: float
    thickness: float
    narrowing: float

    @property
    def underside(self) -> float:
        """Height at which legs end, inside the board."""
        return self.height - self.thickness + BITE

    @property
    def rear(self) -> float:
        """Where the back stands, in z."""
        return -0.45 * self.depth

    @property
    def rear_width(self) -> float:
        """How far the uprights of the back are apart."""
        return 0.84 * self.narrowing * self.width


def make(rng: np.random.Generator) -> Assembly:
    """Return a chair.

    Args:
        rng: Source of everything random in it.
    """
    seat = Seat(
        rng.uniform(0.4, 0.54),
        rng.uniform(0.38, 0.5),
        rng.uniform(0.41, 0.49),
        rng.uniform(0.02, 0.07),
        rng.uniform(0.9, 1.0),
    )
    base = one_of(rng, [_legs, _legs, _legs, _legs, _column, _sled, _sides])
    style = one_of(rng, [_ladder, _ladder, _spindles, _spindles, _splat, _panel, _cross, _hoop])
    lean = rng.uniform(4, 14)
    upright = style(rng, seat.rear_width, rng.uniform(0.34, 0.58))
    back = [tilted(part, lean, (0, seat.height, seat.rear)) for part in upright]
    arms = _arms(rng, seat, lean) if rng.random() < 0.35 else []
    return Assembly((_board(rng, seat), *base(rng, seat), *back, *arms))


def _board(rng: np.random.Generator, seat: Seat) -> Solid:
    corner = one_of(rng, [0.0, rng.uniform(0.01, 0.15 * seat.depth)])
    outline = rounded(seat.width, seat.depth, corner, seat.narrowing)
    return plate(outline, seat.height - seat.thickness, seat.height)


def _legs(rng: np.random.Generator, seat: Seat) -> list[Solid]:
    """Four legs of one kind, upright or splayed, often tied by stretchers."""
    shape, taper = one_of(rng, legs.SHAPES), rng.uniform(0.45, 1.0)
    splay, thick = rng.uniform(0.0, 0.07), rng.uniform(0.026, 0.045)
    x, z = 0.42 * seat.width - thick / 2, 0.45 * seat.depth - thick / 2
    ends = {
        (a, b): ((a * (x + splay), 0, b * (z + splay)), (a * x, seat.underside, b * z)) for a in SIDES for b in SIDES
    }
    parts = [shape(foot, top, thick, taper) for foot, top in ends.values()]
    return parts + (_stretchers(rng, ends, thick) if rng.random() < 0.5 else [])


def _stretchers(rng: np.random.Generator, ends: dict, thick: float) -> list[Solid]:
    """Bars between the legs: on both sides and across, low or at mid height."""
    level, radius = rng.uniform(0.2, 0.55), 0.3 * thick
    at = {key: (1 - level) * np.array(foot) + level * np.array(top) for key, (foot, top) in ends.items()}
    sides = [rod(at[a, -1.0], at[a, 1.0], radius) for a in SIDES]
    middle = {a: (at[a, -1.0] + at[a, 1.0]) / 2 for a in SIDES}
    if rng.random() < 0.5:
        return [*sides, rod(middle[-1.0], middle[1.0], 0.9 * radius)]
    lift = rng.uniform(-0.06, 0.06)
    return [*sides, *(rod(shifted(at[-1.0, b], y=lift), shifted(at[1.0, b], y=lift), radius) for b in SIDES)]


def _column(rng: np.random.Generator, seat: Seat) -> list[Solid]:
    """One column on a disc, or on a star of five feet with castors."""
    radius, reach = rng.uniform(0.02, 0.035), rng.uniform(0.24, 0.3)
    if rng.random() < 0.4:
        foot = lathe([(0, 0), (reach, 0), (reach, 0.012), (0.06, 0.03), (0, 0.03)])
        return [foot, rod((0, 0.01, 0), (0, seat.underside, 0), radius)]
    hub, parts = 0.11, []
    for angle in 2 * np.pi / 5 * np.arange(5):
        end = np.array([reach * np.sin(angle), 0.065, reach * np.cos(angle)])
        wheel = np.array([0.97, 0.43, 0.97]) * end
        parts += [rod((0, hub, 0), end, 0.022, 0.014), ball(wheel, 0.028), rod(wheel, shifted(wheel, y=0.04), 0.01)]
    housing = lathe([(0, hub - 0.04), (1.6 * radius, hub - 0.04), (1.3 * radius, hub + 0.1), (0, hub + 0.1)])
    bracket = block((0, seat.height - seat.thickness - 0.01, 0), (0.2, 0.03, 0.18))
    return [*parts, housing, bracket, rod((0, hub, 0), (0, seat.underside, 0), radius)]


def _sled(rng: np.random.Generator, seat: Seat) -> list[Solid]:
    """Bent tubes: closed runners, or a cantilever that is open behind."""
    radius, x = rng.uniform(0.01, 0.015), 0.42 * seat.width
    front, back, top = 0.44 * seat.depth, -0.46 * seat.depth, seat.height - seat.thickness - 0.3 * radius
    cantilever = rng.random() < 0.5
    parts = []
    for side in SIDES:
        spots = [(back, top), (front, top), (front, radius), (back, radius)]
        path = [(side * x, y, z) for z, y in spots] + ([] if cantilever else [(side * x, top, back)])
        parts += tube(path, radius)
    parts += tube([(-x, radius, back), (x, radius, back)], radius)
    return parts + tube([(-x, top, 0.3 * front), (x, top, 0.3 * front)], radius)


def _sides(rng: np.random.Generator, seat: Seat) -> list[Solid]:
    """Two boards under the seat, and one across."""
    thick, foot, top = rng.uniform(0.02, 0.035), rng.uniform(0.6, 0.95) * seat.depth, rng.uniform(0.8, 0.9) * seat.depth
    x = 0.41 * seat.width - thick / 2
    boards = [bar((a * x, 0, 0), (a * x, seat.underside, 0), (thick, foot), (thick, top)) for a in SIDES]
    return [*boards, block((0, 0.55 * seat.height, -0.2 * seat.depth), (2 * x, rng.uniform(0.06, 0.2), thick))]


def _uprights(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    thick, x = rng.uniform(0.024, 0.036), width / 2
    if rng.random() < 0.5:
        return [rod((a * x, -0.015, 0), (a * x, height, 0), thick / 2, 0.4 * thick) for a in SIDES]
    return [bar((a * x, -0.015, 0), (a * x, height, 0), (thick, thick), (0.8 * thick, 0.8 * thick)) for a in SIDES]


def _band(width: float, height: float, middle: float, thickness: float, bulge: float) -> Solid:
    """A board across the back, bent backwards."""
    return plate(arc_band(width, thickness, bulge), middle - height / 2, middle + height / 2)


def _ladder(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    """Uprights and level slats."""
    count, bulge = int(rng.integers(2, 6)), rng.uniform(0, 0.035)
    pitch = 0.85 * height / count
    tall = rng.uniform(0.35, 0.7) * pitch
    levels = height - tall / 2 - 0.01 - pitch * np.arange(count)
    return [*_uprights(rng, width, height), *(_band(width, tall, y, 0.014, bulge) for y in levels)]


def _spindles(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    """Uprights, a crest rail and thin rods below it."""
    count, radius, crest = int(rng.integers(3, 9)), rng.uniform(0.005, 0.009), rng.uniform(0.05, 0.11)
    x = width / 2 * (2 * (np.arange(count) + 1) / (count + 1) - 1)
    rods = [rod((a, -0.015, 0), (a, height - crest / 2, 0), radius) for a in x]
    return [*_uprights(rng, width, height), _band(1.06 * width, crest, height - crest / 2, 0.026, 0.0), *rods]


def _splat(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    """Uprights, a crest rail and one shaped board in the middle."""
    crest, y = rng.uniform(0.06, 0.1), np.array([-0.035, 0.2 * height, 0.45 * height, 0.7 * height, height - 0.02])
    half = smooth(y, width * rng.uniform(0.08, 0.24, 5), 24)
    board = Extruded(np.vstack([half, half[::-1] * [-1, 1]]), 0.007)
    return [*_uprights(rng, width, height), _band(1.06 * width, crest, height - crest / 2, 0.026, 0.0), board]


def _panel(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    """One bent board, from the seat up or held by two bars."""
    bulge, thick, gap = rng.uniform(0.0, 0.06), rng.uniform(0.014, 0.05), one_of(rng, [-0.015, rng.uniform(0.06, 0.2)])
    board = _band(rng.uniform(0.95, 1.12) * width, height - gap, (height + gap) / 2, thick, bulge)
    x = 0.25 * width
    behind = bulge * ((2 * x / width) ** 2 - 1)
    size = (0.035, 0.8 * thick)
    bars = [bar((a * x, -0.015, 0), (a * x, gap + 0.05, behind), size, size) for a in SIDES if gap > 0]
    return [board, *bars]


def _cross(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    """Uprights, two rails and two diagonals."""
    low, rail, x = rng.uniform(0.04, 0.12), rng.uniform(0.035, 0.06), width / 2
    rails = [block((0, y, 0), (width, rail, 0.02)) for y in (low, height - rail / 2 - 0.005)]
    diagonals = [rod((a * x, low, 0), (-a * x, height - rail / 2, 0), 0.008) for a in SIDES]
    return [*_uprights(rng, width, height), *rails, *diagonals]


def _hoop(rng: np.random.Generator, width: float, height: float) -> list[Solid]:
    """A bent bow, as on a Windsor chair, over a fan of rods."""
    angle = np.linspace(0, np.pi, 13)
    shoulder = rng.uniform(0.3, 0.6) * height
    bow = np.stack([np.cos(angle) * width / 2, shoulder + np.sin(angle) * (height - shoulder), 0 * angle], axis=1)
    path = [(width / 2 * 0.9, -0.015, 0), *bow, (-width / 2 * 0.9, -0.015, 0)]
    count = int(rng.integers(4, 8))
    spread = 2 * (np.arange(count) + 1) / (count + 1) - 1
    tops = [(0.95 * s * width / 2, shoulder + (height - shoulder) * (1 - (0.95 * s) ** 2) ** 0.5, 0.0) for s in spread]
    rods = [rod((0.7 * s * width / 2, -0.015, 0), top, 0.006) for s, top in zip(spread, tops, strict=True)]
    return [*tube(path, 0.011), *rods]


def _arms(rng: np.random.Generator, seat: Seat, lean: float) -> list[Solid]:
    """Rests on posts at the edges of the seat, reaching back to a back that leans by so many degrees."""
    height, thick, wide = rng.uniform(0.18, 0.24), rng.uniform(0.022, 0.032), rng.uniform(0.045, 0.06)
    x, top, post = seat.rear_width / 2 + 0.01, seat.height + height, rng.uniform(0.2, 0.38) * seat.depth
    front, back = post + 0.04, seat.rear - height * np.tan(np.radians(lean)) - 0.008
    rests = [block((a * x, top, (front + back) / 2), (wide, thick, front - back)) for a in SIDES]
    feet, tops = ([(a * x, y, post) for a in SIDES] for y in (seat.height - 0.01, top))
    return rests + [bar(*ends, (thick, thick), (thick, thick)) for ends in zip(feet, tops, strict=True)]
