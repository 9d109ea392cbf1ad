"""Images of 256 x 256 by a transformer of the size of DiT-B/2 on the latents of an autoencoder, for days of a GPU."""

from geomflow.config import Item, Optimization, RunConfig


def make() -> RunConfig:
    """Return the run; it wants `--encoder PACKAGE.MODULE`, an autoencoder of images (docs/images.md).

    `--condition "" --guidance {}` for pictures without classes. CIFAR-10 needs no autoencoder: `--encoder.size 32`.
    """
    return RunConfig(
        task="flow_map",
        dataset=Item("images", {"mirror": True}),
        encoder=Item("pixels", {"size": 256, "channels": 3}),
        network=Item("diffusion_transformer", {"width": 768, "depth": 12, "heads": 12, "patch": 2}),
        formulation=Item("u_prediction"),
        objective=Item("semigroup"),
        condition="class",
        guidance={"scale": 1.5},
        times={"log_mean": -0.5},
        optimization=Optimization(
            steps=400_000, batch_size=256, learning_rate=1e-4, weight_decay=0.0, ema=0.9999, precision="bfloat16"
        ),
    )
