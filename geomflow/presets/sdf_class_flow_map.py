"""Flow map on the latents of a trained autoencoder that is told which class of shape to make."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run of a model of several classes; it wants `--pretrained_encoder FOLDER`."""
    return RunConfig(
        task="flow_map",
        dataset=Item("latents"),
        network=Item("diffusion_transformer", {"width": 256, "heads": 8}),
        formulation=Item("edm", {"sigma_data": 1.0, "jump_ratios": [20.0, 0.1]}),
        objective=Item("semigroup"),
        condition="class",
        guidance={"scale": 1.5},
        times={"log_mean": -0.5},
        optimization=Optimization(steps=4000, batch_size=64, optimizer="muon", learning_rate=2e-3),
    )
