"""Pipeline of whole shapes: noise, a few jumps of the flow map, decoder, surface extraction."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from geomflow import checkpoint
from geomflow.checkpoint import Checkpoint
from geomflow.generation import Generation, Shape
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.frame import normalize
from geomflow.geometry.grid import sdf_grid
from geomflow.geometry.repair import Rung
from geomflow.geometry.surface import sample_surface
from geomflow.model import LatentModel
from geomflow.pipeline import Clock, Pipeline
from geomflow.pipelines._condition import Condition, Told, told
from geomflow.pipelines._latents import AUTO_COUNT, chosen_steps, draw, enough_steps
from geomflow.pipelines._meshing import Floaters, Meshing
from geomflow.pipelines._steering import made_reward, steered, steering_of, tuned
from geomflow.steer.reward import Reward, name_of


class ShapePipeline(Pipeline):
    """A model of whole shapes, ready to generate and to reconstruct."""

    makes = "whole shapes (geomflow generate)"
    model: LatentModel

    def __call__(
        self,
        count: int = 1,
        steps: int | Literal["auto"] = 2,
        seed: int = 0,
        resolution: int = 128,
        tolerance: float = 0.1,
        progress: bool = False,
        condition: Condition = None,
        refine: int = 0,
        floaters: Floaters = "specks",
        repair: Rung = "none",
        candidates: int = 1,
        reward: str | Reward | None = None,
        method: str | None = None,
        particles: int | None = None,
        strength: float | None = None,
    ) -> Generation:
        """Generate shapes.

        Args:
            count: Number of shapes; shape i has the seed `seed + i` and, but by `tilt`, does not depend on the others.
            steps: Jumps from noise to data, each one network call; `auto` takes the fewest whose latents are within
                `tolerance` of those of twice as many.
            seed: Seed of the first shape.
            resolution: Samples per axis of the extraction.
            tolerance: Root-mean-square gap for `auto`, in standard deviations of a latent number.
            progress: Whether to show a bar.
            condition: What to generate, for a model that knows: the name of a class, or points of a surface (n, 3) in
                any place and unit, to which the meshes are then returned, but with y up and the front at +z; None
                leaves it to the model, if it was trained with guidance.
            refine: Rounds in which vertices are moved on to the surface of the decoded field.
            floaters: Which bodies beside the largest stay, see `Meshing`.
            repair: Last rung of `geomflow.geometry.repair` that may be tried on a mesh that is no solid.
            candidates: Latents made for every shape, of which the one is taken whose surface is nearest to the
                condition points; latent j of shape i then has the seed `seed + candidates * i + j`.
            reward: What the shapes are steered towards: the name of one on the shelf `rewards`, or any callable from
                distances at the nodes of grids over [-1, 1]^3 (batch, n, n, n) to (batch,).
            method: How: best_of_n (the default), guide, ascend, tilt, langevin, plug_and_play, or dps, which is slow.
            particles: How many shapes are looked at: candidates for each (`best_of_n`), moves of each (`ascend`,
                `langevin`), the population that all are drawn from (`tilt`); the other methods take none.
            strength: How far to steer, above 0, in standard deviations of the reward of unsteered shapes, 2 if None;
                `best_of_n` takes none.

        Raises:
            ValueError: `count` or `steps` under 1, an unknown policy, rung or class, points that are no surface's,
                several candidates without points or with a reward, or a condition that the model does not know; the
                message says what it knows.
            CheckpointError: The model has no flow map.
            ConfigError: An unknown reward or method, settings of a method that takes none, or of one without a reward.
            RewardError: The reward is no finite number per shape, has no gradient and the method wants one, or is the
                same for all unsteered shapes.
        """
        meshing, asked = Meshing(resolution, refine, floaters, repair), told(condition, self.saved.config)
        _check_candidates(candidates, asked, reward)
        how = steering_of(reward, method, particles, strength, count)
        clock, report = Clock(), {}
        steps = chosen_steps(self.model, steps, tolerance, seed, asked, clock)
        if how:
            with clock.stage("steering"):
                latents, done = steered(self.model, count, steps, seed, asked, how)
            nfe, report = done.calls, {"steering": done.as_dict(how)}
        else:
            with clock.stage("network"):
                latents, nfe = draw(self.model, count * candidates, steps, seed, asked), steps * candidates
        if candidates > 1:
            with clock.stage("choice of candidates"):
                latents = self._fittest(latents, candidates, asked)
        shapes = []
        for i in tqdm(range(count), desc="shapes", unit="mesh", disable=not progress):
            shape = meshing.shape(partial(self.field, latents[i]), seed + i, clock)
            shapes.append(shape.moved(asked.frame) if asked.frame else shape)
        settings = {"condition": asked.name, "refine": refine, "floaters": floaters, "repair": repair}
        settings |= ({"candidates": candidates} if candidates > 1 else {}) | report
        return Generation(shapes, steps, nfe, resolution, clock.seconds, latents.cpu(), settings)

    def sample_latents(
        self,
        count: int,
        steps: int = 2,
        seed: int = 0,
        ode: bool = False,
        condition: Condition = None,
        candidates: int = 1,
    ) -> Tensor:
        """Return latents (count, *latent shape) that `field` decodes.

        Args:
            count: Number of latents.
            steps: Jumps of the flow map, or steps of the ODE.
            seed: Seed of the first latent's noise.
            ode: Solve the instantaneous ODE of the same weights by Heun's method instead of jumping: the reference.
            condition: What to generate, see `__call__`; latents of points are in the frame that the points suggest.
            candidates: How many to choose each latent from, see `__call__`.

        Raises:
            ValueError: `count` or `steps` under 1, several candidates without points, or a condition that the model
                does not know.
            CheckpointError: The model has no flow map.
        """
        asked = told(condition, self.saved.config)
        _check_candidates(candidates, asked)
        latents = draw(self.model, count * candidates, steps, seed, asked, ode)
        return self._fittest(latents, candidates, asked) if candidates > 1 else latents

    def enough_steps(
        self, tolerance: float, seed: int = 0, count: int = AUTO_COUNT, condition: Condition = None
    ) -> int:
        """Return the fewest jumps (a power of two, at most 64) within `tolerance` of twice as many.

        Args:
            tolerance: Root-mean-square gap, in standard deviations of a latent number.
            seed: Seed of the noises it is measured with.
            count: Number of those noises.
            condition: What is to be generated, see `__call__`.

        Raises:
            ValueError: The tolerance is not positive, or a condition that the model does not know.
            CheckpointError: The model has no flow map.
        """
        return enough_steps(self.model, tolerance, seed, told(condition, self.saved.config), count)

    def fine_tune(
        self,
        reward: str | Reward,
        out: str | Path,
        steps: int = 100,
        seed: int = 0,
        condition: Condition = None,
        batch: int = 8,
        beta: float = 100.0,
        **options: Any,
    ) -> "ShapePipeline":
        """Fine-tune the flow map on a reward, write the model to a checkpoint folder, and return its pipeline.

        Rewards are measured in standard deviations of those of unsteered shapes, latents in theirs. The state of an
        interrupted run is kept in the folder, for `resume=True` to go on from.

        Args:
            reward: As in `__call__`; it needs a gradient.
            out: Checkpoint folder.
            steps: Updates in all.
            seed: Of the noise.
            condition: What the shapes are to be, as in `__call__`.
            batch: Shapes of an update.
            beta: What a unit of mean square distance from the old shapes costs, in those deviations of the reward. A
                small one buys rewards of shapes that the old model finds unlikely.
            **options: `jumps`, `learning_rate`, `resume`, `progress`, see `geomflow.steer.fine_tune`.

        Raises:
            CheckpointError: The model has no flow map, `out` holds a model, or see `geomflow.steer.fine_tune`.
            ConfigError: An unknown reward.
            RewardError: The reward is no finite number per shape, has no gradient, or is the same for all unsteered
                shapes.
        """
        made = made_reward(reward)
        asked = told(condition, self.saved.config)
        flow_map = tuned(self.model, made, out, seed, asked, batch, beta=beta, steps=steps, **options).flow_map
        changed = {f"flow_map.{name}": weight for name, weight in flow_map.state_dict().items()}
        facts = {**self.saved.facts, "fine_tuned": {"reward": name_of(made), "steps": steps}}
        checkpoint.save(out, replace(self.saved, facts=facts, weights={**self.saved.weights, **changed}))
        return ShapePipeline.from_pretrained(out, self.device)

    def _fittest(self, latents: Tensor, candidates: int, asked: Told) -> Tensor:
        """Of every few latents the one whose field is nearest to zero at the condition points, on average."""
        points = asked.row["points"][0].numpy()  # pyright: ignore[reportOptionalSubscript]

        def misfit(latent: Tensor) -> float:
            return float(np.abs(self.field(latent)(points)).mean())

        return torch.stack([min(group, key=misfit) for group in latents.split(candidates)])

    @torch.no_grad()
    def field(self, latent: Float[Tensor, " *latent"]) -> Callable[[np.ndarray], np.ndarray]:
        """Return the signed distance field of one latent: (n, 3) points of [-1, 1]^3 to (n,) distances.

        Args:
            latent: As `sample_latents` and `encode` give them.
        """
        features = self.model.autoencoder.decode(latent[None].to(self.device))

        @torch.no_grad()
        def distance(points: np.ndarray) -> np.ndarray:
            queries = torch.as_tensor(points, dtype=torch.float32, device=self.device)
            return self.model.autoencoder.sdf(features, queries[None])[0].cpu().numpy()

        return distance

    @torch.no_grad()
    def encode(self, mesh: trimesh.Trimesh, tokens: int | None = None) -> Float[Tensor, " *latent"]:
        """Return the latent of a normalised mesh (see `geomflow.geometry.frame.normalize`).

        Args:
            mesh: The mesh.
            tokens: Tokens of a latent set, as many as the model was trained with if None.

        Raises:
            ValueError: Tokens are given and the latent is no set, or has not as many.
        """
        model = self.model.autoencoder
        if tokens is not None and not hasattr(model, "tokens"):
            raise ValueError(f"tokens must be None for a model whose latents are grids, given {tokens}")
        view = _VIEWS[model.reads](SignedDistanceField(mesh, internal_walls=False), model)
        count = {} if tokens is None else {"tokens": tokens}
        return model.encode(torch.from_numpy(view)[None].to(self.device), **count).mean[0]

    def reconstruct(
        self, mesh: trimesh.Trimesh, resolution: int = 128, tokens: int | None = None, refine: int = 0
    ) -> trimesh.Trimesh:
        """Return a mesh after encoding and decoding it, in its own frame and unit.

        Args:
            mesh: Any mesh with faces.
            resolution: Samples per axis of the extraction.
            tokens: Tokens of a latent set, as many as the model was trained with if None.
            refine: Rounds in which vertices are moved on to the surface of the decoded field.

        Raises:
            MeshError: The mesh has no faces or no extent.
            EmptySurface: The decoded field has no surface.
            ValueError: Tokens are given and the latent is no set, or has not as many.
        """
        unit, frame = normalize(mesh)
        decoded = extract_mesh(self.field(self.encode(unit, tokens)), resolution, refine=refine)
        normals = decoded.vertex_normals if refine else None
        return trimesh.Trimesh(
            frame.undo(np.asarray(decoded.vertices)), decoded.faces, vertex_normals=normals, process=False
        )

    def shape(
        self, latent: Float[Tensor, "*latent"], resolution: int = 128, seed: int = 0, meshing: Meshing | None = None
    ) -> Shape:
        """Return the shape of one latent, and its report.

        Args:
            latent: As `sample_latents` and `encode` give them.
            resolution: Samples per axis of the extraction.
            seed: What is noted as the shape's seed.
            meshing: How else its field becomes a mesh, instead of a resolution alone.
        """
        return (meshing or Meshing(resolution)).shape(partial(self.field, latent), seed, Clock())


def make(model: LatentModel, saved: Checkpoint, device: str) -> ShapePipeline:
    """Return the pipeline of a restored model.

    Args:
        model: The model.
        saved: Its checkpoint.
        device: Where it is.
    """
    return ShapePipeline(model, saved, device)


def _grid_view(field: SignedDistanceField, model: Any) -> np.ndarray:
    """Signed distances at the nodes of a grid."""
    return sdf_grid(field, model.resolution, band=2 * model.band).values


def _surface_view(field: SignedDistanceField, model: Any) -> np.ndarray:
    """Points with normals on the outer boundary, the same ones whenever a mesh is encoded."""
    return np.concatenate(sample_surface(field.boundary(), model.points, seed=0), axis=1).astype(np.float32)


_VIEWS = {"grid": _grid_view, "surface": _surface_view}
"""What an encoder may read, made of a mesh."""


def _check_candidates(candidates: int, asked: Told, reward: str | Reward | None = None) -> None:
    if candidates != 1 and reward is not None:
        raise ValueError(f"candidates must be 1 with a reward, of which best_of_n takes particles, given {candidates}")
    if candidates != 1 and (candidates < 1 or asked.frame is None):
        raise ValueError(f"candidates must be 1 without condition points, at least 1 with them, given {candidates}")
