"""Frechet distance on the geomflow Fashion-MNIST classifier: its weights, its inputs, and what raises it."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.ndimage import gaussian_filter

from data_prep.idx_images import Images, read_split
from geomflow.errors import CheckpointError
from geomflow.metrics.frechet import frechet_distance, gaussian_of
from geomflow.metrics.image_features import WEIGHTS, FashionClassifier, classifier_frechet, features, load_classifier
from geomflow.pipeline import pretrained_names

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist installs its files."""

CARD = (WEIGHTS.parent / "README.md").read_text()


def grey(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(count, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def fashion() -> dict[str, Images]:
    """Both splits, each in an order of its own."""
    if not FASHION.is_dir():
        pytest.skip(f"Fashion-MNIST not found at {FASHION}: install Debian's dataset-fashion-mnist")
    return {split: read_split(FASHION, split) for split in ("train", "test")}


def test_the_card_speaks_of_these_weights():
    content, model = WEIGHTS.read_bytes(), load_classifier()
    assert re.findall(r"\b[0-9a-f]{64}\b", CARD) == [hashlib.sha256(content).hexdigest()] == [model.sha256]
    assert f"{100 * model.accuracy:.2f} %" in CARD
    assert f"{len(content):,} bytes" in CARD
    assert f"{sum(weight.numel() for weight in model.parameters()):,} weights" in CARD
    assert len(content) < 500_000


def test_the_classifier_is_not_offered_as_a_generator():
    assert not [name for name in pretrained_names() if "fashion_classifier" in name]
    assert not list(WEIGHTS.parent.glob("config.json"))


def test_features_do_not_depend_on_batches_on_the_channel_axis_or_on_training_mode():
    images = grey(23)
    found = features(images)
    assert found.shape == (23, 64)
    assert found.dtype == np.float32
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(features(images[..., None], batch_size=7), found, **close)
    np.testing.assert_allclose(features(images[::-1])[::-1], found, **close)
    np.testing.assert_allclose(features(images, classifier=load_classifier().train()), found, **close)


def test_features_are_what_the_head_reads_in_other_units():
    model, pixels = load_classifier(), torch.from_numpy(grey(5))[:, None] / 255
    hidden = torch.from_numpy(features(grey(5))) * model.spread + model.centre
    torch.testing.assert_close(model.head(hidden.relu()), model(pixels), rtol=1e-4, atol=1e-4)


def test_equal_sets_are_at_zero_and_the_result_says_what_was_compared():
    images, other = grey(40), grey(60, seed=1) // 2
    assert classifier_frechet(images, images[..., None]).distance == pytest.approx(0, abs=1e-3)
    found = classifier_frechet(images, other, level=0.5)
    assert (found.generated, found.reference, found.level) == (40, 60, 0.5)
    assert (found.sha256, found.accuracy) == (load_classifier().sha256, load_classifier().accuracy)
    assert found.distance == frechet_distance(gaussian_of(features(images)), gaussian_of(features(other)))
    assert found == classifier_frechet(images, other, level=0.5)
    pooled = classifier_frechet(images, other, pool=images, level=0.5)
    assert pooled.floor != found.floor
    assert (pooled.distance, pooled.interval) == (found.distance, found.interval)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: features(x / 255), r"images must be uint8 of shape \(n, 28, 28\) or .*, given float64"),
        (lambda x: features(torch.from_numpy(x)), r"images must be uint8 .*, given torch.uint8"),
        (lambda x: features(x.tolist()), r"images must be uint8 .*, given list"),
        (lambda x: features(x[:, 1:]), r"images must be uint8 of shape .*, given shape \(40, 27, 28\)"),
        (lambda x: features(np.stack([x] * 3, -1)), r"or \(n, 28, 28, 1\), given shape \(40, 28, 28, 3\)"),
        (lambda x: features(x[:0]), r"images must be .* with n at least 1, given none"),
        (lambda x: features(x, batch_size=0), "batch_size must be at least 1, not 0"),
        (lambda x: classifier_frechet(x / 255, x), "generated must be uint8"),
        (lambda x: classifier_frechet(x, x[:, 1:]), "reference must be uint8"),
        (lambda x: classifier_frechet(x, x, pool=x[0]), "pool must be uint8"),
        (lambda x: classifier_frechet(x, x[:19]), "at least 20, given .19, 64"),
    ],
)
def test_bad_images_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(grey(40))


def test_bad_weights_are_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: no such file; wanted the classifier's weights"):
        load_classifier(path)
    for content in (
        WEIGHTS.read_bytes()[:1000],
        safetensors.torch.save({"x": torch.zeros(1)}),
        safetensors.torch.save(FashionClassifier().state_dict()),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: not the weights of the Fashion-MNIST"):
            load_classifier(path)


def test_the_accuracy_is_the_stated_one(fashion):
    model, test = load_classifier(), fashion["test"]
    hidden = torch.from_numpy(features(test.images)) * model.spread + model.centre
    named = model.head(hidden.relu()).argmax(dim=1).numpy()
    assert (named == test.labels).mean() == pytest.approx(model.accuracy, abs=5e-4)  # up to five images on a knife edge
    assert model.accuracy > 0.91


def test_features_are_in_standard_deviations_over_the_training_images(fashion):
    found = features(fashion["train"].images[:4000])
    assert np.abs(found.mean(axis=0)).max() < 0.1
    assert np.abs(found.std(axis=0) - 1).max() < 0.1


@pytest.mark.slow
def test_training_images_are_at_the_floor_from_test_images(fashion):
    train, test = (fashion[split].images[:6000].reshape(4, 1500, 28, 28) for split in ("train", "test"))
    found = [classifier_frechet(*parts) for parts in zip(train, test, strict=True)]
    # one distance varies by a fifth about the floor
    assert np.mean([one.distance for one in found]) == pytest.approx(np.mean([one.floor for one in found]), rel=0.2)
    assert all(one.interval.low == 0 and one.interval.high < one.floor for one in found)


def test_noise_blur_and_dropped_classes_raise_it_monotonically(fashion):
    images, labels = fashion["test"].images[:1500], fashion["test"].labels[:1500]
    reference = gaussian_of(features(fashion["test"].images[1500:3000]))
    noise = np.random.default_rng(0).normal(size=images.shape)
    worse = {
        "noise": [np.clip(images + scale * noise, 0, 255).astype(np.uint8) for scale in (8, 24)],
        "blur": [gaussian_filter(images, (0, sigma, sigma)) for sigma in (0.6, 1.2)],
        "classes": [images[labels >= dropped] for dropped in (1, 4)],
    }
    clean = frechet_distance(gaussian_of(features(images)), reference)
    for sets in worse.values():
        slight, strong = (frechet_distance(gaussian_of(features(x)), reference) for x in sets)
        assert 2 * clean < slight < strong / 2
