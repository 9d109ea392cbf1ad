"""Drawings: strokes as latents, a flow map that is told an image, and images that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geomflow import shelves
from geomflow.config import Item, Optimization, RunConfig
from geomflow.errors import RecordError
from geomflow.geometry.strokes import evaluate_strokes, rasterize_strokes
from geomflow.image_sets import write_image_set
from geomflow.model import LatentScale
from geomflow.pipelines.strokes import StrokePipeline
from geomflow.train import train

SIZE, STROKES, CONTROL = 16, 2, 4


def drawings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A level and an upright line across the picture, crossing at a random place, and their picture."""
    places = np.random.default_rng(seed).uniform(-0.7, 0.7, (count, 2))
    along = np.linspace(-0.9, 0.9, CONTROL)
    level = np.stack([np.broadcast_to(along, (count, CONTROL)), np.repeat(places[:, 1:], CONTROL, 1)], -1)
    upright = np.stack([np.repeat(places[:, :1], CONTROL, 1), np.broadcast_to(along, (count, CONTROL))], -1)
    strokes = np.stack([level, upright], axis=1).astype(np.float32)
    lines = [evaluate_strokes(one.astype(float), 16) for one in strokes]
    images = np.stack([(255 * rasterize_strokes(line, SIZE, 0.2)).astype(np.uint8) for line in lines])
    return images, strokes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("drawings")
    images, strokes = drawings(512, 0)
    write_image_set(place / "train.safetensors", {"images": images, "strokes": strokes}, {})
    return place


def preset() -> RunConfig:
    return replace(
        shelves.load("presets", "strokes"),
        encoder=Item("stroke_set", {"strokes": STROKES, "control_points": CONTROL, "size": SIZE}),
        network=Item("diffusion_transformer", {"width": 32, "depth": 2, "heads": 2}),
        optimization=Optimization(steps=150, batch_size=48, optimizer="muon", learning_rate=5e-3, warmup=10, ema=0.97),
    )


def test_latents_are_the_control_points_stroke_by_stroke():
    encoder = shelves.load("encoders", "stroke_set", strokes=STROKES, control_points=CONTROL, size=SIZE)
    strokes = torch.from_numpy(drawings(3, 1)[1])
    latent = encoder.encode(strokes).mean
    assert latent.shape == (3, 2 * CONTROL, STROKES)
    torch.testing.assert_close(latent[1, :, 1], strokes[1, 1].flatten())
    torch.testing.assert_close(encoder.decode(latent), strokes)
    with pytest.raises(ValueError, match="strokes must have shape"):
        encoder.encode(strokes[:, :1])


def test_strokes_lie_where_the_image_has_them(folder, tmp_path, unchecked_shapes):
    pipeline = StrokePipeline.from_pretrained(train(preset(), folder, tmp_path / "run", progress=False))
    images, strokes = drawings(24, 7)
    for steps in (1, 4):
        made = np.stack([pipeline(image, steps=steps).strokes[0] for image in images])
        offset = np.abs(made - strokes).mean(axis=(1, 2, 3))
        shuffled = np.abs(made - np.roll(strokes, 1, 0)).mean(axis=(1, 2, 3))
        assert np.median(offset) < 0.1 < np.median(shuffled)
    sketch = pipeline(images[0], count=2, seed=3)
    assert len(sketch.pictures(32)) == 2
    dark = [1 - picture / 255 for picture in sketch.pictures(SIZE)]
    assert np.corrcoef(dark[0].ravel(), images[0].ravel())[0, 1] > 0.5
    with pytest.raises(ValueError, match=r"uint8 of shape \(16, 16\), given uint8 of shape \(8, 16\)"):
        pipeline(images[0][:8])
    with pytest.raises(ValueError, match="given float64"):
        pipeline(images[0] / 255)


def test_sets_without_drawings_of_that_size_are_named(folder, tmp_path):
    images, strokes = drawings(4, 2)
    encoder = shelves.load("encoders", "stroke_set", strokes=STROKES, control_points=CONTROL, size=SIZE)
    for arrays, message in (
        ({"images": images}, "wanted strokes of shape .* found none"),
        ({"images": images, "strokes": strokes[:, :1]}, r"wanted strokes of shape .* found \(1, 4, 2\)"),
        ({"images": images[:, :8], "strokes": strokes}, r"wanted images of shape .* found \(8, 16, 1\)"),
    ):
        write_image_set(tmp_path / "train.safetensors", arrays, {})
        scale = LatentScale(encoder.latent_shape)
        with pytest.raises(RecordError, match=message):
            shelves.load("datasets", "strokes", folder=str(tmp_path), autoencoder=encoder, scale=scale)
