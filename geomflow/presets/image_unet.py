"""Images by a small U-Net: a class-conditional flow map of 28 x 28 grey images, for an hour of one CPU core."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run that the embedded `fashion` was made with; other images by `--encoder.size`, `--encoder.channels`.

    `--condition "" --guidance.scale 1` ... see docs/images.md.
    """
    return RunConfig(
        task="flow_map",
        dataset=Item("images"),
        encoder=Item("pixels"),
        network=Item("unet", {"widths": [64, 128], "depth": 1}),
        formulation=Item("edm", {"sigma_data": 1.0}),
        objective=Item("semigroup"),
        condition="class",
        times={"log_mean": -0.5},
        optimization=Optimization(steps=2500, batch_size=128, optimizer="muon", learning_rate=4e-3),
    )
