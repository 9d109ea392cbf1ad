"""Flow maps: paths, formulations, the map itself, time pairs and the training loss. Tensors and times, never shapes.

Read in this order: ``path``, ``formulation`` (the derivation), ``flow_map``, ``times``, ``loss``; then the shelves
``geomflow.formulations`` and ``geomflow.objectives``, one short file each.
"""

from geomflow.flow.flow_map import FlowMap
from geomflow.flow.formulation import Formulation, Identity, Karras, Preconditioner
from geomflow.flow.loss import FlowBatch, LossModule, Objective, Regression
from geomflow.flow.path import KarrasPath, LinearPath, Path
from geomflow.flow.times import TimePairs

__all__ = [
    "FlowBatch",
    "FlowMap",
    "Formulation",
    "Identity",
    "Karras",
    "KarrasPath",
    "LinearPath",
    "LossModule",
    "Objective",
    "Path",
    "Preconditioner",
    "Regression",
    "TimePairs",
]
