"""Joints: a flow map from noise to the skeletal joints of a surface that it is told."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run of a model of joints; its data are those of `data_prep.joints` (docs/joints.md)."""
    return RunConfig(
        task="flow_map",
        dataset=Item("joints"),
        encoder=Item("joint_set"),
        network=Item("diffusion_transformer", {"width": 128, "depth": 6, "heads": 4, "ordered": False}),
        formulation=Item("ddim"),
        objective=Item("semigroup"),
        condition="surface",
        times={"log_mean": -0.5},
        optimization=Optimization(steps=3000, batch_size=16, optimizer="muon", learning_rate=2e-3),
    )
