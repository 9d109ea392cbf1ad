"""Images by a small U-Net: a flow map of 28 x 28 grey images of several classes, for 23 minutes of one CPU core."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run; other images by `--encoder.size` and `--encoder.channels`, `--condition ""` for no classes."""
    return RunConfig(
        task="flow_map",
        dataset=Item("images"),
        encoder=Item("pixels"),
        network=Item("unet", {"widths": [64, 128], "depth": 1}),
        formulation=Item("u_prediction"),
        objective=Item("semigroup"),
        condition="class",
        times={"log_mean": -0.5},
        optimization=Optimization(steps=2500, batch_size=128, optimizer="muon", learning_rate=4e-3),
    )
