"""Noise sources: zero mean, unit variance, the right support, the same numbers for the same seed."""

import math

import numpy as np
import pytest
import torch

from geomflow import shelves
from geomflow.errors import MeshHasNoFaces
from geomflow.geometry.primitives import Box, Torus
from geomflow.geometry.write import write_mesh

COUNT = 40_000


def draw(noise, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return noise((4, COUNT // 4, channels), generator, torch.float32, None).reshape(COUNT, channels)


@pytest.fixture(scope="module")
def torus_file(tmp_path_factory):
    mesh = Torus().mesh()
    mesh.apply_scale(7.0)
    mesh.apply_translation((30.0, -20.0, 5.0))
    file = tmp_path_factory.mktemp("noise") / "torus.ply"
    write_mesh(mesh, file)
    return file


@pytest.mark.parametrize("name", ["gaussian", "box", "sphere", "mesh"])
def test_mean_is_zero_and_variance_one(name, torus_file):
    """Per coordinate for the symmetric sources, on average over coordinates for a mesh; attributes are Gaussian."""
    options = {"file": str(torus_file)} if name == "mesh" else {}
    x = draw(shelves.load("noises", name, **options), channels=5).double()
    slack = 5 / math.sqrt(COUNT)
    assert x.mean(0).abs().max() < 2 * slack
    variance = x.var(0)
    if name == "mesh":
        assert variance[:3].mean() == pytest.approx(1, abs=slack)
    else:
        torch.testing.assert_close(variance[:3], torch.ones(3).double(), atol=2 * slack, rtol=0)
    torch.testing.assert_close(variance[3:], torch.ones(2).double(), atol=2 * slack, rtol=0)
    fourth = x[:, 3].pow(4).mean()
    assert fourth == pytest.approx(3, abs=0.2)  # a Gaussian's, not a uniform number's (1.8)


def test_sources_lie_where_they_should(torus_file):
    box, sphere = (draw(shelves.load("noises", name)) for name in ("box", "sphere"))
    assert box.abs().max() <= math.sqrt(3)
    assert box.abs().max() > 1.7
    torch.testing.assert_close(sphere.norm(dim=1), torch.full((COUNT,), math.sqrt(3)))
    noise = shelves.load("noises", "mesh", file=str(torus_file))
    x = draw(noise).double().numpy()
    original = Torus().mesh()
    spread = np.sqrt(np.var(np.asarray(original.sample(200_000)), axis=0).mean())
    assert np.abs(Torus()(x * spread)).max() < 0.02  # chords of the mesh, and the measured spread


def test_the_same_seed_gives_the_same_noise():
    noise = shelves.load("noises", "sphere")
    assert torch.equal(draw(noise, seed=3), draw(noise, seed=3))
    assert not torch.equal(draw(noise, seed=3), draw(noise, seed=4))


def test_a_mesh_of_noise_travels_with_the_weights(torus_file):
    noise = shelves.load("noises", "mesh", file=str(torus_file))
    room = shelves.load("noises", "mesh", **noise.sizes)
    room.load_state_dict(noise.state_dict())
    assert torch.equal(draw(room), draw(noise))


def test_noise_from_points_is_refused(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(10, 3)))
    with pytest.raises(MeshHasNoFaces, match=r"points\.npy: wanted a mesh with faces"):
        shelves.load("noises", "mesh", file=str(tmp_path / "points.npy"))


def test_exact_moments_of_a_box(tmp_path):
    """Surface of a box with half extents 1, 1, 1: each coordinate has variance (1 + 1/3 + 1/3) / 3 = 5 / 9."""
    write_mesh(Box((1.0, 1.0, 1.0)).mesh(), tmp_path / "box.ply")
    noise = shelves.load("noises", "mesh", file=str(tmp_path / "box.ply"))
    assert float(noise.vertices.abs().max()) == pytest.approx(math.sqrt(9 / 5), rel=1e-6)
