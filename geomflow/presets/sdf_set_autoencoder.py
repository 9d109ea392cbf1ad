"""Autoencoder of points with normals to a latent set: fewer or more tokens as wanted, detail where the surface is."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run whose reconstructions docs/results/chairs_reconstruction.md measures."""
    return RunConfig(
        task="autoencoder",
        dataset=Item("sdf_samples", {"smallest": 0.85, "shift": 3}),
        encoder=Item("set_autoencoder"),
        reconstruction={"divergence_weight": 1e-4, "surface_weight": 0.2, "fewest_tokens": 32},
        optimization=Optimization(steps=3000, batch_size=8, optimizer="muon", learning_rate=3e-3, ema=0.998),
    )
