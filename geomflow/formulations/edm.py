"""EDM: the network, preconditioned, predicts the data on the variance-exploding path.

P = (sigma_t - sigma_r) / sigma_t and Q = sigma_r / sigma_t, so psi_{t->r}(x) moves from x towards the cumulative
denoiser m(x, t, r). At r = t this is EDM (arXiv 2206.00364) with its preconditioner, weight and noise levels. The
preconditioner depends on the time of departure only: behind it the network's ideal output keeps at most unit size for
every r.
"""

from collections.abc import Sequence

from geomflow.flow.formulation import Formulation
from geomflow.flow.path import KarrasPath
from geomflow.flow.preconditioner import Karras


def make(
    sigma_data: float = 0.5,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    jump_ratios: Sequence[float] | None = None,
) -> Formulation:
    """The EDM formulation.

    Args:
        sigma_data: standard deviation of the data, per coordinate.
        sigma_min: noise level at t = 1.
        sigma_max: noise level at t = 0.
        rho: bends the clock; uniform steps in it are EDM's grid of noise levels.
        jump_ratios: noise levels, the larger first, between which jumps are spread evenly in their logarithm after a
            first one from noise; None spreads them like the steps of the ODE.

    Raises:
        ValueError: `jump_ratios` are not two levels of the path, the larger first.
    """
    path = KarrasPath(sigma_min, sigma_max, rho)
    return Formulation(path, "data", Karras(path, sigma_data), jump_ratios=jump_ratios)
