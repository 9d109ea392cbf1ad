"""Flow map on coarse grids of signed distances themselves, without any autoencoder: the simplest shape generator."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run of a generator of 32^3 grids."""
    return RunConfig(
        task="flow_map",
        dataset=Item("latents"),
        encoder=Item("plain_grid"),
        network=Item("unet"),
        formulation=Item("edm", {"sigma_data": 1.0}),
        objective=Item("semigroup"),
        times={"log_mean": 0.5},
        optimization=Optimization(steps=1500, batch_size=16, optimizer="muon", learning_rate=2e-3),
    )
