"""Neighbourhood ops on batched point clouds, with PyTorch3D's names: no compiler, CPU and CUDA, differentiable."""

from geomflow.ops.assignment import Assignment, nearest_assignment
from geomflow.ops.batches import Packed, Padded, batch_vector, pack, pad, row_splits, split_lengths
from geomflow.ops.chamfer import chamfer_distance, hausdorff_distance
from geomflow.ops.dispatch import backends
from geomflow.ops.farthest import FarthestPoints, sample_farthest_points
from geomflow.ops.neighbours import KNN, ball_query, group_points, knn_gather, knn_points, three_interpolate
from geomflow.ops.surfaces import ClosestPoints, closest_point_on_mesh, estimate_normals, sample_points_from_meshes
from geomflow.ops.transport import directions, sinkhorn_distance, sliced_wasserstein
from geomflow.ops.voxels import devoxelize, voxelize

__all__ = [
    "KNN",
    "Assignment",
    "ClosestPoints",
    "FarthestPoints",
    "Packed",
    "Padded",
    "backends",
    "ball_query",
    "batch_vector",
    "chamfer_distance",
    "closest_point_on_mesh",
    "devoxelize",
    "directions",
    "estimate_normals",
    "group_points",
    "hausdorff_distance",
    "knn_gather",
    "knn_points",
    "nearest_assignment",
    "pack",
    "pad",
    "row_splits",
    "sample_farthest_points",
    "sample_points_from_meshes",
    "sinkhorn_distance",
    "sliced_wasserstein",
    "split_lengths",
    "three_interpolate",
    "voxelize",
]
