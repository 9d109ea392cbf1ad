"""x1-prediction: the network predicts the data on the straight line from noise to data.

P = (r - t) / (1 - t) and Q = (1 - r) / (1 - t): psi_{t->r}(x) is the point of the line from x to m(x, t, r) that is
reached at r, and a jump to clean data is the network's output itself. At r = t this is flow matching with a denoiser
for a network (arXiv 2210.02747; the x1-prediction of cumulative flow maps, 2605.03623).
"""

from geomflow.flow.formulation import Formulation
from geomflow.flow.path import LinearPath
from geomflow.flow.preconditioner import DataWeight


def make() -> Formulation:
    """The x1-prediction formulation."""
    path = LinearPath()
    return Formulation(path, predicts="data", preconditioner=DataWeight(path=path))
