"""The point autoencoder: a function of the set, padding and repetitions, data that moves as one, and whole runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from geomflow import checkpoint, shelves
from geomflow.config import Item, Optimization, RunConfig
from geomflow.datasets.sdf_samples import SdfSamples
from geomflow.encoders._posterior import Posterior
from geomflow.errors import ConfigError
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.primitives import Box
from geomflow.interfaces import Decoder, Encoder
from geomflow.metrics import volumetric_iou
from geomflow.pipeline import Pipeline
from geomflow.prep.manifest import record_files
from geomflow.records import load_record
from geomflow.train import train
from tests.conftest import prepared_solids, without_shape_checks

SMALL = {
    "points": 64,
    "centers": [16, 8],
    "neighbours": 4,
    "set_widths": [16, 16],
    "width": 32,
    "heads": 2,
    "rounds": 1,
    "resolution": 16,
    "widths": [16, 16, 16],
    "latent_channels": 4,
}
QUICK = Optimization(steps=4, batch_size=2, warmup=2, save_every=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return shelves.load("encoders", "point_autoencoder", **{**SMALL, "resolution": 32})


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    return prepared_solids(folder, surface_points=500, volume_points=300, near_points=300)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    """A run of the preset, shrunk, long enough to have learned its four shapes a little."""
    config = shrunk(Optimization(steps=150, batch_size=4, learning_rate=3e-3, warmup=10, ema=0.9))
    with without_shape_checks():
        return train(config, data, tmp_path_factory.mktemp("runs") / "points", progress=False)


def shrunk(optimization: Optimization = QUICK, **dataset: int) -> RunConfig:
    config = shelves.load("presets", "sdf_point_autoencoder")
    samples = Item(config.dataset.name, {"points": 96, "shift": 0, **dataset})
    return replace(config, dataset=samples, encoder=Item(config.encoder.name, SMALL), optimization=optimization)


def cloud(count: int = 64, batch: int = 3, seed: int = 0) -> Tensor:
    """Points on a sphere with their normals."""
    normals = nn.functional.normalize(
        torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed)), dim=2
    )
    return torch.cat([0.7 * normals, normals], dim=2)


def same(one: Posterior, two: Posterior, **tolerance: float) -> None:
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, **(tolerance or {"atol": 0, "rtol": 0}))


def test_it_keeps_the_promises_of_the_shelf(model):
    assert isinstance(model, Encoder)
    assert isinstance(model, Decoder)
    assert model.reads == "surface"
    assert model.latent_shape == model.encode(cloud()).mean.shape[1:] == (4, 2, 2, 2)
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "decoder", "head"}


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_the_posterior_depends_on_the_set_alone(model, backend, monkeypatch):
    """Bit for bit, with points on a lattice too, where distances tie and rows are repeated."""
    monkeypatch.setenv("GEOMFLOW_OPS", backend)
    tied = (4 * cloud(80, seed=1)).round() / 4
    for surface in (cloud(), tied):
        shuffled = surface[:, torch.randperm(surface.shape[1], generator=torch.Generator().manual_seed(2))]
        same(model.encode(surface), model.encode(shuffled))
    assert not torch.allclose(model.encode(cloud()).mean, model.encode(cloud(seed=3)).mean)


def test_a_shape_does_not_depend_on_its_batch(model):
    together = model.encode(cloud())
    same(model.encode(cloud()[1:2]), Posterior(*(part[1:2] for part in together)), atol=1e-5, rtol=0)


def test_rows_that_are_not_finite_are_absent(model):
    """Clouds of different sizes are filled up with NaN, in front or behind; gradients stay finite."""
    whole, absent = cloud(40), torch.full((3, 9, 6), torch.nan)
    for padded in (torch.cat([whole, absent], dim=1), torch.cat([absent, whole], dim=1)):
        same(model.encode(padded), model.encode(whole), atol=1e-6, rtol=0)
    model.zero_grad()
    model.encode(torch.cat([whole, absent], dim=1)).mean.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("count", [0, 1, 5, 15])
def test_fewer_points_than_centres_are_enough(model, count):
    posterior = model.encode(cloud(count))
    assert posterior.mean.isfinite().all()
    repeated = cloud(count).repeat(1, 2, 1)
    assert model.encode(repeated).mean.isfinite().all()


def test_all_points_in_one_place_are_no_trouble(model):
    assert model.encode(cloud(1).expand(-1, 64, -1)).log_variance.isfinite().all()


def test_every_weight_has_a_gradient():
    torch.manual_seed(0)
    model = shelves.load("encoders", "point_autoencoder", **SMALL)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)  # the residual branches start at zero
    posterior = model.encode(cloud())
    field = model.sdf(model.decode(posterior.sample()), torch.rand(3, 50, 3) * 2 - 1)
    (field.square().sum() + posterior.divergence()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centers": [16, 32]}, r"centers must be two numbers falling from points, 64, given \[16, 32\]"),
        ({"centers": [16]}, r"centers must be two numbers"),
        ({"set_widths": [16]}, r"set_widths must be two numbers, given \[16\]"),
        ({"neighbours": 0}, "neighbours must be at least 1, given 0"),
        ({"heads": 3}, "width must be a multiple of heads, 3, given 32"),
        ({"resolution": 40}, "resolution must be a multiple of 16, not 40"),
    ],
)
def test_sizes_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        shelves.load("encoders", "point_autoencoder", **{**SMALL, **options})


def test_points_without_normals_are_refused(model):
    with pytest.raises(ValueError, match=r"surface must have shape \(batch, points, 6\), given \(2, 8, 3\)"):
        model.encode(torch.zeros(2, 8, 3))


def test_grid_and_surface_are_moved_together():
    """In every augmented batch the grid, read at the surface points and a little outwards, says 0 and that little."""
    axis, center, out = torch.linspace(-1, 1, 33), torch.tensor([0.25, 0.0, -0.125]), 0.1
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    sphere = (grid - center).norm(dim=-1) - 0.4
    surface = cloud(500, 1)
    surface[..., :3] = 0.4 * surface[..., 3:] + center
    pool = torch.zeros(1, 10, 5)
    plain, augmented = (
        SdfSamples(sphere[None], pool, pool, 6, mirror=move, shift=4 * move, surfaces=surface, surface=200)
        for move in (False, True)
    )
    drawn = augmented.batch(torch.tensor([0]), torch.Generator())["surface"]
    assert drawn.shape == (1, 200, 6)
    assert len(drawn[0].unique(dim=0)) == 200
    places = set()
    for seed in range(8):
        for dataset in (plain, augmented):
            batch = dataset.batch(torch.tensor([0]), torch.Generator().manual_seed(seed))
            points, normals = batch["surface"].split(3, dim=2)
            for distance in (0.0, out):
                at = (points + distance * normals).flip(-1)[:, :, None, None]
                read = nn.functional.grid_sample(batch["grid"][:, None], at, align_corners=True).flatten()
                torch.testing.assert_close(read, torch.full_like(read, distance), atol=0.02, rtol=0)
        places.add(round(points.mean().item(), 2))
    assert len(places) > 4


def test_grids_are_drawn_as_before_when_nobody_reads_the_surface(data):
    """A run that reads grids keeps its stream of random numbers, and its batches hold no surface."""
    with_surface, without = (shelves.load("datasets", "sdf_samples", folder=str(data), surface=n) for n in (64, 0))
    rows = torch.arange(2)
    one, two = (dataset.batch(rows, torch.Generator().manual_seed(0)) for dataset in (with_surface, without))
    assert set(one) - set(two) == {"surface"}
    near = 3072 - 1024
    assert torch.equal(one["sdf"][:, :near], two["sdf"][:, :near])


class Echo(nn.Module):
    """An encoder whose latent is what it reads."""

    reads, points = "surface", 8

    def encode(self, surface: Tensor) -> Posterior:
        values = surface.transpose(1, 2)[..., None, None]
        return Posterior(values, torch.zeros_like(values))


class Unscaled(nn.Module):
    """A scale that changes nothing."""

    std = torch.ones(())

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        pass

    def standardize(self, values: Tensor) -> Tensor:
        return values


def test_latents_encode_each_surface_and_its_reflection(data):
    made = shelves.load("datasets", "latents", folder=str(data), autoencoder=Echo(), scale=Unscaled())
    assert len(made) == 2 * 4 * len(record_files(data, "train"))
    record = load_record(record_files(data, "train")[0])
    rows = {tuple(row) for row in np.hstack([record.surface_points, record.surface_normals]).astype(np.float32)}
    views = made.mean[:8, :, :, 0, 0].mT.numpy()  # four draws of the surface, then four of its reflection
    views[4:] *= np.array([-1, 1, 1, -1, 1, 1])
    assert all(tuple(row) in rows for view in views for row in view)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(data, tmp_path):
    whole = train(shrunk(), data, tmp_path / "whole", progress=False)
    train(shrunk(), data, tmp_path / "parts", minutes=0.0, progress=False)
    parts = train(shrunk(), data, tmp_path / "parts", resume=True, progress=False)
    one, two = checkpoint.load(whole).weights, checkpoint.load(parts).weights
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_dataset_that_gives_no_surface_is_named(data, tmp_path):
    with pytest.raises(ConfigError, match="the encoder reads 'surface', and the dataset's batches hold only points"):
        train(shrunk(surface=0), data, tmp_path / "run", progress=False)


def test_a_trained_one_reconstructs_in_the_frame_of_the_mesh(run):
    pipeline = Pipeline.from_pretrained(run)
    mesh = Box((0.4, 0.8, 0.6)).mesh().apply_scale(5.0).apply_translation((2.0, 0.0, -1.0))
    found = pipeline.reconstruct(mesh, resolution=32)
    fields = [SignedDistanceField(body) for body in (mesh, found)]
    undo = np.array([2.0, 0.0, -1.0])
    iou = volumetric_iou(*(lambda p, f=f: f(p * 5.0 + undo).distance for f in fields), resolution=32)
    assert iou > 0.4


def test_a_checkpoint_gives_the_same_latents_and_the_same_field(run, tmp_path):
    pipeline = Pipeline.from_pretrained(run)
    pipeline.save_pretrained(tmp_path / "copy")
    copy = Pipeline.from_pretrained(tmp_path / "copy")
    mesh, points = Box((0.4, 0.8, 0.6)).mesh(), np.random.default_rng(0).uniform(-1, 1, (50, 3))
    one, two = (pipeline.encode(mesh), copy.encode(mesh))
    assert torch.equal(one, two)
    np.testing.assert_array_equal(pipeline.field(one)(points), copy.field(two)(points))


def test_a_flow_map_on_its_latents_generates(data, run, tmp_path):
    config = shelves.load("presets", "sdf_flow_map")
    network = Item(config.network.name, {"width": 32, "depth": 1, "heads": 2})
    config = replace(config, network=network, pretrained_encoder=str(run), optimization=QUICK)
    out = train(config, data, tmp_path / "flow", progress=False)
    assert checkpoint.load(out).config.encoder.name == "point_autoencoder"
    result = Pipeline.from_pretrained(out)(count=2, steps=2, resolution=16)
    assert len(result.shapes) == 2
    assert result.latents.shape == (2, 4, 1, 1, 1)
