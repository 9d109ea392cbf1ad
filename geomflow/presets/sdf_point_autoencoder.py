"""Autoencoder of points with normals: a first stage of SDF generation for shapes that are given as surfaces."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run of `sdf_autoencoder` with an encoder that reads points on the surface instead of a grid.

    Trained for its first 300 steps only: mean IoU 0.51 on unseen procedural seats, where the grid reaches 0.62.
    """
    return RunConfig(
        task="autoencoder",
        dataset=Item("sdf_samples"),
        encoder=Item("point_autoencoder"),
        optimization=Optimization(steps=2800, batch_size=8, learning_rate=1e-3, ema=0.998, precision="bfloat16"),
    )
