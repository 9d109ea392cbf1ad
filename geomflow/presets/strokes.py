"""Strokes: a flow map from noise to the outline of an image, as B-spline strokes."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run of a model of drawings; its data are those of `data_prep.strokes`."""
    return RunConfig(
        task="flow_map",
        dataset=Item("strokes"),
        encoder=Item("stroke_set"),
        network=Item("diffusion_transformer", {"width": 128, "depth": 4, "heads": 4}),
        formulation=Item("edm", {"sigma_data": 1.0}),
        objective=Item("semigroup"),
        condition="image",
        times={"log_mean": -0.5},
        optimization=Optimization(steps=4000, batch_size=128, optimizer="muon", learning_rate=2e-3),
    )
