"""Pipeline of skeletal joints: points travel from noise to the joints of a surface, and are gathered there."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from geomflow.checkpoint import Checkpoint
from geomflow.errors import MeshDegenerate
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import normalize
from geomflow.geometry.skeleton import cluster_joints, skeleton_tree, without_strays
from geomflow.geometry.surface import sample_surface
from geomflow.model import LatentModel
from geomflow.pipeline import Clock, Pipeline
from geomflow.pipelines._condition import Told
from geomflow.pipelines._latents import chosen_steps, draw

RADIUS, STRAY = 0.14, 0.03
"""Distance in the unit frame under which points are at one joint, and how far outside of the shape they are strays:
where the embedded model in five steps has the most joints matched (IoU) on the rigs it was trained on."""

DEPTH, FEWEST_INSIDE = 0.005, 0.5
"""How far below its surface a mesh must have an inside, and at which share of it."""

GAP, APART, SEEN = 0.15, 0.2, 4096
"""Parts of a surface that are farther apart than this are bodies of their own, which may have this share of it in all,
as far as so many of its points tell."""


@dataclass(frozen=True)
class JointPrediction:
    """Joints of a surface and what they cost.

    Attributes:
        joints: Positions (j, 3), in the mesh's own frame and unit.
        parents: Parent of each joint in the shortest tree, where bones outside the shape count longer; -1 for the root.
        spread: Root mean square distance of the points at each joint from it, in the mesh's unit.
        points: The points that were gathered (n, 3), in the mesh's own frame, without strays outside of it.
        steps: Jumps of the flow map, or steps of the ODE.
        nfe: Network calls.
        seed: Seed of the noise.
        seconds: Wall time of each stage: `surface`, `network`, `skeleton`, and for steps="auto" `choice of steps`.
    """

    joints: Float[np.ndarray, "j 3"]
    parents: np.ndarray
    spread: np.ndarray
    points: Float[np.ndarray, "n 3"]
    steps: int
    nfe: int
    seed: int
    seconds: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return what a file of joints holds."""
        return {
            "joints": self.joints.tolist(),
            "parents": self.parents.tolist(),
            "spread": self.spread.tolist(),
            "steps": self.steps,
            "nfe": self.nfe,
            "seed": self.seed,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


class JointPipeline(Pipeline):
    """A model of skeletal joints, told a surface."""

    makes = "joints of a surface (geomflow joints)"
    model: LatentModel

    def __call__(
        self,
        condition: trimesh.Trimesh,
        steps: int | Literal["auto"] = 5,
        seed: int = 0,
        *,
        draws: int = 4,
        tolerance: float = 0.04,
        ode: bool = False,
    ) -> JointPrediction:
        """Return the joints of a mesh and a skeleton of them.

        Args:
            condition: One character, +y up, in any place and unit.
            steps: Jumps from noise to joints, each one network call; `auto` takes the fewest whose points are within
                `tolerance` of those of twice as many.
            seed: Seed of the noise and of the surface points.
            draws: Sets of points that are made and gathered together.
            tolerance: Root-mean-square gap for `auto`, in standard deviations of a coordinate.
            ode: Solve the instantaneous ODE by Heun's method instead of jumping.

        Raises:
            MeshDegenerate: The mesh has no extent or no volume, or is of several bodies.
            ValueError: `steps` or `draws` under 1.
        """
        if draws < 1:
            raise ValueError(f"draws must be at least 1, given {draws}")

        def distance(places: np.ndarray) -> np.ndarray:
            return field(places).distance

        clock = Clock()
        with clock.stage("surface"):
            unit, frame = normalize(condition)
            field = SignedDistanceField(unit, internal_walls=False)
            surface = _surface(field, self.model.autoencoder.points, seed)
        told = Told({"surface": torch.from_numpy(surface)[None]})
        steps = chosen_steps(self.model, steps, tolerance, seed, told, clock)
        with clock.stage("network"):
            latents = draw(self.model, draws, steps, seed, told, ode)
            points = self.model.autoencoder.decode(latents).flatten(0, 1).cpu().double().numpy()
        with clock.stage("skeleton"):
            points = without_strays(points, distance, STRAY)
            joints, spread = cluster_joints(points, RADIUS)
            parents = skeleton_tree(joints, distance)
        nfe = 2 * steps - 1 if ode else steps
        joints, points = frame.undo(joints), frame.undo(points)
        return JointPrediction(joints, parents, spread / frame.scale, points, steps, nfe, seed, clock.seconds)


def make(model: LatentModel, saved: Checkpoint, device: str) -> JointPipeline:
    """Return the pipeline of a restored model.

    Args:
        model: The model.
        saved: Its checkpoint.
        device: Where it is.
    """
    return JointPipeline(model, saved, device)


def _surface(field: SignedDistanceField, count: int, seed: int) -> Float[np.ndarray, "n 6"]:
    """Points with normals of a surface that is one body's.

    Raises:
        MeshDegenerate: It has no volume, or is of several bodies.
    """
    boundary = field.boundary()
    points, normals = sample_surface(boundary, count, seed)
    inside = float((field(points - DEPTH * normals).distance < 0).mean())
    if inside < FEWEST_INSIDE:
        raise MeshDegenerate(f"wanted a mesh with a volume, found an inside below {100 * inside:.0f} % of its surface")
    apart = 1 - _largest_body(sample_surface(boundary, SEEN, seed).points)
    if apart >= APART:
        raise MeshDegenerate(
            f"wanted one character, found bodies apart from the largest, {100 * apart:.0f} % of the surface"
        )
    return np.concatenate([points, normals], axis=1).astype(np.float32)


def _largest_body(points: Float[np.ndarray, "n 3"]) -> float:
    """Share of the points in the largest of the parts that are farther apart than `GAP`."""
    links = KDTree(points).sparse_distance_matrix(KDTree(points), GAP, output_type="coo_matrix")
    group = connected_components(links, directed=False)[1]
    return float(np.bincount(group).max() / len(points))
