"""Encoders and networks: geometry of the feature grid, symmetry of times, derivatives."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from geomflow import shelves
from geomflow.interfaces import ShapeDataset
from geomflow.networks._layers import TimeEmbedding

SMALL = {"resolution": 32, "widths": (16, 16, 16), "latent_channels": 2}


def test_features_lie_at_the_nodes_of_the_input_grid():
    model = shelves.load("encoders", "grid_autoencoder", **SMALL)
    count = model.resolution // 2
    centres = (2 * torch.arange(count) + 0.5) * 2 / (model.resolution - 1) - 1  # between nodes 2 j and 2 j + 1
    grid = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"))
    features = torch.zeros(1, 8, count, count, count)
    features[0, :3] = grid
    seen = []
    model.head = torch.nn.Sequential(torch.nn.Identity())
    model.head.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]) or inputs[0][..., :1])
    points = torch.rand(1, 200, 3) * 1.8 - 0.9
    model.sdf(features, points)
    torch.testing.assert_close(seen[0][..., :3], points, atol=1e-5, rtol=0)


def test_posterior_divergence_and_sample_have_their_closed_forms():
    from geomflow.encoders._posterior import Posterior

    shape = (1, 1, 40, 40, 40)
    posterior = Posterior(torch.full(shape, 2.0), torch.full(shape, 0.0))
    assert posterior.divergence().item() == pytest.approx(2.0)
    draw = posterior.sample(torch.Generator().manual_seed(0))
    assert draw.mean().item() == pytest.approx(2.0, abs=0.02)
    assert draw.std().item() == pytest.approx(1.0, abs=0.02)


def test_the_encoder_wants_its_own_resolution():
    with pytest.raises(ValueError, match=r"32 samples per axis, given \(16, 16, 16\)"):
        shelves.load("encoders", "grid_autoencoder", **SMALL).encode(torch.zeros(1, 16, 16, 16))
    with pytest.raises(ValueError, match="multiple of 16, not 40"):
        shelves.load("encoders", "grid_autoencoder", resolution=40)


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    network = shelves.load(
        "networks", "diffusion_transformer", latent_shape=(2, 2, 2, 2), width=32, depth=2, heads=2
    ).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def test_a_new_embedding_treats_both_times_alike():
    embedding, t, r = TimeEmbedding(32), torch.rand(3), torch.rand(3)
    torch.testing.assert_close(embedding(t, r), embedding(r, t))
    assert not torch.allclose(embedding(t, r), embedding(t, t))


def test_forward_mode_derivative_is_the_central_difference(transformer):
    torch.manual_seed(1)
    x, v = torch.randn(2, 2, 2, 2, 2).double(), torch.randn(2, 2, 2, 2, 2).double()
    t, r, one = torch.full((2,), 0.3).double(), torch.full((2,), 0.8).double(), torch.ones(2).double()
    with sdpa_kernel(SDPBackend.MATH):
        _, tangent = torch.func.jvp(transformer, (x, t, r), (v, one, torch.zeros(2).double()))
    h = 1e-5
    difference = (transformer(x + h * v, t + h, r) - transformer(x - h * v, t - h, r)) / (2 * h)
    torch.testing.assert_close(tangent, difference, rtol=1e-6, atol=1e-7)


def test_a_fresh_network_is_zero_and_refuses_what_it_cannot_take():
    network = shelves.load("networks", "diffusion_transformer", latent_shape=(2, 2, 2, 2), width=32, depth=1, heads=2)
    x, t = torch.randn(1, 2, 2, 2, 2), torch.zeros(1)
    assert not network(x, t, t).any()
    with pytest.raises(ValueError, match="condition must be None"):
        network(x, t, t, condition=t)
    with pytest.raises(ValueError, match="x must have shape"):
        network(torch.randn(1, 3, 2, 2, 2), t, t)


def test_augmentation_moves_grid_and_points_together():
    from geomflow.datasets.sdf_samples import SdfSamples

    axis = torch.linspace(-1, 1, 17)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    center = torch.tensor([0.25, 0.0, -0.125])
    pool = torch.rand(1, 4000, 3) * 2 - 1
    samples = torch.cat([pool, (pool - center).norm(dim=-1, keepdim=True) - 0.4, torch.ones(1, 4000, 1)], dim=-1)
    data = SdfSamples(((grid - center).norm(dim=-1) - 0.4)[None], samples, samples, points=600, mirror=True, shift=3)
    assert isinstance(data, ShapeDataset)
    for seed in range(8):
        batch = data.batch(torch.tensor([0]), torch.Generator().manual_seed(seed))
        inside = batch["confidence"][0] > 0
        read = torch.nn.functional.grid_sample(
            batch["grid"][:, None], batch["points"].flip(-1)[:, :, None, None], align_corners=True
        )[0, 0, :, 0, 0]
        near = inside & (batch["sdf"][0].abs() < 0.25) & (batch["points"][0].abs() < 0.6).all(-1)
        assert near.sum() > 20
        torch.testing.assert_close(read[near], batch["sdf"][0][near], atol=0.02, rtol=0)
