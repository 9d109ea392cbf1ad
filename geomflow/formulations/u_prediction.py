"""u-prediction: the network predicts the velocity on the straight line from noise to data.

P = r - t and Q = 1, so m(x, t, r) is the average velocity of the jump and psi_{t->r}(x) = x + (r - t) m. At r = t this
is flow matching (arXiv 2210.02747), for jumps the average velocity of MeanFlow (2505.13447).
"""

from geomflow.flow.formulation import Formulation
from geomflow.flow.path import LinearPath


def make() -> Formulation:
    """The u-prediction formulation."""
    return Formulation(path=LinearPath(), predicts="velocity")
