"""Autoencoder of signed distance grids: the first of the two stages of SDF generation."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run whose reconstructions docs/results/chairs_reconstruction.md measures."""
    return RunConfig(
        task="autoencoder",
        dataset=Item("sdf_samples"),
        encoder=Item("grid_autoencoder"),
        optimization=Optimization(steps=1600, batch_size=8, optimizer="muon", learning_rate=3e-3, ema=0.998),
    )
