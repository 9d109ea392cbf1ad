"""Metrics: distances of point sets, reconstruction against a reference, sets against sets, and named protocols."""

from geomflow.metrics.density import density_dispersion
from geomflow.metrics.distances import (
    Matches,
    chamfer,
    chamfer_floor,
    emd,
    f_score,
    hausdorff,
    match,
    normal_consistency,
    point_to_surface,
    sinkhorn,
)
from geomflow.metrics.evaluate import evaluate
from geomflow.metrics.evaluation import Evaluation, Number, compare
from geomflow.metrics.inputs import ShapeSet, open_shapes
from geomflow.metrics.joints import JointMetrics, joint_chamfer, joint_metrics, local_diameters, match_joints
from geomflow.metrics.occupancy import jensen_shannon
from geomflow.metrics.pairwise import pairwise_chamfer, pairwise_emd, sampling_floors
from geomflow.metrics.parallel import Options
from geomflow.metrics.protocols import PROTOCOLS, Protocol
from geomflow.metrics.reconstruction import (
    MeasuredShape,
    ReconstructionMetrics,
    Summary,
    compare_shapes,
    inside_mask,
    measure_shape,
    near_surface_iou,
    reconstruction_metrics,
    sampled_iou,
    summaries,
    summary,
    volumetric_iou,
)
from geomflow.metrics.sets import (
    Nearest,
    coverage,
    duplicates,
    minimum_matching_distance,
    nearest,
    null_band,
    one_nearest_neighbour_accuracy,
    pool_distances,
    set_metrics,
)
from geomflow.metrics.statistics import Band, Estimate, bootstrap_interval

__all__ = [
    "PROTOCOLS",
    "Band",
    "Estimate",
    "Evaluation",
    "JointMetrics",
    "Matches",
    "MeasuredShape",
    "Nearest",
    "Number",
    "Options",
    "Protocol",
    "ReconstructionMetrics",
    "ShapeSet",
    "Summary",
    "bootstrap_interval",
    "chamfer",
    "chamfer_floor",
    "compare",
    "compare_shapes",
    "coverage",
    "density_dispersion",
    "duplicates",
    "emd",
    "evaluate",
    "f_score",
    "hausdorff",
    "inside_mask",
    "jensen_shannon",
    "joint_chamfer",
    "joint_metrics",
    "local_diameters",
    "match",
    "match_joints",
    "measure_shape",
    "minimum_matching_distance",
    "near_surface_iou",
    "nearest",
    "normal_consistency",
    "null_band",
    "one_nearest_neighbour_accuracy",
    "open_shapes",
    "pairwise_chamfer",
    "pairwise_emd",
    "point_to_surface",
    "pool_distances",
    "reconstruction_metrics",
    "sampled_iou",
    "sampling_floors",
    "set_metrics",
    "sinkhorn",
    "summaries",
    "summary",
    "volumetric_iou",
]
