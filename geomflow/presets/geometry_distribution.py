"""Geometry distribution: the points of one shape, in one to a few steps."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run that `geomflow fit` makes of a shape; `optimization.steps` follows from the time it is given."""
    return RunConfig(
        task="points",
        dataset=Item("surface"),
        network=Item("pointwise"),
        formulation=Item("edm", {"sigma_data": 1.0, "sigma_max": 20.0}),
        objective=Item("semigroup"),
        optimization=Optimization(batch_size=128, learning_rate=3e-3, weight_decay=0.0),
    )
