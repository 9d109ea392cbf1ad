"""What a transformer is told beside state and times: a vector that sets the tone of every block, tokens to look at.

A condition is a mapping from the kind's name to a tensor. Every kind has a value that stands for nothing, so that one
network is conditional and, if it was trained with guidance, unconditional.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from geomflow.set_abstraction import SetAbstraction, spread_centers

WAVELENGTHS = (4.0, 2.0, 1.0, 1 / 2, 1 / 4, 1 / 8)
"""Periods of the waves that condition points in [-1, 1]^3 are told with."""

FINE_CENTERS, SURFACE_TOKENS, NEIGHBOURS = 256, 64, 16
"""Neighbourhoods of a surface: fine ones, those that are looked at, and points in each."""

OUTSIDE = 1e3
"""Where absent points are put, so that they are nobody's neighbours."""


class ClassCondition(nn.Module):
    """A class as a vector: condition `class` (batch,), numbered from 0, the number of classes itself for none."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.null = {"class": classes}
        self.embed = nn.Embedding(classes + 1, width)

    def forward(self, condition: dict[str, Int[Tensor, " batch"]]) -> tuple[Float[Tensor, "batch width"], None, None]:
        """Return the vector, and that there are no tokens."""
        return self.embed(condition["class"]), None, None

    def nothing(self, x: Tensor) -> dict[str, Int[Tensor, " batch"]]:
        """Return the condition that stands for none, for every row of a state."""
        return {"class": torch.full((len(x),), self.null["class"], device=x.device)}


class PointsCondition(nn.Module):
    """Points on a surface as tokens: condition `points` (batch, n, 3), rows that are not finite being absent.

    A learned token is always there, so that there is something to look at if no point is.
    """

    shows = True
    periods: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null = {"points": math.nan}
        self.register_buffer("periods", torch.tensor(WAVELENGTHS), persistent=False)
        features = 3 + 6 * len(WAVELENGTHS)
        self.embed = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width), nn.RMSNorm(width))
        self.always = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def forward(
        self, condition: dict[str, Float[Tensor, "batch n 3"]]
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"]]:
        """Return the mean of the points' features, the tokens, and which of them are present."""
        points = condition["points"]
        present = points.isfinite().all(-1)
        points = torch.where(present[..., None], points, 0)
        phases = (points[..., None] * (2 * math.pi / self.periods)).flatten(2)
        features = self.embed(torch.cat([points, phases.sin(), phases.cos()], dim=-1)) * present[..., None]
        mean = features.sum(1) / present.sum(1, keepdim=True).clamp(min=1)
        tokens = torch.cat([self.always.expand(len(points), -1, -1), features], dim=1)
        return mean, tokens, torch.cat([torch.ones_like(present[:, :1]), present], dim=1)

    def nothing(self, x: Tensor) -> dict[str, Float[Tensor, "batch 1 3"]]:
        """Return the condition that stands for none, for every row of a state."""
        return {"points": x.new_full((len(x), 1, 3), math.nan)}


class SurfaceCondition(nn.Module):
    """A whole surface as tokens: condition `surface` (batch, n, 6), points with normals, rows not finite being absent.

    Two set abstractions: tokens lie at points that cover the surface evenly and know ever larger neighbourhoods.
    """

    shows = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null = {"surface": math.nan}
        self.fine = SetAbstraction(3, width // 2, NEIGHBOURS, 1 / math.sqrt(FINE_CENTERS))
        self.around = SetAbstraction(width // 2, width, NEIGHBOURS, 1 / math.sqrt(SURFACE_TOKENS))
        self.place = PointsCondition(width)

    def forward(
        self, condition: dict[str, Float[Tensor, "batch n 6"]]
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"]]:
        """Return the mean of the tokens, the tokens, and which of them are present."""
        points, normals = condition["surface"].split(3, dim=2)
        with torch.no_grad():
            centers = spread_centers(points, FINE_CENTERS)
        features = self.fine(points.nan_to_num(OUTSIDE), normals.nan_to_num(0), centers.nan_to_num(0))
        places = centers[:, :SURFACE_TOKENS]
        around = self.around(centers.nan_to_num(0), features, places.nan_to_num(0))
        mean, tokens, present = self.place({"points": places})
        around = around * present[:, 1:, None]
        return mean + around.mean(1), torch.cat([tokens[:, :1], tokens[:, 1:] + around], dim=1), present

    def nothing(self, x: Tensor) -> dict[str, Float[Tensor, "batch n 6"]]:
        """Return the condition that stands for none, for every row of a state."""
        return {"surface": x.new_full((len(x), FINE_CENTERS, 6), math.nan)}


class ImageCondition(nn.Module):
    """A grey image as tokens, one per 4 x 4 pixels: condition `image` (batch, 1, height, width), NaN for none."""

    shows = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null = {"image": math.nan}
        half = width // 2
        self.look = nn.Sequential(
            *(nn.Conv2d(1, half, 3, stride=2, padding=1), nn.GroupNorm(1, half), nn.SiLU()),
            *(nn.Conv2d(half, width, 3, stride=2, padding=1), nn.GroupNorm(1, width), nn.SiLU()),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.place = PointsCondition(width)

    def forward(
        self, condition: dict[str, Float[Tensor, "batch 1 rows columns"]]
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"]]:
        """Return the mean of the tokens, the tokens, and which are present: all, or only the learned one."""
        image = condition["image"]
        there = image.isfinite().flatten(1).all(1)
        features = self.look(torch.where(there[:, None, None, None], image, 0))
        rows, columns = (torch.linspace(-1, 1, count, device=image.device) for count in features.shape[2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        places = torch.stack([x, y, torch.zeros_like(x)], dim=-1).flatten(0, 1).to(features)
        places = torch.where(there[:, None, None], places, math.nan)
        mean, tokens, present = self.place({"points": places})
        seen = features.flatten(2).transpose(1, 2) * there[:, None, None]
        return mean + seen.mean(1), torch.cat([tokens[:, :1], tokens[:, 1:] + seen], dim=1), present

    def nothing(self, x: Tensor) -> dict[str, Float[Tensor, "batch 1 rows columns"]]:
        """Return the condition that stands for none, for every row of a state."""
        return {"image": x.new_full((len(x), 1, 4, 4), math.nan)}


SHOWN = {"points": PointsCondition, "surface": SurfaceCondition, "image": ImageCondition}
"""Conditions with tokens to look at."""

READ: tuple[str, ...] = ("vector", "tokens", "present")
"""What a condition with tokens is once it has been read, each a tensor (batch, ...)."""


def condition_module(kind: str, width: int, classes: int, kinds: Sequence[str] = ("class", *SHOWN)) -> nn.Module | None:
    """Return what reads conditions of a kind, None for no condition.

    Args:
        kind: One of `kinds`, or empty for no condition.
        width: Features that conditions are told in.
        classes: Number of classes.
        kinds: What the network can be told.

    Raises:
        ValueError: There is no such kind, or no class to choose.
    """
    if kind not in ("", *kinds):
        raise ValueError(f"condition must be {', '.join(map(repr, kinds))} or '' for none, given {kind!r}")
    if kind == "class" and classes < 1:
        raise ValueError(f"classes must be at least 1 for a class condition, given {classes}")
    if kind in SHOWN:
        return SHOWN[kind](width)
    return ClassCondition(width, classes) if kind else None


def read_condition(module: Any, condition: Any, x: Tensor) -> tuple[Any, Tensor | None, Tensor | None]:
    """Return a condition's vector, and its tokens with which of them are present, None if it has none.

    Args:
        module: What reads it, None for an unconditional network.
        condition: As the network got it, or read already; None stands for nothing in particular.
        x: The states, one row each.

    Raises:
        ValueError: The condition is not of the module's kind.
    """
    if getattr(module, "shows", False) and condition is not None and set(condition) == set(READ):
        return tuple(condition[name] for name in READ)
    null = module.null if module else {}
    if condition is not None and (not isinstance(condition, Mapping) or set(condition) != set(null)):
        wanted = f"a mapping with {', '.join(map(repr, null))}" if null else "None"
        raise ValueError(f"condition must be {wanted} for this network, given {_named(condition)}")
    if module is None:
        return 0.0, None, None
    return module(module.nothing(x) if condition is None else condition)


def _named(condition: Any) -> str:
    return f"one with {', '.join(map(repr, condition))}" if isinstance(condition, Mapping) else type(condition).__name__
