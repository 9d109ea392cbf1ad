"""Completion: a flow map on latent sets that is told 64 points of the surface."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run of a completion model; it wants `--pretrained_encoder FOLDER`, a run of `sdf_set_autoencoder`."""
    return RunConfig(
        task="flow_map",
        dataset=Item("latents", {"variants": 8}),
        encoder=Item("set_autoencoder", {"tokens": 64}),
        network=Item("diffusion_transformer"),
        formulation=Item("edm", {"sigma_data": 1.0, "jump_ratios": [20.0, 0.1]}),
        objective=Item("semigroup"),
        condition="points",
        times={"log_mean": -0.5},
        optimization=Optimization(steps=5000, batch_size=64, optimizer="muon", learning_rate=2e-3),
    )
