"""Images: sets on disk, pixels as latents, class-conditional training and generation, inpainting, an autoencoder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from geomflow import shelves
from geomflow.cli import main
from geomflow.config import Optimization, RunConfig, override
from geomflow.errors import ConfigError, RecordError
from geomflow.flow import FlowMap
from geomflow.generation import ABOUT, PREVIEW
from geomflow.image_generation import save_images
from geomflow.image_sets import load_image_set, write_image_set
from geomflow.model import LatentScale
from geomflow.pipeline import Pipeline
from geomflow.pipelines.images import ImagePipeline
from geomflow.steer import inpaint
from geomflow.train import train
from tests.conftest import without_shape_checks

SIZE, NAMES = 8, ["standing", "lying"]


def bars(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images with one bright bar: a column if the label is 0, a row if it is 1."""
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((count, SIZE, SIZE), np.uint8), (np.arange(count) % 2).astype(np.uint8)
    for image, label, place in zip(images, labels, rng.integers(SIZE, size=count), strict=True):
        (image.T if label == 0 else image)[place] = 255
    return images, labels


def lying(images: np.ndarray) -> np.ndarray:
    """How much more the brightest row of an image holds than its brightest column, from -1 to 1."""
    grey = images[..., 0].astype(float) / 255
    return (grey.sum(2).max(1) - grey.sum(1).max(1)) / SIZE


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("bars")
    for split, count in (("train", 256), ("test", 32)):
        images, labels = bars(count, seed=count)
        write_image_set(place / f"{split}.safetensors", {"images": images, "labels": labels}, {"classes": NAMES})
    return place


def preset(**changes: str) -> RunConfig:
    settings = {"encoder.size": str(SIZE), "network.widths": "[16, 32]", "network.patch": "1", **changes}
    optimization = Optimization(steps=160, batch_size=32, optimizer="muon", learning_rate=5e-3, warmup=10, ema=0.95)
    return replace(override(shelves.load("presets", "image_unet"), settings), optimization=optimization)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory) -> Path:
    with without_shape_checks():
        return train(preset(), folder, tmp_path_factory.mktemp("runs") / "bars", progress=False)


@pytest.fixture(scope="module")
def pipeline(run) -> ImagePipeline:
    return ImagePipeline.from_pretrained(run)


def dataset(folder, **options):
    encoder = shelves.load("encoders", "pixels", size=SIZE)
    scale = LatentScale(encoder.latent_shape)
    return shelves.load("datasets", "images", folder=str(folder), autoencoder=encoder, scale=scale, **options), scale


def test_batches_are_the_images_standardised_with_their_classes(folder):
    data, scale = dataset(folder, condition="class", classes=["other", "lying", "standing"])
    images, labels = bars(256, seed=256)
    chosen = torch.tensor([3, 200, 17])
    batch = data.batch(chosen, torch.Generator().manual_seed(0))
    back = (scale.restore(batch["data"]) + 1) * 127.5
    np.testing.assert_allclose(back[:, 0], images[chosen], atol=1.6)  # noise of a third of a grey value
    assert batch["class"].tolist() == [{0: 2, 1: 1}[labels[i]] for i in chosen.tolist()]
    every = data.batch(torch.arange(256), torch.Generator().manual_seed(1))["data"]
    assert every.mean().item() == pytest.approx(0, abs=1e-3)
    assert every.std().item() == pytest.approx(1, abs=1e-3)


def test_reflections_are_left_to_right_and_half_of_all(folder):
    plain, mirrored = (dataset(folder, mirror=mirror)[0] for mirror in (False, True))
    rows = torch.arange(256)
    one, other = (data.batch(rows, torch.Generator().manual_seed(0))["data"] for data in (plain, mirrored))
    same = [(a - b).abs().amax(dim=(1, 2, 3)) < 0.1 for a, b in ((other, one), (other, one.flip(-1)))]
    assert (same[0] | same[1]).all()
    assert 40 < int((~same[0]).sum()) < 90  # half of those that stand; bars that lie are their own reflections


def test_a_class_is_obeyed_in_one_step_and_in_many(pipeline):
    for steps in (1, 4, 16):
        scores = [lying(pipeline(32, steps, condition=name).images).mean() for name in NAMES]
        assert scores[0] < -0.3 < 0.3 < scores[1]
    ode = [lying(pipeline(32, 16, condition=name, ode=True).images).mean() for name in NAMES]
    assert ode[0] < -0.3 < 0.3 < ode[1]


def test_an_image_depends_on_its_seed_alone(pipeline):
    together = pipeline(5, 2, seed=10, condition="lying")
    alone = pipeline(1, 2, seed=13, condition="lying")
    np.testing.assert_allclose(alone.images[0].astype(int), together.images[3], atol=1)
    assert together.seeds == [10, 11, 12, 13, 14]
    assert together.nfe == 2


def test_known_pixels_are_kept_and_the_others_continue_them(pipeline, unchecked_shapes):
    images, _ = bars(128, seed=5)
    known = np.zeros(images.shape, bool)
    known[:, :, :3] = True  # the left three columns
    rows = images[1::2]  # bars that lie, cut off after three pixels
    found = pipeline.inpaint(rows[..., None], known[1::2], steps=16, condition="lying")
    np.testing.assert_array_equal(found.images[:, :, :3, 0], rows[:, :, :3])
    hidden = found.images[:, :, 3:, 0].astype(float).mean(2)
    assert (hidden.argmax(1) == rows[:, :, 0].argmax(1)).mean() > 0.35  # chance is one in eight
    alone = pipeline.inpaint(rows[7:8, ..., None], known[15:16], steps=16, seed=7, condition="lying")
    np.testing.assert_allclose(alone.images[0].astype(int), found.images[7], atol=1)
    with pytest.raises(ValueError, match="images must be uint8 and known bool, given float64 and bool"):
        pipeline.inpaint(rows[..., None] / 255, known[1::2])
    with pytest.raises(ValueError, match=r"shapes \(64, 8, 8, 1\) and \(64, 8, 8\), given"):
        pipeline.inpaint(rows[..., None], known[1::2, :4])


@pytest.mark.parametrize("name", ["edm", "u_prediction", "x1_prediction", "ddim"])
def test_with_an_exact_map_what_is_filled_in_has_the_law_of_the_data(name):
    """Independent normal numbers: those that are not known must keep mean 0.5 and deviation 0.8."""
    formulation = shelves.load("formulations", name)
    mean, std = 0.5, 0.8

    class Exact(FlowMap):
        def forward(self, x, t, r, condition=None):
            path = self.formulation.path
            (a, b), (c, d) = ((path.signal(u), path.sigma(u)) for u in (torch.tensor(t), torch.tensor(r)))
            spread = ((c**2 * std**2 + d**2) / (a**2 * std**2 + b**2)).sqrt()
            return c * mean + (x - a * mean) * spread

    count = 20_000
    noise = torch.randn(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = torch.tensor([True, False])
    data = torch.full((count, 2), 3.0, dtype=torch.float64)
    made = Exact(torch.nn.Identity(), formulation)
    torch.manual_seed(1)
    found = inpaint(made, data, known.expand(count, 2), noise, 6)
    assert (found[:, 0] == 3).all()
    assert found[:, 1].mean().item() == pytest.approx(mean, abs=0.02)
    assert found[:, 1].std().item() == pytest.approx(std, abs=0.02)


def test_as_many_steps_as_make_no_difference(pipeline):
    few, many = (pipeline(1, "auto", condition="lying", tolerance=tolerance).steps for tolerance in (2.0, 0.02))
    assert few == 1 < many
    noise = [pipeline(16, steps, condition="lying").latents for steps in (many, 2 * many)]
    spread = pipeline.model.scale.std.mean()
    assert ((noise[0] - noise[1]).square().mean().sqrt() / spread).item() == pytest.approx(0.02, abs=0.02)


def test_files_are_the_images_and_an_earlier_generation_goes(pipeline, tmp_path):
    from PIL import Image

    first, second = (pipeline(count, 1, condition="lying") for count in (3, 2))
    save_images(first, tmp_path, "bars")
    save_images(second, tmp_path, "bars")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0000.png", "0001.png", ABOUT, PREVIEW]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "0001.png")), second.images[1, ..., 0])
    about = json.loads((tmp_path / ABOUT).read_text())
    assert about["condition"] == "lying"
    assert [entry["seed"] for entry in about["images"]] == [0, 1]


def test_the_command_writes_images_and_refuses_what_is_for_meshes(run, tmp_path, capsys):
    assert main(["generate", str(run), "--count", "2", "--class", "lying", "--out", str(tmp_path / "a")]) == 0
    assert (tmp_path / "a" / "0001.png").is_file()
    assert main(["generate", str(run), "--class", "lying", "--repair", "fill", "--out", str(tmp_path / "b")]) == 2
    assert "--repair is for models of shapes" in capsys.readouterr().err
    assert main(["generate", str(run), "--class", "leaning", "--out", str(tmp_path / "b")]) == 2
    assert "no class 'leaning': the model knows standing, lying" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_flow_map_works_on_the_latents_of_any_autoencoder(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    run = tmp_path / "run"
    settings = {"encoder": "tests.haar", "network.widths": "[16, 32]", "network.patch": "1", "optimization.ema": "0.95"}
    settings |= {"optimization.steps": "200", "optimization.batch_size": "32", "optimization.warmup": "10"}
    options = [part for key, value in settings.items() for part in (f"--{key}", value)]
    with without_shape_checks():
        assert main(["train", "image_unet", "--data", str(folder), "--out", str(run), *options]) == 0
    assert f'generate {run} --class "standing"' in capsys.readouterr().out
    pipeline = Pipeline.from_pretrained(run)
    scores = [lying(pipeline(32, 4, condition=name).images).mean() for name in NAMES]
    assert scores[1] - scores[0] > 0.25
    assert pipeline(2, condition="lying").latents.shape == (2, 4, 4, 4)
    with pytest.raises(ValueError, match="inpaint wants a model of pixels"):
        pipeline.inpaint(np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 8, 8), bool))


def test_an_autoencoder_with_weights_encodes_once_and_both_reflections(folder):
    encoder = shelves.load("encoders", "tests.haar")
    scale = LatentScale(encoder.latent_shape)
    data = shelves.load("datasets", "images", folder=str(folder), autoencoder=encoder, scale=scale, mirror=True)
    images = torch.from_numpy(bars(256, seed=256)[0])[:, None].float() / 127.5 - 1
    latents = scale.restore(data.batch(torch.arange(256), torch.Generator().manual_seed(0))["data"])
    decoded = encoder.decode(latents).detach()
    plain, flipped = ((decoded - other).abs().amax(dim=(1, 2, 3)) < 0.05 for other in (images, images.flip(-1)))
    assert (plain | flipped).all()
    assert 40 < int((~plain).sum()) < 90


@pytest.mark.parametrize(
    ("arrays", "classes", "message"),
    [
        (
            {"images": np.zeros((2, 8, 8), np.float32)},
            [],
            r"uint8 .* found float32 of shape \(2, 8, 8\)",
        ),
        ({"pictures": np.zeros((2, 8, 8), np.uint8)}, [], "wanted images, uint8 .* found none"),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.array([0, 7], np.uint8)},
            NAMES,
            "wanted labels from 0 to 1 for 2 classes, found labels from 0 to 7",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(3, np.uint8)},
            NAMES,
            "wanted 2 rows of labels, one for each image, found",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(2, np.float32)},
            NAMES,
            r"wanted whole numbers \(n,\) as labels, found float32",
        ),
        ({"images": np.zeros((2, 8, 8), np.uint8)}, ["same", "same"], "wanted classes as a list of different names"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "more": np.array(3.0)}, [], "wanted 2 rows of more, .* one number"),
    ],
)
def test_a_broken_set_is_named(tmp_path, arrays, classes, message):
    write_image_set(tmp_path / "train.safetensors", arrays, {"classes": classes})
    with pytest.raises(RecordError, match=message):
        load_image_set(tmp_path, "train")


def test_what_does_not_fit_a_run_is_named_before_it_starts(folder, tmp_path):
    with pytest.raises(RecordError, match=r"split .val. in val\.safetensors, found splits: test, train"):
        load_image_set(folder, "val")
    (tmp_path / "train.safetensors").write_bytes(b"no such thing")
    with pytest.raises(RecordError, match="not a file of images"):
        load_image_set(tmp_path, "train")
    with pytest.raises(RecordError, match=r"wants images of 28 x 28 of 1 .* found 8 x 8 pixels of 1 channels"):
        train(shelves.load("presets", "image_unet"), folder, tmp_path / "run", progress=False)
    write_image_set(tmp_path / "train.safetensors", {"images": bars(4)[0]}, {})
    with pytest.raises(ConfigError, match="condition 'class' wants classes, and these data have none"):
        train(preset(), tmp_path, tmp_path / "run", progress=False)
