"""IDX files: the format, its errors, and Debian's Fashion-MNIST where it is installed."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from data_prep.idx_images import COLLECTIONS, main, parse_idx, read_split
from geomflow.errors import RecordError

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist installs its files."""

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 1], dtype=np.uint8)


def idx(array):
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


@pytest.fixture(params=["plain", "gz"])
def root(request, tmp_path):
    packed = request.param == "gz"
    for split in ("train", "t10k"):
        for name, array in (("images-idx3-ubyte", IMAGES), ("labels-idx1-ubyte", LABELS)):
            content = gzip.compress(idx(array)) if packed else idx(array)
            (tmp_path / f"{split}-{name}{'.gz' if packed else ''}").write_bytes(content)
    return tmp_path


def test_both_splits_are_written_with_their_terms_and_the_same_bytes_twice(root, capsys):
    for name in ("one", "two"):
        main([str(root), "--collection", "other", "--out", str(root / name)])
    said = capsys.readouterr().out
    assert "train: images (2, 3, 4), 2 classes\n" in said
    assert "checksums: none known\nterms: unknown; credit unknown\n" in said
    for split in ("train", "test"):
        with safe_open(root / "one" / f"{split}.safetensors", "numpy") as file:
            np.testing.assert_array_equal(file.get_tensor("images"), IMAGES)
            np.testing.assert_array_equal(file.get_tensor("labels"), LABELS)
            about = json.loads(file.metadata()["geomflow_images"])
        assert about["sha256"].keys() == {"images", "labels"}
        assert (root / "one" / f"{split}.safetensors").read_bytes() == (
            root / "two" / f"{split}.safetensors"
        ).read_bytes()


def test_a_dry_run_writes_nothing(root, capsys):
    main([str(root), "--collection", "other", "--out", str(root / "new"), "--dry-run"])
    assert capsys.readouterr().out.endswith("dry run: nothing is written\n")
    assert not (root / "new").exists()


def test_files_of_another_collection_are_refused(root, capsys):
    with pytest.raises(RecordError, match=r"not the file of mnist: wanted SHA-256 ba891046.* unpacked, found "):
        read_split(root, "train", "mnist")
    with pytest.raises(SystemExit) as stopped:
        main([str(root), "--out", str(root / "new")])
    assert stopped.value.code == 1
    assert "not the file of fashion-mnist" in capsys.readouterr().err
    assert not (root / "new").exists()


@pytest.mark.parametrize(
    ("content", "axes", "message"),
    [
        (idx(LABELS), 3, "wanted magic number 2051 .unsigned bytes, 3 axes., found 2049"),
        (idx(IMAGES), 1, "wanted magic number 2049 .unsigned bytes, 1 axes., found 2051"),
        (bytes([0, 0, 13, 3]) + idx(IMAGES)[4:], 3, "wanted magic number 2051 .*, found 3331"),
        (idx(IMAGES)[:-1], 3, r"wanted 24 values for shape \(2, 3, 4\), found 23"),
        (idx(IMAGES) + b"x", 3, r"wanted 24 values for shape \(2, 3, 4\), found 25"),
        (idx(IMAGES)[:9], 3, "wanted the lengths of 3 axes, found the end of the file"),
        (b"", 3, "wanted magic number 2051 .*, found 0"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_named(content, axes, message):
    with pytest.raises(RecordError, match=f"some file: {message}"):
        parse_idx(content, axes, "some file")


def test_missing_damaged_and_unequal_files_are_named(tmp_path):
    with pytest.raises(RecordError, match=r"wanted train-images-idx3-ubyte or train-images-idx3-ubyte\.gz, found neit"):
        read_split(tmp_path, "train", "other")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES))[:-12])
    with pytest.raises(RecordError, match=r"ubyte\.gz: damaged, or not a gzip file"):
        read_split(tmp_path, "train", "other")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:1]))
    with pytest.raises(RecordError, match="wanted as many labels as images in split train, found 2 images and 1 label"):
        read_split(tmp_path, "train", "other")


def test_fashion_mnist_is_what_its_page_says():
    if not FASHION.is_dir():
        pytest.skip(f"no Fashion-MNIST in {FASHION}: install Debian's dataset-fashion-mnist")
    data = read_split(FASHION, "test")
    assert data.images.shape == (10_000, 28, 28)
    assert np.bincount(data.labels).tolist() == [1000] * 10
    assert data.images[data.labels == COLLECTIONS["fashion-mnist"].classes.index("Trouser")].mean() < 80
