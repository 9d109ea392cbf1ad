"""EDM on a shorter road, for data of unit spread: a formulation of parts that are there."""

from geomflow.flow import Formulation, Karras, KarrasPath


def make(sigma_data: float = 1.0, sigma_max: float = 20.0) -> Formulation:
    """EDM between noise levels `sigma_max` and 0.01, with a straighter clock."""
    path = KarrasPath(sigma_min=0.01, sigma_max=sigma_max, rho=4.0)
    return Formulation(path, "data", Karras(path, sigma_data))
