"""Flow maps: paths, formulations, the map itself, time pairs and the training loss. Tensors and times, never shapes.

Read in this order: ``path``, ``preconditioner``, ``formulation`` (the derivation), ``sampler``, ``flow_map``,
``times``, ``objective``, ``loss``; then the shelves ``geomflow.formulations`` and ``geomflow.objectives``
(``_identities`` first), one short file each. ``derivative``, ``weight`` and ``guidance`` are what a loss may need
besides; ``manifold``, ``geodesic`` and ``product`` are for states on curved spaces.
"""

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import Formulation
from geomflow.flow.geodesic import Geodesic
from geomflow.flow.guidance import Guidance, sample_extrapolated
from geomflow.flow.loss import LossModule
from geomflow.flow.manifold import Manifold
from geomflow.flow.objective import FlowBatch, Objective, Regression
from geomflow.flow.path import KarrasPath, LinearPath, Path
from geomflow.flow.preconditioner import Identity, Karras, Preconditioner
from geomflow.flow.times import TimePairs
from geomflow.flow.weight import ErrorWeight

__all__ = [
    "ErrorWeight",
    "FlowBatch",
    "FlowMap",
    "Formulation",
    "Geodesic",
    "Guidance",
    "Identity",
    "Karras",
    "KarrasPath",
    "LinearPath",
    "LossModule",
    "Manifold",
    "Objective",
    "Path",
    "Preconditioner",
    "Regression",
    "TimePairs",
    "sample_extrapolated",
]
