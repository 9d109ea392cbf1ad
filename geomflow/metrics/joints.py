"""Joints predicted from a surface against a rig's own, measured as RigNet does (Xu et al., 2020, arXiv 2005.00559).

Sizes are relative to the shape's: the longest edge of its box is 1. Matching is by the Hungarian method, the least sum
of distances over all pairs; a pair counts as matched within a tolerance at its reference joint, half the local diameter
of the shape there. RigNet averages rays that leave the joint perpendicular to its bones. Real joints often lie on the
surface or just outside of it, from where such rays tell little; here the local diameter is the median wall thickness
(`geomflow.geometry.thickness`, the central ray of the shape diameter function) of the surface around the joint. It is
2 R in a ball and along a cylinder of radius R, and the thickness of a plate, as RigNet's is in the first two.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from geomflow.geometry.surface import sample_surface
from geomflow.geometry.thickness import wall_thickness
from geomflow.metrics.distances import checked_points, match

COUNT = 10_000
"""Points of the surface at which its thickness is measured."""

NEAREST = 32
"""How many of them, the nearest to a joint, decide its local diameter."""


@dataclass(frozen=True)
class JointMetrics:
    """How well joints were predicted; all but the first are shares in [0, 1].

    Attributes:
        chamfer: CD-J2J: mean of the two directed mean nearest distances, in longest edges of the shape's box.
        precision: Share of the predicted joints that are matched.
        recall: Share of the reference joints that are matched.
        iou: Twice the matched over predicted and reference joints together. RigNet's code calls this IoU; it is the
            harmonic mean of precision and recall, and larger than an intersection over a union.
    """

    chamfer: float
    precision: float
    recall: float
    iou: float


def joint_metrics(
    predicted: Float[np.ndarray, "p 3"], reference: Float[np.ndarray, "r 3"], mesh: trimesh.Trimesh
) -> JointMetrics:
    """Return all metrics of the joints predicted for one shape.

    Args:
        predicted: Predicted joints (p, 3).
        reference: Joints of the rig (r, 3), each place once (`geomflow.geometry.distinct_joints`).
        mesh: The shape's surface, in the same frame.

    Raises:
        ValueError: There are no joints, or they are not finite (p, 3) and (r, 3).
        MeshError: The mesh has no faces or no extent.
    """
    size = float(mesh.extents.max())
    precision, recall, iou = match_joints(predicted, reference, local_diameters(reference, mesh) / 2)
    return JointMetrics(joint_chamfer(predicted, reference, size), precision, recall, iou)


def joint_chamfer(predicted: Float[np.ndarray, "p 3"], reference: Float[np.ndarray, "r 3"], size: float = 1.0) -> float:
    """Return CD-J2J: (mean_p d(p, reference) + mean_r d(r, predicted)) / 2, divided by the size of the shape.

    This is half of what `geomflow.metrics.chamfer` gives, as RigNet defines it.

    Args:
        predicted: Predicted joints (p, 3).
        reference: Joints of the rig (r, 3).
        size: Longest edge of the shape's box, in the joints' unit.

    Raises:
        ValueError: There are no joints, or they are not finite; the size is not positive.
    """
    if not size > 0:
        raise ValueError(f"size must be positive, not {size}")
    return match(predicted, reference, workers=1).chamfer() / (2 * size)


def match_joints(
    predicted: Float[np.ndarray, "p 3"], reference: Float[np.ndarray, "r 3"], tolerance: Float[np.ndarray, " r"]
) -> tuple[float, float, float]:
    """Return precision, recall and IoU of joints matched one to one; see `JointMetrics`.

    The pairs are those of the least sum of distances, whether or not they are within the tolerance.

    Args:
        predicted: Predicted joints (p, 3).
        reference: Joints of the rig (r, 3).
        tolerance: Largest distance (r,) of a joint that counts as matched with each reference joint.

    Raises:
        ValueError: There are no joints, or they are not finite; the tolerance is of another number.
    """
    predicted, reference = checked_points("predicted", predicted), checked_points("reference", reference)
    if len(tolerance) != len(reference):
        raise ValueError(f"tolerance must have a value for each of {len(reference)} joints, given {len(tolerance)}")
    away = cdist(predicted, reference)
    rows, columns = linear_sum_assignment(away)
    matched = int((away[rows, columns] <= tolerance[columns]).sum())
    return matched / len(predicted), matched / len(reference), 2 * matched / (len(predicted) + len(reference))


def local_diameters(
    joints: Float[np.ndarray, "j 3"], mesh: trimesh.Trimesh, count: int = COUNT, seed: int = 0
) -> Float[np.ndarray, " j"]:
    """Return the median thickness (j,) of the shape at the points of its surface nearest to each joint, in its unit.

    Points under which there is no material or no wall behind it, as on lone sheets, do not count; if there are no
    others, all diameters are 0.

    Args:
        joints: Places (j, 3), inside or outside.
        mesh: Surface in the same frame; which way its faces look does not matter.
        count: Points on the surface, uniform by area, at least 1.
        seed: Same seed and mesh, same points.

    Raises:
        ValueError: There are no joints, or they are not finite (j, 3); the count is under 1.
        MeshError: The mesh has no faces, no extent or no area.
    """
    joints = checked_points("joints", joints)
    thickness, points = wall_thickness(mesh, count, seed), sample_surface(mesh, count, seed).points
    solid = np.isfinite(thickness) & (thickness > 0)
    if not solid.any():
        return np.zeros(len(joints))
    _, near = KDTree(points[solid]).query(joints, k=min(NEAREST, int(solid.sum())))
    return np.median(thickness[solid][near].reshape(len(joints), -1), axis=1)
