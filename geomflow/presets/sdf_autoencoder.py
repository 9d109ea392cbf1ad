"""Autoencoder of signed distance grids: the first of the two stages of SDF generation."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run that made the embedded chair model's autoencoder."""
    return RunConfig(
        task="autoencoder",
        dataset=Item("sdf_samples"),
        encoder=Item("grid_autoencoder"),
        optimization=Optimization(steps=2800, batch_size=8, learning_rate=1e-3, ema=0.998, precision="bfloat16"),
    )
