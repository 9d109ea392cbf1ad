"""Tables of the steering benchmark: all rows, and ours against the rival at the same distance from the model.

Ours are measured at a few strengths. Between two of them, and from the unsteered shapes to the first, a shape's reward
is taken to be linear in the root-mean-square distance of all shapes, so that a rival's row can be met at its distance.
A rival that went further than our greatest strength is met at that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Distance = Literal["moved", "strayed"]
RIVAL, OURS = "dps", "guide"


@dataclass(frozen=True)
class Row:
    """What came of a setting, for each shape.

    Attributes:
        target: Name of the reward.
        method: Name of the method.
        rounds: Steps, jumps or rounds.
        strength: In deviations.
        calls: Network calls per shape.
        gradients: How many of them were differentiated.
        reward: The reward.
        moved: Mean square distance of a latent from that of the same noise unsteered, in their deviations.
        strayed: The same from what the ODE of the same weights makes of the noise in 64 Heun steps.
        nats: How much less likely it is than the unsteered one, in nats per number.
        solid: Whether it is one watertight solid.
        seconds: CPU time per shape.
    """

    target: str
    method: str
    rounds: str
    strength: float
    calls: float
    gradients: float
    reward: list[float]
    moved: list[float] | None
    strayed: list[float] | None
    nats: list[float]
    solid: list[bool]
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, float]:
        """What was asked."""
        return self.target, self.method, self.rounds, self.strength

    def distance(self, kind: Distance) -> float:
        """Root-mean-square distance over the shapes, not a number where there is none."""
        squares = getattr(self, kind)
        return math.nan if squares is None else float(np.mean(squares)) ** 0.5

    def summary(self) -> str:
        """A line for the log."""
        means = f"{np.mean(self.reward):.4f} {self.distance('moved'):.3f} {self.distance('strayed'):.3f}"
        return f"{self.key} {self.calls:g} calls {means} {np.mean(self.nats):+.3f} {self.seconds:.1f} s"


def mean(values: Sequence[float] | np.ndarray, digits: int = 3, sign: str = "") -> str:
    """Mean and its standard error."""
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{np.mean(values):{sign}.{digits}f} ± {error:.{digits}f}"


def table(rows: Sequence[Row], strength: str = "strength") -> str:
    """All rows of a reward."""
    head = f"method, steps | {strength} | calls | with gradient | reward | moved | strayed | nats | solid | CPU s"
    lines = [head, " | ".join(["---"] * 10)]
    for row in rows:
        distances = ["" if math.isnan(d) else f"{d:.3f}" for d in (row.distance("moved"), row.distance("strayed"))]
        cells = [
            f"{row.method}, {row.rounds}",
            f"{row.strength:g}" if row.strength else "",
            f"{row.calls:g}",
            f"{row.gradients:g}",
            mean(row.reward),
            *distances,
            mean(row.nats, sign="+"),
            f"{np.mean(row.solid):.0%}",
            f"{row.seconds:.1f}",
        ]
        lines.append(" | ".join(cells))
    return _framed(lines)


def against(rows: Sequence[Row], kind: Distance) -> str:
    """The reward that ours have at the distance of each of the rival's rows."""
    curves = _curves(rows)
    head = ["rival", "reward", kind, *(f"ours in {calls:g} calls" for calls in curves), "as much in", "fewer calls"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for rival in (row for row in rows if row.method == RIVAL):
        gains = {calls: _gain(curve, rival, kind) for calls, curve in curves.items()}
        enough = [calls for calls, gain in gains.items() if gain is not None and np.mean(gain) >= 0]
        cells = [f"{rival.rounds}, {rival.strength:g}", f"{np.mean(rival.reward):.3f}", f"{rival.distance(kind):.3f}"]
        cells += ["out of range" if gain is None else mean(gain, sign="+") for gain in gains.values()]
        cells += [f"{enough[0]:g} calls", f"{rival.calls / enough[0]:.1f} times"] if enough else ["none", ""]
        lines.append(" | ".join(cells))
    return _framed(lines)


def report(rows: Sequence[Row]) -> str:
    """All tables of all rewards."""
    parts = []
    for target in dict.fromkeys(row.target for row in rows):
        some = _ordered([row for row in rows if row.target == target])
        met = any(row.method == RIVAL for row in some)
        parts += [f"### {target}", table(some), *(against(some, kind) for kind in ("moved", "strayed") if met)]
    return "\n\n".join(parts)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """Methods as they first come, each by its calls and strength."""
    methods = [row.method for row in rows]
    return sorted(rows, key=lambda row: (methods.index(row.method), row.calls, row.strength))


def _curves(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """By their calls: ours of rising strength, the first without any."""
    plain = {row.rounds: row for row in rows if row.method == "unsteered"}
    curves: dict[float, list[Row]] = {}
    for row in sorted((row for row in rows if row.method == OURS), key=lambda row: (row.calls, row.strength)):
        curves.setdefault(row.calls, [plain[row.rounds]]).append(row)
    return curves


def _gain(curve: Sequence[Row], rival: Row, kind: Distance) -> np.ndarray | None:
    """How much more reward each shape has on a curve than by the rival, at the rival's distance or less."""
    places = [row.distance(kind) for row in curve]
    wanted = min(rival.distance(kind), max(places))
    if wanted < places[0]:
        return None
    after = next(i for i in range(1, len(curve)) if places[i - 1] <= wanted <= places[i])
    share = (wanted - places[after - 1]) / (places[after] - places[after - 1])
    low, high = np.array(curve[after - 1].reward), np.array(curve[after].reward)
    return (1 - share) * low + share * high - np.array(rival.reward)


def _framed(lines: Sequence[str]) -> str:
    return "\n".join(f"| {line} |" for line in lines)
