"""Outlines of shapes that are known, their strokes, and the files; Debian's Fashion-MNIST where it is installed."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from skimage.draw import polygon2mask

from data_prep.idx_images import Images, read_split
from data_prep.strokes import draw_images, fit_outline, main, read_drawings, trace_outline
from geomflow.errors import RecordError
from geomflow.geometry.strokes import evaluate_strokes
from tests.data_prep.test_idx_images import FASHION, idx

PIXEL = 2 / 28


def picture(inside, value: int = 200) -> np.ndarray:
    """A grey image of the pixels whose centre (x, y), in pixels from the upper left corner, is inside."""
    x, y = np.meshgrid(np.arange(28) + 0.5, np.arange(28) + 0.5)
    return np.where(inside(x, y), value, 0).astype(np.uint8)


def disc(x0: float = 14, y0: float = 14, radius: float = 9, value: int = 200) -> np.ndarray:
    return picture(lambda x, y: (x - x0) ** 2 + (y - y0) ** 2 < radius**2, value)


SHOE = picture(lambda x, y: (y > 8) & (y < 20) & (x > 3) & (x < 12 + (y - 8)))
IMAGES = np.stack([disc(), SHOE, np.zeros((28, 28), np.uint8), disc(12, 15, 8)])
LABELS = np.array([3, 1, 0, 2], np.uint8)


@pytest.fixture
def root(tmp_path):
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx(LABELS))
    return tmp_path


@pytest.mark.parametrize(("x", "y", "radius"), [(14, 14, 9), (12.3, 16.1, 7.5), (14.5, 13.5, 12.2)])
def test_the_outline_and_the_strokes_of_a_disc_are_its_circle_within_a_fraction_of_a_pixel(x, y, radius):
    centre = np.array([x, y]) * PIXEL - 1
    outline = trace_outline(disc(x, y, radius))
    for points in (outline, evaluate_strokes(fit_outline(outline), 30).reshape(-1, 2)):
        distance = np.linalg.norm(points - centre, axis=1) / PIXEL
        assert np.abs(distance - radius).max() < 0.6  # the disc is made of whole pixels
        assert distance.mean() == pytest.approx(radius, abs=0.15)


def test_an_outline_is_closed_and_runs_clockwise_from_above_the_middle():
    outline = trace_outline(disc())
    np.testing.assert_array_equal(outline[0], outline[-1])
    assert outline[0, 0] == pytest.approx(0, abs=1e-9)
    turned = np.unwrap(np.arctan2(outline[:, 1], outline[:, 0]))  # y points down, so clockwise is upwards
    assert turned[-1] - turned[0] == pytest.approx(2 * np.pi)
    assert outline[0, 1] < -0.5


def test_a_full_image_is_outlined_by_the_square_and_nothing_leaves_it():
    outline = trace_outline(np.full((28, 28), 90, np.uint8))
    np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], [[-1, -1], [1, 1]], atol=1e-6)
    assert np.abs(fit_outline(outline)).max() <= 1


def test_an_outline_depends_on_what_is_dark_and_bright_and_not_on_how_bright():
    np.testing.assert_array_equal(trace_outline(disc(value=20)), trace_outline(disc(value=255)))
    dusty = np.maximum(disc(), 5).astype(np.uint8)
    np.testing.assert_array_equal(trace_outline(dusty), trace_outline(disc()))


def test_an_outline_moves_and_strokes_are_mirrored_with_the_image():
    moved = trace_outline(np.roll(SHOE, (3, 2), axis=(0, 1)))
    np.testing.assert_allclose(moved, trace_outline(SHOE) + np.array([2, 3]) * PIXEL, atol=1e-9)
    strokes = fit_outline(trace_outline(SHOE))
    mirrored = fit_outline(trace_outline(SHOE[:, ::-1]))
    np.testing.assert_allclose(mirrored, strokes[::-1, ::-1] * [-1, 1], atol=1e-6)


def test_holes_and_lesser_parts_are_not_drawn():
    ring = disc() - disc(radius=5)
    ring[24:, 24:] = 200
    np.testing.assert_allclose(trace_outline(ring), trace_outline(disc()), atol=1e-6)


def test_strokes_join_and_have_equal_lengths():
    strokes = fit_outline(trace_outline(disc()), 5, 8)
    np.testing.assert_array_equal(np.roll(strokes[:, 0], -1, axis=0), strokes[:, -1])
    lengths = np.linalg.norm(np.diff(evaluate_strokes(strokes, 200), axis=1), axis=2).sum(axis=1)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.02)


@pytest.mark.parametrize("image", [disc(value=0), disc(value=8), disc(radius=1.2)], ids=["black", "dust", "speck"])
def test_images_of_nothing_have_no_outline(image):
    assert trace_outline(image) is None


def test_both_splits_are_written_with_strokes_and_the_same_bytes_twice(root, capsys):
    for name in ("one", "two"):
        main([str(root), "--collection", "other", "--out", str(root / name)])
    assert "left out: 1\n" in capsys.readouterr().out
    for split in ("train", "test"):
        path = root / "one" / f"{split}.safetensors"
        with safe_open(path, "numpy") as file:
            about = json.loads(file.metadata()["geomflow_images"])
            arrays = {name: file.get_tensor(name) for name in ("images", "labels", "strokes")}
        np.testing.assert_array_equal(arrays["images"], IMAGES[[0, 1, 3]])
        np.testing.assert_array_equal(arrays["labels"], LABELS[[0, 1, 3]])
        expected = [fit_outline(trace_outline(image)) for image in arrays["images"]]
        np.testing.assert_array_equal(arrays["strokes"], np.array(expected, np.float32))
        assert about["strokes"]["left_out"] == 1
        assert about["strokes"]["similarity"] > 0.95
        assert about["sha256"].keys() == {"images", "labels"}
        assert path.read_bytes() == (root / "two" / f"{split}.safetensors").read_bytes()


def test_a_count_takes_the_first_images_of_each_split(root):
    main([str(root), "--collection", "other", "--out", str(root / "new"), "--count", "2"])
    path = root / "new" / "train.safetensors"
    with safe_open(path, "numpy") as file:
        assert file.get_tensor("strokes").shape == (2, 8, 6, 2)
        assert json.loads(file.metadata()["geomflow_images"])["classes"] == []


def test_a_dry_run_writes_nothing(root, capsys):
    main([str(root), "--collection", "other", "--out", str(root / "new"), "--dry-run"])
    assert capsys.readouterr().out.endswith("dry run: nothing is written\n")
    assert not (root / "new").exists()


def test_what_cannot_be_drawn_is_named(root, capsys):
    with pytest.raises(RecordError, match="--count must be at least 1, given 0"):
        read_drawings(root, "train", "other", 0)
    with pytest.raises(RecordError, match=r"wanted square images, found 28 x 20 pixels"):
        draw_images(Images(IMAGES[:, :, :20], LABELS, {}))
    (root / "t10k-images-idx3-ubyte").write_bytes(idx(0 * IMAGES))
    with pytest.raises(SystemExit) as stopped:
        main([str(root), "--collection", "other", "--out", str(root / "new")])
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert f"{root}, split test: wanted images of something bright on black, found no outline in 4 images" in error
    assert not (root / "new").exists()


def test_strokes_of_fashion_mnist_are_its_outlines():
    if not FASHION.is_dir():
        pytest.skip(f"no Fashion-MNIST in {FASHION}: install Debian's dataset-fashion-mnist")
    data = read_split(FASHION, "test")
    drawings = draw_images(Images(data.images[:100], data.labels[:100], data.sha256))
    assert drawings.left_out == 0
    assert drawings.similarity > 0.95
    pixels = [evaluate_strokes(strokes, 30).reshape(-1, 2)[:, ::-1] / PIXEL + 13.5 for strokes in drawings.strokes]
    inside = np.stack([polygon2mask((28, 28), outline) for outline in pixels])
    shown = drawings.images > 0.25 * drawings.images.max(axis=(1, 2), keepdims=True)
    assert (inside & shown).sum() / (inside | shown).sum() > 0.85
