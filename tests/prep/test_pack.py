"""Shards hold every record once, byte for byte, in any order asked for, and repeat themselves."""

import hashlib
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from geomflow import records
from geomflow.errors import RecordError
from geomflow.geometry.primitives import Box
from geomflow.prep import manifest
from geomflow.prep.pack import key, pack
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare

RECIPE = Recipe(resolution=0, surface_points=20, volume_points=20, near_points=20)
PLACES = ["box/train/a.1", "box/train/b", "cube/train/c", "cube/train/d", "cube/train/e", "box/test/f"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("boxes")
    for number, place in enumerate(PLACES):
        (root / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        Box((0.3, 0.2, 0.1 + number / 10)).mesh().export(root / "in" / f"{place}.ply")
    prepare(root / "in", root / "set", RECIPE, progress=False)
    return root / "set"


def stored(dataset: Path) -> dict[str, bytes]:
    return {key(entry.id): (dataset / entry.file).read_bytes() for entry in manifest.read(dataset).values()}


def members(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in archive} == {(0, 0, 0, "", "")}
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_every_record_is_there_once_with_its_header(dataset, tmp_path):
    summary = pack(dataset, tmp_path, shard_bytes=10_000, progress=False)
    found = {}
    for shard in summary.shards:
        found |= members(tmp_path / shard.file)
    assert {name.removesuffix(".safetensors"): data for name, data in found.items() if "safet" in name} == stored(
        dataset
    )
    header = json.loads(found["box-a_1.json"])
    assert (header["id"], header["class"], header["split"]) == ("box-a.1", "box", "train")
    assert summary.shapes == len(PLACES)


def test_shards_are_filled_to_their_size_and_listed(dataset, tmp_path):
    one = max(map(len, stored(dataset).values()))
    summary = pack(dataset, tmp_path, shard_bytes=2 * one, progress=False)
    sizes = {shard.file: shard.shapes for shard in summary.shards}
    assert sizes == {"test-000000.tar": 1, "train-000000.tar": 2, "train-000001.tar": 2, "train-000002.tar": 1}
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["shapes"] == {"test": 1, "train": 5}
    for shard in index["shards"]:
        content = (tmp_path / shard["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
    assert len(pack(dataset, tmp_path / "tiny", shard_bytes=1, progress=False).shards) == len(PLACES)


def test_equal_options_give_equal_bytes_and_a_seed_another_order(dataset, tmp_path):
    hashes, orders = {}, {}
    for name, seed in {"one": None, "two": None, "three": 3, "four": 3}.items():
        summary = pack(dataset, tmp_path / name, splits=["train"], seed=seed, progress=False)
        hashes[name] = [shard.sha256 for shard in summary.shards]
        orders[name] = list(members(tmp_path / name / "train-000000.tar"))[::2]
    assert hashes["one"] == hashes["two"] != hashes["three"] == hashes["four"]
    assert orders["one"] == sorted(orders["one"])
    assert orders["three"] != orders["one"]
    assert Counter(orders["three"]) == Counter(orders["one"])


def test_webdataset_reads_them(dataset, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    pack(dataset, tmp_path, shard_bytes=10_000, progress=False)
    shards = sorted(map(str, tmp_path.glob("*.tar")))
    samples = {s["__key__"]: s for s in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)}
    assert {name: sample["safetensors"] for name, sample in samples.items()} == stored(dataset)
    assert json.loads(samples["cube-c"]["json"])["class"] == "cube"


def test_a_record_from_a_shard_is_the_record(dataset, tmp_path):
    pack(dataset, tmp_path, progress=False)
    entry = manifest.read(dataset)["cube-d"]
    one = records.load_record(dataset / entry.file)
    other = records.parse_record(members(tmp_path / "train-000000.tar")["cube-d.safetensors"], "cube-d")
    assert one.header == other.header
    assert one.arrays().keys() == other.arrays().keys()
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name])


def test_bad_input_is_named(dataset, tmp_path):
    with pytest.raises(ValueError, match="shard_bytes must be at least 1, not 0"):
        pack(dataset, tmp_path, shard_bytes=0, progress=False)
    with pytest.raises(RecordError, match="no shape in split 'val'; there are test, train"):
        pack(dataset, tmp_path, splits=["val"], progress=False)
    with pytest.raises(RecordError, match="not a dataset folder"):
        pack(tmp_path, tmp_path / "out", progress=False)
    (tmp_path / "train-000099.tar").touch()
    with pytest.raises(RecordError, match=r"holds shards of another packing \(train-000099.tar\)"):
        pack(dataset, tmp_path, progress=False)


def test_damage_and_shared_keys_are_named(tmp_path):
    for name in ("a.b", "a_b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Box().mesh().export(tmp_path / "in" / f"{name}.ply")
    prepare(tmp_path / "in", tmp_path / "set", RECIPE, progress=False)
    with pytest.raises(RecordError, match=r"ids 'a\.b' and 'a_b' would share the key 'a_b'"):
        pack(tmp_path / "set", tmp_path / "out", progress=False)
    (tmp_path / "in/a_b.ply").unlink()
    prepare(tmp_path / "in", tmp_path / "other", RECIPE, progress=False)
    record = tmp_path / "other/records/a.b.safetensors"
    record.write_bytes(record.read_bytes()[:-100])
    with pytest.raises(RecordError, match=r"a\.b\.safetensors: truncated"):
        pack(tmp_path / "other", tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").iterdir())
    record.unlink()
    with pytest.raises(RecordError, match=r"a\.b\.safetensors: no such shape record"):
        pack(tmp_path / "other", tmp_path / "out", progress=False)
