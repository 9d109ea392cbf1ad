"""Neighbourhood ops on batched point clouds, with PyTorch3D's names: no compiler, CPU and CUDA, differentiable."""

from geomflow.ops.batches import Packed, Padded, batch_vector, pack, pad, row_splits, split_lengths
from geomflow.ops.chamfer import chamfer_distance, hausdorff_distance
from geomflow.ops.dispatch import backends
from geomflow.ops.farthest import FarthestPoints, sample_farthest_points
from geomflow.ops.neighbours import KNN, ball_query, group_points, knn_gather, knn_points, three_interpolate

__all__ = [
    "KNN",
    "FarthestPoints",
    "Packed",
    "Padded",
    "backends",
    "ball_query",
    "batch_vector",
    "chamfer_distance",
    "group_points",
    "hausdorff_distance",
    "knn_gather",
    "knn_points",
    "pack",
    "pad",
    "row_splits",
    "sample_farthest_points",
    "split_lengths",
    "three_interpolate",
]
