"""Small trainings, and ways to look at, to compare and to break off runs."""

import json
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geomflow import checkpoint
from geomflow.config import Item, Optimization, RunConfig
from geomflow.train import train
from geomflow.train.run import Run

QUICK = Optimization(steps=6, batch_size=2, warmup=2, save_every=3)
SHARED = replace(QUICK, steps=4, batch_size=4, micro_batches=2, save_every=2)
TOLERANCE = 1e-6
AUTOENCODER = RunConfig(
    task="autoencoder",
    dataset=Item("sdf_samples", {"points": 96, "shift": 1}),
    encoder=Item("grid_autoencoder", {"resolution": 16, "widths": [16, 16, 16], "latent_channels": 2}),
    optimization=QUICK,
)


def flow_config(encoder: Path) -> RunConfig:
    """A small flow map on an autoencoder's latents."""
    network = Item("diffusion_transformer", {"width": 32, "depth": 1, "heads": 2})
    return RunConfig(
        task="flow_map",
        dataset=Item("latents"),
        pretrained_encoder=str(encoder),
        network=network,
        formulation=Item("edm", {"sigma_data": 1.0}),
        optimization=QUICK,
    )


def losses(run: Path) -> list[float]:
    """The loss of every step."""
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").open()]


def same_weights(one: Path, two: Path) -> bool:
    """Whether two checkpoints hold the same weights, to the bit."""
    a, b = checkpoint.load(one).weights, checkpoint.load(two).weights
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def assert_same_run(one: Path, two: Path) -> None:
    """Losses and weights of two runs of four steps agree, up to the order of sums."""
    assert losses(one) == pytest.approx(losses(two), abs=TOLERANCE)
    assert len(losses(one)) == SHARED.steps
    a, b = checkpoint.load(one).weights, checkpoint.load(two).weights
    assert a.keys() == b.keys()
    for name, weight in a.items():
        torch.testing.assert_close(weight, b[name], rtol=0, atol=TOLERANCE)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def train_until(step: int, *arguments: object, numbers: Sequence[int] = (signal.SIGINT,), **options: object) -> None:
    """Train, and get signals within a step; the run ends after it, as if by Ctrl-C."""
    change = Run.change

    def interrupted(run: Run, progress: float) -> dict[str, float]:
        if run.step == step - 1:
            for number in numbers:
                signal.raise_signal(number)
        return change(run, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "change", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(*arguments, progress=False, **options)  # pyright: ignore
