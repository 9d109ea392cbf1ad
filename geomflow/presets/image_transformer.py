"""Images by a small diffusion transformer: tokens of 4 x 4 pixels; better in few steps than the U-Net, and slower."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run that the embedded `fashion` was made with."""
    return RunConfig(
        task="flow_map",
        dataset=Item("images"),
        encoder=Item("pixels"),
        network=Item("diffusion_transformer", {"width": 144, "patch": 4}),
        formulation=Item("u_prediction"),
        objective=Item("semigroup"),
        condition="class",
        guidance={"scale": 1.5},
        times={"log_mean": -0.5},
        optimization=Optimization(steps=4000, batch_size=128, optimizer="muon", learning_rate=4e-3),
    )
