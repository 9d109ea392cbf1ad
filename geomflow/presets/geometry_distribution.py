"""Geometry distribution: the points of one shape, in one to a few steps."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run that `geomflow fit` makes of a shape; `optimization.steps` follows from the time it is given."""
    return RunConfig(
        task="points",
        dataset=Item("surface"),
        network=Item("pointwise"),
        formulation=Item("edm", {"sigma_data": 1.0, "sigma_max": 20.0}),
        objective=Item("semigroup", {"split": "chain", "huber": 0.02}),
        times={"log_mean": -2.0, "log_std": 2.0, "warm_up": 0.35, "full_span": 0.35, "instantaneous_share": 0.2},
        optimization=Optimization(
            batch_size=128,
            optimizer="muon",
            beta2=0.99,
            learning_rate=1e-2,
            weight_decay=0.0,
            ema=0.998,
            averaged_targets=True,
            second_stage=0.35,
        ),
    )
