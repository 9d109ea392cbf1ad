"""Surface: fresh, standardised points; the expected point behind a noisy one, against what it must be."""

import numpy as np
import pytest
import torch
import trimesh

from geomflow import shelves
from geomflow.datasets import surface
from geomflow.datasets._expectation import NeighbourExpectation
from geomflow.errors import ConfigError
from geomflow.geometry.primitives import Sphere, Torus
from geomflow.interfaces import PointDataset
from geomflow.model import LatentScale


@pytest.fixture
def torus_file(tmp_path):
    Torus().mesh().export(tmp_path / "torus.ply")
    return str(tmp_path / "torus.ply")


def batch(dataset, seed: int, clouds: int = 8) -> torch.Tensor:
    return dataset.batch(torch.arange(clouds), torch.Generator().manual_seed(seed))["data"]


def test_batches_are_fresh_and_repeat_with_their_generator(torus_file):
    dataset = surface.make(torus_file, ["normals"], points=5)
    assert isinstance(dataset, PointDataset)
    one = batch(dataset, 1)
    assert one.shape == (8, 5, 6)
    assert torch.equal(one, batch(dataset, 1))
    assert not torch.equal(one, batch(dataset, 2))
    assert np.abs(Torus()(one[..., :3].flatten(0, 1).numpy())).max() < 5e-3


def test_blue_noise_keeps_points_apart(torus_file):
    def closest(blue: bool) -> float:
        points = batch(surface.make(torus_file, points=50, blue_noise=blue), 0)[..., :3].flatten(0, 1)
        gaps = torch.cdist(points, points).fill_diagonal_(9.0)
        return float(gaps.min(dim=1).values.quantile(0.05))

    assert closest(True) > 3 * closest(False)


def test_flat_sheets_and_constant_channels_have_a_scale(tmp_path):
    """A square in the plane z = 3: its third coordinate has no spread, and gets a thousandth of the largest."""
    corners = np.array([[0, 0, 3], [2, 0, 3], [2, 2, 3], [0, 2, 3]], dtype=float)
    trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False).export(tmp_path / "square.ply")
    dataset = surface.make(str(tmp_path / "square.ply"), ["normals"])
    scale = LatentScale((6,))
    scale.fit(*dataset.measure())
    half = 1 / np.sqrt(3)
    torch.testing.assert_close(
        scale.std[:3], torch.tensor([half, half, half * 1e-3], dtype=torch.float32), rtol=0.01, atol=0
    )
    assert torch.isfinite(scale.standardize(batch(dataset, 0))).all()
    assert float(scale.std[3:].min()) == pytest.approx(1.0)


def expectation_of(solid, neighbours: int = 64) -> tuple[NeighbourExpectation, torch.Tensor]:
    mesh = solid.mesh()

    def draw(count: int, rng: np.random.Generator) -> torch.Tensor:
        from geomflow.geometry.surface import SurfaceSampler

        sampler = SurfaceSampler(mesh)
        return torch.from_numpy(sampler.points(sampler.places(count, rng))).float()

    return NeighbourExpectation(draw, neighbours, 0), draw(4000, np.random.default_rng(9)).view(250, 16, 3)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2, 1.0, 5.0])
def test_the_expected_point_is_that_of_a_dense_sample(sigma):
    """Against the posterior mean over 20,000 points: nearer to it than the point that was drawn by a factor of 4."""
    expectation, data = expectation_of(Sphere(0.8))
    z = data + sigma * torch.randn(data.shape, generator=torch.Generator().manual_seed(3))
    ratio = torch.full((len(data),), sigma)
    found = expectation(z, ratio, data)
    rng = np.random.default_rng(5)
    dense = torch.from_numpy(rng.normal(size=(200_000, 3))).float()
    dense = 0.8 * dense / dense.norm(dim=1, keepdim=True)
    queries = z.flatten(0, 1)[:300]
    near = dense if sigma < 0.1 else dense[:20_000]
    weights = (torch.cdist(queries, near).square() / (-2 * sigma**2)).softmax(dim=1)
    true = weights @ near
    error, drawn = ((x.flatten(0, 1)[:300] - true).square().mean().sqrt() for x in (found, data))
    assert error < drawn / (4 if sigma > 0.02 else 2.5)


def test_one_expectation_repeats_after_it_was_saved():
    """Its count of calls, which decides on the pools, is part of the state."""
    first, data = expectation_of(Sphere(0.8))
    ratio = torch.full((len(data),), 0.1)
    for _ in range(51):
        last = first(data[:4], ratio[:4], data[:4])
    second, _ = expectation_of(Sphere(0.8))
    second.load_state_dict({"calls": torch.tensor(50)})
    assert torch.equal(second(data[:4], ratio[:4], data[:4]), last)


@pytest.mark.parametrize("option", [{"points": 0}, {"neighbours": -1}, {"neighbours": 1025}])
def test_bad_options_are_refused(option, torus_file):
    with pytest.raises(ConfigError, match=rf"dataset\.{next(iter(option))} must be"):
        shelves.load("datasets", "surface", file=torus_file, **option)
