"""Flow map on the latents of a trained autoencoder: the second stage of SDF generation."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return a run like that of the embedded chairs' flow map; it wants `--pretrained_encoder FOLDER`."""
    return RunConfig(
        task="flow_map",
        dataset=Item("latents"),
        network=Item("diffusion_transformer"),
        formulation=Item("edm", {"sigma_data": 1.0, "jump_ratios": [20.0, 0.1]}),
        objective=Item("semigroup"),
        times={"log_mean": -0.5},
        optimization=Optimization(steps=4000, batch_size=64, optimizer="muon", learning_rate=2e-3),
    )
