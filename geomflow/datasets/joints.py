"""Joints: surfaces of rigs and the joints that move them, for a flow map that is told a surface."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from geomflow.datasets._records import REFLECTION, load_surface
from geomflow.errors import ConfigError, RecordError
from geomflow.prep.manifest import class_names, record_files
from geomflow.records import load_record

MARGIN = 0.95
"""Longest half extent of a shape in the unit frame."""

RIGGED = ("vertices", "joints", "skin_joints", "skin_weights")
"""What tells which joints move a surface."""


class Joints:
    """Surfaces and joints of rigs, every cluster of rigs equally often, turned, mirrored and stretched at random.

    Args:
        surfaces: Surface points with normals.
        joints: The distinct joints of each rig that move its surface.
        clusters: Number of each rig's cluster.
        autoencoder: The set of points that a flow map makes, and how many surface points it is told.
        scale: Standardises points; fitted here.
        turn: Most degrees by which a rig is turned about +y.
        stretch: Largest logarithm of the factor on each axis.
        mirror: Whether rigs are reflected in x half of the time.
    """

    def __init__(
        self,
        surfaces: Float[Tensor, "shapes pool 6"],
        joints: Sequence[Float[Tensor, "j 3"]],
        clusters: Int[Tensor, " shapes"],
        autoencoder: Any,
        scale: Any,
        turn: float,
        stretch: float,
        mirror: bool,
    ) -> None:
        self.surfaces, self.joints = surfaces, joints
        self.members = [torch.nonzero(clusters == one).flatten() for one in clusters.unique()]
        self.tokens, self.points = autoencoder.tokens, autoencoder.points
        self.turn, self.stretch, self.mirror = turn, stretch, mirror
        every = torch.cat([one[:, :, None].expand(-1, -1, self.tokens) for one in joints])
        scale.fit(every, torch.zeros_like(every))
        self.mean, self.std = scale.mean.clone(), scale.std.clone()

    def __len__(self) -> int:
        """Return the number of rigs."""
        return len(self.surfaces)

    def batch(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> dict[str, Tensor]:
        """Return `data` (batch, 3, tokens) and `surface` (batch, points, 6); only the number of indices counts."""
        rows = [self._example(generator) for _ in indices]
        data, surface = (torch.stack(part) for part in zip(*rows, strict=True))
        return {"data": (data - self.mean) / self.std, "surface": surface}

    def _example(self, generator: torch.Generator) -> tuple[Float[Tensor, "3 tokens"], Float[Tensor, "points 6"]]:
        """A rig of a cluster, in a pose of its own."""
        members = self.members[int(torch.randint(len(self.members), (), generator=generator))]
        rig = int(members[int(torch.randint(len(members), (), generator=generator))])
        pool = self.surfaces[rig]
        surface = pool[torch.randperm(len(pool), generator=generator)[: self.points]]
        joints, surface = self._moved(self.joints[rig], surface, generator)
        return self._spread(joints, generator).T, surface

    def _moved(self, joints: Tensor, surface: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Joints and surface turned, stretched and mirrored together, back in the unit frame."""
        turn, flip, *stretch = (2 * torch.rand(5, generator=generator) - 1).tolist()
        angle = math.radians(self.turn) * turn
        cos, sin = math.cos(angle), math.sin(angle)
        matrix = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        factors = torch.tensor(stretch).mul(self.stretch).exp()
        points, normals = surface[:, :3] @ matrix.T * factors, surface[:, 3:] @ matrix.T / factors
        joints = joints @ matrix.T * factors
        surface = torch.cat([points, F.normalize(normals, dim=1)], dim=1)
        if self.mirror and flip < 0:
            surface, joints = surface * REFLECTION, joints * REFLECTION[:3]
        low, high = surface[:, :3].amin(0), surface[:, :3].amax(0)
        shift, factor = (low + high) / 2, 2 * MARGIN / (high - low).max()
        return (joints - shift) * factor, torch.cat([(surface[:, :3] - shift) * factor, surface[:, 3:]], dim=1)

    def _spread(self, joints: Float[Tensor, "j 3"], generator: torch.Generator) -> Float[Tensor, "tokens 3"]:
        """Points at joints in random order, at each joint as many as at any other, or one more."""
        order = torch.randperm(len(joints), generator=generator)
        shared = order.repeat(-(-self.tokens // len(joints)))[: self.tokens]
        return joints[shared[torch.randperm(self.tokens, generator=generator)]]


def make(
    folder: str,
    autoencoder: Any,
    scale: Any,
    split: str = "train",
    condition: str = "surface",
    classes: Sequence[str] = (),
    pool: int = 8192,
    turn: float = 30.0,
    stretch: float = 0.2,
    mirror: bool = True,
) -> Joints:
    """Return the rigs of a dataset folder made by `geomflow prep --rig`.

    Args:
        folder: Dataset folder; the class of a rig is its cluster.
        autoencoder: `joint_set`.
        scale: Fitted here to the joints.
        split: Subset to read.
        condition: `surface`.
        classes: Not used.
        pool: Surface points per rig that are kept in memory.
        turn: Most degrees by which a rig is turned about +y.
        stretch: Largest logarithm of the factor on each axis.
        mirror: Whether rigs are reflected in x half of the time.

    Raises:
        RecordError: No such dataset or split, or a record without a rig.
        ConfigError: Another condition, or a rig with more joints than points in a set.
    """
    if condition != "surface":
        raise ConfigError(f"condition must be 'surface' for joints, given {condition!r}")
    files, names = record_files(folder, split), class_names(folder, split)
    surfaces = [load_surface(file, pool) for file in files]
    fewest = min(len(surface) for surface in surfaces)
    if fewest < autoencoder.points:
        raise RecordError(
            f"{folder}: wanted {autoencoder.points} surface points in every record, found {fewest} in one"
        )
    joints = [load_record(file, RIGGED).distinct_joints() for file in files]
    most = max(range(len(files)), key=lambda i: len(joints[i]))
    if len(joints[most]) > autoencoder.tokens:
        raise ConfigError(
            f"{files[most]}: wanted at most as many joints as points in a set, {autoencoder.tokens}, "
            f"found {len(joints[most])}; --encoder.tokens makes room"
        )
    clusters = torch.tensor([sorted(set(names)).index(name) for name in names])
    stacked = torch.from_numpy(np.stack([surface[:fewest] for surface in surfaces]))
    moving = [torch.from_numpy(one).float() for one in joints]
    return Joints(stacked, moving, clusters, autoencoder, scale, turn, stretch, mirror)
