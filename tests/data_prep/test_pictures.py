"""Recipes of image sets beside IDX files: emoji with transparency, folders of pictures."""

import numpy as np
import pytest
from PIL import Image

from data_prep import emoji, image_folder
from geomflow.errors import RecordError
from geomflow.image_sets import load_image_set


def test_transparent_pixels_show_the_ground_and_half_ones_half_of_it(tmp_path, capsys):
    images = np.zeros((3, 2, 2, 4), np.uint8)
    images[..., 0] = 200  # red
    images[0, ..., 3], images[1, ..., 3], images[2, ..., 3] = 0, 255, 51  # none, all, a fifth
    np.savez(tmp_path / "set.npz", images=images, split=np.array(["train", "test", "train"]), name=np.arange(3))
    emoji.main([str(tmp_path / "set.npz"), "--out", str(tmp_path / "out"), "--ground", "100"])
    train, test = (load_image_set(tmp_path / "out", split).images for split in ("train", "test"))
    assert train[0, 0, 0].tolist() == [100, 100, 100]
    assert test[0, 0, 0].tolist() == [200, 0, 0]
    assert train[1, 0, 0].tolist() == [120, 80, 80]
    assert "train: images (2, 2, 2, 3)" in capsys.readouterr().out
    np.savez(tmp_path / "grey.npz", images=images[..., 0], split=np.array(["train"] * 3))
    with pytest.raises(RecordError, match=r"grey.npz: wanted images uint8 .* found uint8 of shape \(3, 2, 2\)"):
        emoji.read_archive(tmp_path / "grey.npz")
    np.save(tmp_path / "alone.npy", images)
    with pytest.raises(RecordError, match=r"alone\.npy: wanted a \.npz archive"):
        emoji.read_archive(tmp_path / "alone.npy")
    with pytest.raises(RecordError, match="ground must be from 0 to 255, given 300"):
        emoji.on_ground(images, 300)
    with pytest.raises(RecordError, match=r"none\.npz: wanted a \.npz archive"):
        emoji.read_archive(tmp_path / "none.npz")


def paint(file, color, size=(12, 8)):
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size, (0, 0, 0))
    picture.paste(color, ((size[0] - size[1]) // 2, 0, (size[0] + size[1]) // 2, size[1]))
    picture.save(file)


def test_the_middle_square_is_taken_and_folders_are_splits_and_classes(tmp_path):
    for split, names in (("train", "abc"), ("test", "d")):
        for name in names:
            for kind, color in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
                paint(tmp_path / "in" / split / kind / f"{name}.png", color)
    image_folder.main([str(tmp_path / "in"), "--size", "4", "--out", str(tmp_path / "out")])
    train = load_image_set(tmp_path / "out", "train")
    assert train.classes == ("blue", "red")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (train.images[train.labels == 1] == [255, 0, 0]).all()  # nothing black from the sides
    assert len(load_image_set(tmp_path / "out", "test").images) == 2


def test_without_folders_a_tenth_is_for_testing_and_grey_is_one_channel(tmp_path):
    for i in range(60):
        paint(tmp_path / "in" / f"{i}.png", (255, 255, 255))
    found = image_folder.find_pictures(tmp_path / "in")
    assert 0 < len(found["test"]) < 15
    assert len(found["test"]) + len(found["train"]) == 60
    assert image_folder.read_picture(tmp_path / "in" / "0.png", 4, 1).shape == (4, 4, 1)
    paint(tmp_path / "in" / "white" / "0.png", (255, 255, 255))
    with pytest.raises(RecordError, match="wanted all pictures in folders of classes or none, found both"):
        image_folder.find_pictures(tmp_path / "in")
    (tmp_path / "none").mkdir()
    with pytest.raises(RecordError, match="wanted pictures"):
        image_folder.find_pictures(tmp_path / "none")
    with pytest.raises(RecordError, match="size must be at least 1, given 0"):
        image_folder.read_picture(tmp_path / "in" / "0.png", 0, 1)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (image_folder.read_picture(tmp_path / "clear.png", 4, 3) == 255).all()  # white shows through
    (tmp_path / "bad.png").write_bytes(b"none")
    with pytest.raises(RecordError, match=r"bad\.png: not a picture"):
        image_folder.read_picture(tmp_path / "bad.png", 4, 1)
