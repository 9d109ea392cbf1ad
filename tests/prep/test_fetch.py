"""Datasets at URLs and in shards arrive whole, once, and say which file is damaged."""

import json
from pathlib import Path

import fsspec
import pytest

from geomflow.errors import RecordError
from geomflow.prep import fetch, manifest
from geomflow.prep.fetch import local_dataset, place_here
from geomflow.prep.manifest import record_files
from geomflow.prep.pack import pack
from geomflow.storage import LocalFolder, RemoteFolder
from tests.conftest import prepared_solids


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return prepared_solids(tmp_path_factory.mktemp("meshes"), surface_points=10, volume_points=10, near_points=10)


@pytest.fixture
def shards(dataset, tmp_path) -> Path:
    assert len(pack(dataset, tmp_path / "shards", shard_bytes=60_000, seed=3, progress=False).shards) > 1
    return tmp_path / "shards"


@pytest.fixture
def remote(dataset) -> str:
    system = fsspec.filesystem("memory")
    system.put(str(dataset), "/bucket", recursive=True)
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def contents(folder: Path) -> list[tuple[str, bytes]]:
    """Ids and bytes of the records in their order."""
    entries = manifest.of_split(folder, manifest.read(folder), "train")
    assert [folder / entry.file for entry in entries] == record_files(folder, "train")
    return [(entry.id, (folder / entry.file).read_bytes()) for entry in entries]


def test_what_is_here_stays_where_it_is(dataset, tmp_path):
    assert local_dataset(dataset, "train", tmp_path) == dataset
    assert local_dataset(f"file://{dataset}", "train", tmp_path) == dataset
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["shards", "remote"])
def test_a_copy_holds_the_records_in_their_order(place, dataset, tmp_path, request):
    copy = local_dataset(request.getfixturevalue(place), "train", tmp_path / "cache", progress=False)
    assert copy.is_relative_to(tmp_path / "cache")
    assert contents(copy) == contents(dataset)


@pytest.mark.parametrize("place", ["shards", "remote"])
def test_only_what_is_missing_is_fetched(place, dataset, tmp_path, request, monkeypatch):
    place = request.getfixturevalue(place)
    copy = local_dataset(place, "train", tmp_path / "cache", progress=False)
    gone = record_files(copy, "train")[1]
    gone.unlink()
    written, write = [], fetch._write
    monkeypatch.setattr(fetch, "_write", lambda *given: (written.append(given[1]), write(*given)))
    local_dataset(place, "train", tmp_path / "cache", progress=False)
    assert str(gone.relative_to(copy)) in written
    assert len(written) < 4  # that record alone, or those of its shard
    assert contents(copy) == contents(dataset)
    written.clear()
    local_dataset(place, "train", tmp_path / "cache", progress=False)
    assert not written


def test_a_record_that_is_gone_at_the_source_goes_here_too(dataset, remote, tmp_path):
    copy = local_dataset(remote, "train", tmp_path, progress=False)
    system, name = fsspec.filesystem("memory"), f"/bucket/{manifest.NAME}"
    system.pipe_file(name, b"".join(system.cat_file(name).splitlines(keepends=True)[1:]))
    local_dataset(remote, "train", tmp_path, progress=False)
    assert len(contents(copy)) == len(contents(dataset)) - 1


def test_an_image_set_is_read_once(tmp_path, monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe_file("/pictures/train.safetensors", b"pixels")
    reads, read = [], RemoteFolder.read
    monkeypatch.setattr(RemoteFolder, "read", lambda self, name: (reads.append(name), read(self, name))[1])
    copies = [local_dataset("memory://pictures", "train", tmp_path, progress=False) for _ in range(2)]
    system.rm("/pictures", recursive=True)
    assert copies == [place_here("memory://pictures", tmp_path)] * 2
    assert (copies[0] / "train.safetensors").read_bytes() == b"pixels"
    assert reads.count("train.safetensors") == 1


def test_a_manifest_and_an_index_are_read_once(remote, shards, tmp_path, monkeypatch):
    reads = []
    for kind in (RemoteFolder, LocalFolder):
        read = kind.read
        monkeypatch.setattr(kind, "read", lambda self, name, read=read: (reads.append(name), read(self, name))[1])
    local_dataset(remote, "train", tmp_path / "a", progress=False)
    local_dataset(shards, "train", tmp_path / "b", progress=False)
    assert (reads.count(manifest.NAME), reads.count("index.json")) == (1, 2)  # the index is looked for at the URL, too


def test_damage_is_named(remote, shards, dataset, tmp_path):
    system = fsspec.filesystem("memory")
    entry = next(iter(manifest.read(dataset).values()))
    system.rm(f"/bucket/{entry.file}")
    with pytest.raises(RecordError, match=rf"memory://bucket/{entry.file}: cannot be read"):
        local_dataset(remote, "train", tmp_path / "a", progress=False)
    shard = shards / json.loads((shards / "index.json").read_text())["shards"][0]["file"]
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match=rf"{shard.name}: not the shard that index.json lists"):
        local_dataset(shards, "train", tmp_path / "b", progress=False)
    with pytest.raises(RecordError, match="no shard of split 'nothing'"):
        local_dataset(shards, "nothing", tmp_path / "c", progress=False)
    with pytest.raises(RecordError, match=r"memory://nowhere: wanted manifest\.jsonl, index\.json of shards or train"):
        local_dataset("memory://nowhere", "train", tmp_path / "d", progress=False)


def test_names_do_not_lead_out_of_the_copy(remote, tmp_path):
    system, name = fsspec.filesystem("memory"), f"/bucket/{manifest.NAME}"
    first = json.loads(system.cat_file(name).splitlines()[0])
    system.pipe_file("/bucket/../evil", b"x")
    system.pipe_file(name, (json.dumps({**first, "file": "../evil"}) + "\n").encode())
    with pytest.raises(RecordError, match=r"\.\./evil: wanted the name of a file inside"):
        local_dataset(remote, "train", tmp_path / "cache", progress=False)
    assert not list(tmp_path.rglob("evil"))


def test_a_split_that_is_not_there_is_named_by_its_url(remote, tmp_path):
    with pytest.raises(RecordError, match="memory://bucket: no shape in split 'test'; there are train"):
        local_dataset(remote, "test", tmp_path, progress=False)
