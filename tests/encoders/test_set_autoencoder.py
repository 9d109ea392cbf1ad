"""The set autoencoder: beginnings of latents are latents, tokens know their place, and the field has no seams."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geomflow import shelves
from geomflow.config import Item, Optimization, RunConfig
from geomflow.encoders._loss import ReconstructionLoss
from geomflow.encoders._posterior import Posterior
from geomflow.errors import ConfigError
from geomflow.interfaces import Decoder, Encoder
from geomflow.train import train
from tests.conftest import prepared_solids
from tests.encoders.test_point_autoencoder import cloud, same

SMALL = {"points": 256, "tokens": 24, "latent_channels": 4, "fine": 48, "neighbours": 6, "width": 32, "heads": 2}
TRAINED = {**SMALL, "tokens": 48, "nearest": 6, "reach": 0.3, "local_width": 16}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return shelves.load("encoders", "set_autoencoder", **SMALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    return prepared_solids(folder, surface_points=500, volume_points=300, near_points=300)


def shrunk(optimization: Optimization, dataset: dict | None = None, **reconstruction: float) -> RunConfig:
    config = shelves.load("presets", "sdf_set_autoencoder")
    samples = Item(config.dataset.name, {"points": 192, "shift": 0, **(dataset or {})})
    return replace(
        config,
        dataset=samples,
        encoder=Item(config.encoder.name, TRAINED),
        optimization=optimization,
        reconstruction={**config.reconstruction, **reconstruction},
    )


def test_it_keeps_the_promises_of_the_shelf(model):
    assert isinstance(model, Encoder)
    assert isinstance(model, Decoder)
    assert model.reads == "surface"
    assert model.latent_shape == model.encode(cloud(256)).mean.shape[1:] == (7, 24)


def test_the_first_tokens_of_a_latent_are_the_latent_of_fewer(model):
    whole = model.encode(cloud(256), tokens=48)
    for count in (11, 24):
        fewer = model.encode(cloud(256), tokens=count)
        same(fewer, Posterior(*(part[..., :count] for part in whole)), atol=1e-5, rtol=0)
    same(fewer, model.encode(cloud(256)))


def test_tokens_lie_on_the_surface_and_the_first_ones_cover_it(model):
    surface = cloud(256)
    places = model.encode(surface).mean[:, :3].transpose(1, 2)
    assert ((places[:, :, None] - surface[:, None, :, :3]).abs().amax(dim=3).amin(dim=2) == 0).all()
    reach = [torch.cdist(surface[..., :3], places[:, :k]).amin(dim=2).amax() for k in (4, 12, 24)]
    assert 1.5 * reach[2] < reach[1] < reach[0] / 1.5 < 0.9


def test_the_posterior_depends_on_the_set_alone(model):
    surface = cloud(256)
    shuffled = surface[:, torch.randperm(256, generator=torch.Generator().manual_seed(2))]
    same(model.encode(surface), model.encode(shuffled))
    padded = torch.cat([surface, torch.full((3, 9, 6), torch.nan)], dim=1)
    same(model.encode(padded), model.encode(surface), atol=1e-5, rtol=0)
    assert model.encode(cloud(10)).mean.isfinite().all()  # fewer points than tokens: some are repeated


@torch.no_grad()
def test_the_field_depends_on_the_set_of_tokens_and_has_no_seams(model):
    latent = model.encode(cloud(256)).mean
    features = model.decode(latent)
    generator = torch.Generator().manual_seed(4)
    points = 2 * torch.rand(3, 5000, 3, generator=generator) - 1
    shuffled = model.decode(latent[..., torch.randperm(24, generator=generator)])
    torch.testing.assert_close(model.sdf(shuffled, points), model.sdf(features, points), atol=1e-5, rtol=0)
    step, values = torch.randn(points.shape, generator=generator), model.sdf(features, points)
    changes = [(model.sdf(features, points + size * step) - values).abs().max() for size in (1e-3, 1e-4, 1e-5)]
    assert values.std() > 1e-3
    assert changes[2] < changes[1] / 4 < changes[0] / 16  # a seam would stay


def test_wrong_inputs_are_named(model):
    with pytest.raises(ValueError, match=r"surface must have shape \(batch, points, 6\)"):
        model.encode(torch.zeros(1, 5, 3))
    with pytest.raises(ValueError, match=r"tokens must lie in \[9, 48\], given 49"):
        model.encode(cloud(256), tokens=49)
    with pytest.raises(ValueError, match="latent must have at least 9 tokens, given 8"):
        model.decode(torch.zeros(1, 7, 8))
    with pytest.raises(ValueError, match="must fall in this order"):
        shelves.load("encoders", "set_autoencoder", tokens=600)


def test_the_gradient_of_a_true_distance_costs_nothing():
    """Eikonal and surface terms are zero for the field of a sphere, and one for twice its distance."""

    class Sphere(torch.nn.Module):
        reads, band = "surface", 0.5

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def encode(self, surface: torch.Tensor) -> Posterior:
            return Posterior(torch.zeros(len(surface), 1, 1), torch.zeros(len(surface), 1, 1))

        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return latent

        def sdf(self, features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
            return self.factor * (points.norm(dim=2) - 0.7)

    points = torch.rand(2, 300, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    batch = {
        "surface": cloud(64, 2),
        "points": points,
        "sdf": points.norm(dim=2) - 0.7,
        "confidence": torch.ones(2, 300),
    }
    terms = {"surface_weight": 1.0, "eikonal_weight": 1.0}
    _, true = ReconstructionLoss(Sphere(1.0), **terms)(batch, 0.0, torch.Generator())
    _, double = ReconstructionLoss(Sphere(2.0), **terms)(batch, 0.0, torch.Generator())
    assert max(true["surface"], true["eikonal"]) < 1e-4
    assert double["surface"] < 1e-5
    assert double["eikonal"] == pytest.approx(1.0, rel=1e-2)


def test_terms_of_the_loss_that_cannot_be_are_named(data, tmp_path):
    for terms, message in (
        ({"sharpness": 1.0}, "no option 'sharpness'"),
        ({"fewest_tokens": 6}, r"fewest_tokens must lie in \[7, 48\], or be 0, given 6"),
        ({"fewest_tokens": 49}, r"fewest_tokens must lie in \[7, 48\], or be 0, given 49"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(shrunk(Optimization(steps=1), **terms), data, tmp_path / "run", progress=False)
    grids = shelves.load("encoders", "plain_grid")
    for terms, message in (
        ({"fewest_tokens": 9}, "must be 0 for latents that are no sets"),
        ({"surface_weight": 1.0}, "no surface"),
    ):
        with pytest.raises(ConfigError, match=message):
            ReconstructionLoss(grids, **terms)


def test_grids_cannot_be_scaled(data, tmp_path):
    config = shelves.load("presets", "sdf_autoencoder")
    config = replace(config, dataset=Item("sdf_samples", {"smallest": 0.5}))
    with pytest.raises(ConfigError, match=r"dataset\.smallest must be 1"):
        train(config, data, tmp_path / "run", progress=False)


def test_samples_and_surfaces_are_scaled_as_one(data):
    made = shelves.load("datasets", "sdf_samples", folder=str(data), grid=False, surface=50, shift=0, smallest=0.5)
    batch = made.batch(torch.arange(len(made)), torch.Generator().manual_seed(0))
    assert "grid" not in batch
    assert 0.4 < batch["surface"][..., :3].abs().amax(dim=(1, 2)).min() < 0.9
    ball = int(batch["surface"][..., :3].norm(dim=2).std(dim=1).argmin())  # of all four solids, the round one
    radius = batch["surface"][ball, :, :3].norm(dim=1).mean()
    wanted = batch["points"][ball].norm(dim=1) - radius
    torch.testing.assert_close(batch["sdf"][ball], wanted, atol=2e-3, rtol=0)
