"""Pipeline of one shape's points: noise and a few jumps of the flow map, in chunks, to memory or to a file."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from geomflow.checkpoint import Checkpoint
from geomflow.flow.random import NoiseSource, generator_of
from geomflow.geometry.write_points import check_room, write_points
from geomflow.model import CHUNK, PointModel
from geomflow.pipeline import Pipeline

TOLERANCE = 2e-2
"""Gap that is small enough for steps="auto", in standard deviations of the shape."""

INVERSE_STEPS = 32
"""Heun steps of an inverse: its round trip is then limited by the network, not by the solver."""


@dataclass(frozen=True)
class PointGeneration:
    """Points of one shape and what they cost.

    Attributes:
        points: Positions (n, 3) float32, in the frame and unit of the file that was fitted.
        steps: Jumps of the flow map, or steps of the ODE.
        nfe: Network calls per point.
        seed: Seed of the noise.
        seconds: Wall time.
        normals: Unit normals (n, 3), if the model has them.
        colors: Red, green and blue from 0 to 1 (n, 3), if the model has them.
        labels: Classes (n,), if the model has them.
    """

    points: np.ndarray
    steps: int
    nfe: int
    seed: int
    seconds: float
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    labels: np.ndarray | None = None


class PointPipeline(Pipeline):
    """A model of one shape's points, ready to sample it; made by `geomflow fit`."""

    makes = "points of one shape (geomflow sample)"
    model: PointModel

    @property
    def channels(self) -> dict[str, int]:
        """How many numbers each part of a point has: `points`, and whatever else was fitted."""
        return self.model.channels

    def __call__(
        self,
        count: int = 100_000,
        steps: int | Literal["auto"] = 4,
        seed: int = 0,
        *,
        tolerance: float = TOLERANCE,
        ode: bool = False,
        noise: NoiseSource | None = None,
        progress: bool = False,
    ) -> PointGeneration:
        """Draw points of the shape.

        Args:
            count: Number of points.
            steps: Jumps from noise to the shape, each one network call; `auto` takes the fewest whose points are within
                `tolerance` of those of twice as many.
            seed: Seed of the noise. The first points are the same whatever the count.
            tolerance: Root-mean-square gap for `auto`, in standard deviations of the shape.
            ode: Solve the instantaneous ODE by Heun's method (2 steps - 1 network calls) instead of jumping.
            noise: Where to start instead of the noise that was fitted: an item of the shelf `noises`.
            progress: Whether to show a bar.

        Raises:
            ValueError: `count` or `steps` under 1, or `auto` for the ODE.
        """
        start = time.perf_counter()
        if steps == "auto" and ode:
            raise ValueError("steps must be a number for the ODE, given 'auto', which measures jumps")
        steps = self.enough_steps(tolerance, seed, noise) if steps == "auto" else steps
        parts = list(self.stream(count, steps, seed, ode=ode, noise=noise, progress=progress))
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        seconds = time.perf_counter() - start
        return PointGeneration(**whole, steps=steps, nfe=2 * steps - 1 if ode else steps, seed=seed, seconds=seconds)

    def stream(
        self,
        count: int,
        steps: int = 4,
        seed: int = 0,
        *,
        ode: bool = False,
        noise: NoiseSource | None = None,
        progress: bool = False,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield the same points part by part, as arrays by name, so that memory does not grow with the count.

        Args:
            count: Number of points.
            steps: Jumps of the flow map, or steps of the ODE.
            seed: Seed of the noise.
            ode: Solve the instantaneous ODE by Heun's method instead of jumping.
            noise: Another noise than the model was trained with; its own if None.
            progress: Show a progress bar.

        Raises:
            ValueError: `count` or `steps` under 1.
        """
        if not all(isinstance(number, Integral) and number >= 1 for number in (count, steps)):
            raise ValueError(f"points and steps must be whole numbers of at least 1, given {count!r} and {steps!r}")
        with tqdm(total=count, desc="points", unit="point", unit_scale=True, disable=not progress) as bar:
            for rows in self.model.draw(count, steps, seed, ode, noise):
                yield self._parts(rows)
                bar.update(len(rows))

    def save(
        self,
        path: str | Path,
        count: int,
        steps: int | Literal["auto"] = 4,
        seed: int = 0,
        *,
        noise: NoiseSource | None = None,
        progress: bool = False,
    ) -> int:
        """Write points to a .ply or .npy file as they come, and return the steps; see `write_points` for its columns.

        Args:
            path: The file to write.
            count: Number of points.
            steps: Jumps of the flow map, or `auto` for as few as `enough_steps` finds.
            seed: Seed of the noise.
            noise: Another noise than the model was trained with; its own if None.
            progress: Show a progress bar.

        Raises:
            ValueError: Another suffix, or `count` or `steps` under 1.
            DiskFull: The file would not fit on its disk; nothing is computed then.
        """
        check_room(path, count, self.channels)
        steps = self.enough_steps(seed=seed, noise=noise) if steps == "auto" else steps
        parts = self.stream(count, steps, seed, noise=noise, progress=progress)
        write_points(parts, path, count, self.channels)
        return steps

    @torch.no_grad()
    def enough_steps(self, tolerance: float = TOLERANCE, seed: int = 0, noise: NoiseSource | None = None) -> int:
        """Return the fewest jumps (a power of two, at most 64) within `tolerance` of twice as many.

        Args:
            tolerance: Root-mean-square gap, in standard deviations of a channel.
            seed: Seed of the noise.
            noise: Another noise than the model was trained with; its own if None.

        Raises:
            ValueError: The tolerance is not positive.
        """
        mean, source = self.model.scale.mean, noise or self.model.noise
        start = source((1, CHUNK // 4, len(mean)), generator_of(seed, 0), mean.dtype, mean.device)
        return self.model.flow_map.enough_steps(start, tolerance)

    def to_noise(self, points: Float[np.ndarray, "n c"], steps: int = INVERSE_STEPS) -> Float[np.ndarray, "n c"]:
        """Return the noise that ends at given points, row by row: the flow's inverse.

        Args:
            points: Points of the shape (n, channels): positions and, behind them, what else was fitted, a class as one
                column for each (one-hot).
            steps: Steps of the ODE, solved backwards by Heun's method (2 steps - 1 network calls).
        """
        return self.model.to_noise(self._tensor(points), steps).cpu().numpy()

    def from_noise(
        self, noise: Float[np.ndarray, "n c"], steps: int = 4, ode: bool = False
    ) -> Float[np.ndarray, "n c"]:
        """Return the points (n, channels) at which given noise ends, row by row.

        Args:
            noise: Noise, a row for each point.
            steps: Jumps of the flow map, or steps of the ODE.
            ode: Solve the instantaneous ODE by Heun's method instead of jumping.
        """
        return self.model.from_noise(self._tensor(noise), steps, ode).cpu().numpy()

    def round_trip(
        self, points: Float[np.ndarray, "n c"], steps: int = 4, inverse_steps: int = INVERSE_STEPS, ode: bool = False
    ) -> Float[np.ndarray, " n"]:
        """Return how far each point's position is from where its noise ends, in the file's unit.

        Args:
            points: Points with their channels, in the file's own frame.
            steps: Jumps of the flow map, or steps of the ODE.
            inverse_steps: Steps of the ODE from points to noise.
            ode: Solve the instantaneous ODE by Heun's method instead of jumping.
        """
        back = self.from_noise(self.to_noise(points, inverse_steps), steps, ode)
        return np.linalg.norm(back[:, :3] - points[:, :3], axis=1)

    def _tensor(self, rows: np.ndarray) -> Tensor:
        """Rows as a tensor.

        Raises:
            ValueError: They do not have the model's channels.
        """
        if rows.ndim != 2 or rows.shape[1] != sum(self.channels.values()):
            wanted = " + ".join(f"{count} ({name})" for name, count in self.channels.items())
            raise ValueError(f"rows must have {wanted} columns, given shape {rows.shape}")
        return torch.as_tensor(rows, dtype=torch.float32, device=self.device)

    def _parts(self, rows: Tensor) -> dict[str, np.ndarray]:
        """A chunk's columns by name, made valid: unit normals, colours from 0 to 1, the likeliest class."""
        split = rows.cpu().split(list(self.channels.values()), dim=1)
        found = dict(zip(self.channels, split, strict=True))
        if "normals" in found:
            found["normals"] = torch.nn.functional.normalize(found["normals"], dim=1)
        if "colors" in found:
            found["colors"] = found["colors"].clamp(0, 1)
        if "labels" in found:
            found["labels"] = torch.tensor(self.saved.facts["labels"])[found["labels"].argmax(dim=1)]
        return {name: values.numpy() for name, values in found.items()}


def make(model: PointModel, saved: Checkpoint, device: str) -> PointPipeline:
    """Return the pipeline of a restored model.

    Args:
        model: The model.
        saved: Its checkpoint.
        device: Where it is.
    """
    return PointPipeline(model, saved, device)
