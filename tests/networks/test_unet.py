"""The U-Net and the transformer on grids, images and sets, their conditions, generation without any autoencoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from geomflow import shelves
from geomflow.config import Item, Optimization
from geomflow.geometry.primitives import Sphere
from geomflow.pipeline import Pipeline
from geomflow.train import train
from tests.conftest import prepared_solids, without_shape_checks

GRID = (2, 8, 8, 8)
SMALL = {"width": 16, "depth": 2, "heads": 2}
OPTIONS = {
    "unet": {"latent_shape": GRID, "widths": [8, 16, 16], "depth": 1, "heads": 2},
    "unet of images": {"latent_shape": (2, 8, 12), "widths": [8, 16], "depth": 1, "heads": 2},
    "diffusion_transformer": {"latent_shape": (2, 9), **SMALL},
    "diffusion_transformer of images": {"latent_shape": (2, 4, 6), "patch": 2, **SMALL},
    "diffusion_transformer of sets": {"latent_shape": (2, 9), "ordered": False, **SMALL},
}
CONDITIONED = [
    ("unet", "class"),
    ("unet of images", "class"),
    *(("diffusion_transformer", condition) for condition in ("class", "points", "surface", "image")),
]


def network(name: str, condition: str = ""):
    torch.manual_seed(0)
    told = {"condition": condition, "classes": 3} if condition else {}
    made = shelves.load("networks", name.split()[0], **OPTIONS[name], **told).double()
    with torch.no_grad():  # as after training: no layer is zero
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def state(name: str, batch: int = 3):
    generator = torch.Generator().manual_seed(1)
    shape = OPTIONS[name]["latent_shape"]
    x = torch.randn(batch, *shape, generator=generator, dtype=torch.float64)
    t, r = torch.rand(2, batch, generator=generator, dtype=torch.float64)
    return x, t, r


def told(condition: str, batch: int = 3):
    if condition == "class":
        return {"class": torch.arange(batch) % 3}
    shape = {"points": (5, 3), "surface": (40, 6), "image": (1, 8, 12)}[condition]
    return {condition: torch.rand(batch, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)}


@pytest.mark.parametrize("name", OPTIONS)
def test_forward_mode_equals_differences(name):
    made, (x, t, r) = network(name), state(name)
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):
        _, slope = torch.func.jvp(made, (x, t, r), (tangent, torch.ones_like(t), torch.zeros_like(r)))
    step = 1e-5
    ahead, behind = (made(x + s * tangent, t + s, r) for s in (step, -step))
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_both_times_and_every_cell_count(name):
    made, (x, t, r) = network(name), state(name, 1)
    assert not torch.allclose(made(x, t, r), made(x, t, t))
    slope = torch.func.vjp(lambda x: made(x, t, r)[..., 0].sum(), x)[1](torch.ones((), dtype=torch.float64))[0]
    assert (slope.flatten(2).abs().amax(dim=(0, 1)) > 0).all()  # what comes out of one cell depends on all


@pytest.mark.parametrize(("name", "condition"), CONDITIONED)
def test_a_row_is_told_its_own_condition_and_none_is_one_too(name, condition):
    made, (x, t, r) = network(name, condition), state(name)
    given = told(condition)
    together = made(x, t, r, given)
    alone = made(x[1:2], t[1:2], r[1:2], {key: value[1:2] for key, value in given.items()})
    torch.testing.assert_close(alone, together[1:2])
    assert not torch.allclose(made(x, t, r), together)
    nothing = {key: torch.full_like(value, made.null[key]) for key, value in given.items()}
    torch.testing.assert_close(made(x, t, r, nothing), made(x, t, r))


@pytest.mark.parametrize("kind", ["class", "points", "surface", "image"])
def test_a_condition_that_was_encoded_stands_for_itself(kind):
    made, (x, t, r) = network("diffusion_transformer", kind), state("diffusion_transformer")
    one = told(kind, 1)
    encoded = {name: value.expand(3, *value.shape[1:]) for name, value in made.encode_condition(one).items()}
    given = {kind: one[kind].expand(3, *one[kind].shape[1:])}
    torch.testing.assert_close(made(x, t, r, encoded), made(x, t, r, given))
    if kind != "class":
        with pytest.raises(ValueError, match=f"mapping with '{kind}' for this network, given one with 'class'"):
            made.encode_condition(told("class"))


@pytest.mark.parametrize("kind", ["points", "surface"])
def test_points_are_a_set_and_absent_ones_do_not_count(kind):
    made, (x, t, r) = network("diffusion_transformer", kind), state("diffusion_transformer")
    points = told(kind)[kind]
    first = points[:, :1]  # where farthest points begin
    padded = torch.cat([first, points[:, 1:].flip(1), torch.full_like(points, torch.nan)], dim=1)
    torch.testing.assert_close(made(x, t, r, {kind: padded}), made(x, t, r, {kind: points}))
    made(x, t, r, {kind: padded}).square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in made.parameters() if weight.grad is not None)


@pytest.mark.parametrize("kind", ["points", "surface", "image"])
def test_nothing_to_look_at_gives_no_broken_gradient(kind):
    made, (x, t, r) = network("diffusion_transformer", kind), state("diffusion_transformer")
    made(x, t, r).square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in made.parameters() if weight.grad is not None)


def test_a_set_comes_out_in_the_order_in_which_it_went_in():
    x, t, r = state("diffusion_transformer")
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    unordered, ordered = (network(name) for name in ("diffusion_transformer of sets", "diffusion_transformer"))
    torch.testing.assert_close(unordered(x[..., order], t, r), unordered(x, t, r)[..., order])
    assert not torch.allclose(ordered(x[..., order], t, r), ordered(x, t, r)[..., order], atol=1e-3)


@pytest.mark.parametrize("name", ["diffusion_transformer of images", "diffusion_transformer"])
def test_patches_hold_neighbouring_cells_and_are_put_back(name):
    made, (x, _, _) = network(name), state(name)
    patches = made._patches(x)
    torch.testing.assert_close(made._whole(patches), x)
    if name.endswith("images"):  # the second patch of the first row, channel by channel
        torch.testing.assert_close(patches[:, 1], x[:, :, :2, 2:4].flatten(1))


@pytest.mark.parametrize("name", OPTIONS)
def test_what_a_network_cannot_take_is_named(name):
    made, (x, t, r) = network(name), state(name)
    with pytest.raises(ValueError, match="x must have shape"):
        made(x[:, :1], t, r)
    with pytest.raises(ValueError, match="condition must be None for this network, given one with 'class'"):
        made(x, t, r, told("class"))
    with pytest.raises(ValueError, match="condition must be a mapping with 'class' for this network, given Tensor"):
        network(name, "class")(x, t, r, t)
    with pytest.raises(ValueError, match="classes must be at least 1"):
        shelves.load("networks", name.split()[0], **OPTIONS[name], condition="class")


def test_grids_and_widths_that_cannot_be_are_named():
    with pytest.raises(ValueError, match=r"multiples of 8, given \(1, 8, 8, 12\)"):
        shelves.load("networks", "unet", latent_shape=(1, 8, 8, 12))
    with pytest.raises(ValueError, match="multiples of patch, 4, given"):
        shelves.load("networks", "diffusion_transformer", latent_shape=(1, 8, 6), patch=4)
    with pytest.raises(ValueError, match="widths must be multiples of 8"):
        shelves.load("networks", "unet", latent_shape=GRID, widths=[8, 12, 16])
    with pytest.raises(ValueError, match="condition must be 'class' or '' for none"):
        shelves.load("networks", "unet", latent_shape=GRID, condition="points")


def test_a_plain_grid_keeps_linear_fields_and_is_certain():
    encoder = shelves.load("encoders", "plain_grid", cells=8, resolution=15, band=2.0)
    axis = torch.linspace(-1, 1, 15)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    field = 0.3 * x - 0.2 * y + 0.5 * z + 0.1
    posterior = encoder.encode(field[None])
    assert posterior.mean.shape[1:] == encoder.latent_shape == (1, 8, 8, 8)
    points = 2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)) - 1
    wanted = points @ torch.tensor([0.3, -0.2, 0.5]) + 0.1
    torch.testing.assert_close(encoder.sdf(encoder.decode(posterior.mean), points), wanted)
    assert (posterior.sample(torch.Generator().manual_seed(0)) - posterior.mean).abs().max() < 0.02
    with pytest.raises(ValueError, match="grid must have 15 samples per axis"):
        encoder.encode(field[None, :8])
    with pytest.raises(ValueError, match="cells must lie between 2 and"):
        shelves.load("encoders", "plain_grid", cells=80)


def test_shapes_are_generated_without_an_autoencoder(tmp_path):
    data = prepared_solids(tmp_path, surface_points=50, volume_points=50, near_points=50)
    config = shelves.load("presets", "sdf_grid_flow_map")
    config = replace(
        config,
        encoder=Item("plain_grid", {"cells": 8, "resolution": 16, "band": 0.4}),
        network=Item("unet", {"widths": [16, 16, 16], "depth": 1, "heads": 2, "patch": 1}),
        optimization=Optimization(steps=60, batch_size=8, optimizer="muon", learning_rate=4e-3, warmup=5, ema=0.9),
    )
    with without_shape_checks():
        pipeline = Pipeline.from_pretrained(train(config, data, tmp_path / "run", progress=False))
    latents = pipeline.sample_latents(16, steps=4)
    field = pipeline.field(pipeline.encode(Sphere(0.8).mesh()))
    directions = np.eye(3)
    np.testing.assert_allclose(field(0.8 * directions), 0, atol=0.06)
    assert latents.shape == (16, 1, 8, 8, 8)
    made = shelves.load(
        "datasets", "latents", folder=str(data), autoencoder=pipeline.model.autoencoder, scale=pipeline.model.scale
    )
    data_mean = pipeline.model.scale.restore(made.mean).mean(0)
    together = torch.corrcoef(torch.stack([latents.mean(0).flatten(), data_mean.flatten()]))[0, 1]
    assert together > 0.8  # what solids have in common is learned first
