"""Datasets at URLs and in shards arrive whole, once, and say which file is damaged."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
    with pytest.raises(RecordError, match=r"memory://nowhere: wanted one of index\.json, manifest\.jsonl, train"):
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


def test_a_slow_shard_holds_up_no_other_and_what_came_is_kept(shards, dataset, tmp_path, monkeypatch):
    """The first shard waits until the others are noted, and then fails: the next time it alone is read."""
    index = json.loads((shards / "index.json").read_text())["shards"]
    slow, others = index[0]["file"], sum(shard["shapes"] for shard in index[1:])
    copy, read = place_here(shards, tmp_path / "cache"), LocalFolder.read
    reads, failed = [], []

    def reading(folder: LocalFolder, name: str) -> bytes:
        reads.append(name)
        if name == slow and not failed:
            failed.append(name)
            assert until(lambda: (copy / manifest.NAME).is_file() and len(manifest.read(copy)) == others)
            raise ConnectionResetError("gone")
        return read(folder, name)

    monkeypatch.setattr(LocalFolder, "read", reading)
    with pytest.raises(RecordError, match=rf"{slow}: cannot be read \(gone\)"):
        local_dataset(shards, "train", tmp_path / "cache", progress=False)
    reads.clear()
    local_dataset(shards, "train", tmp_path / "cache", progress=False)
    assert [name for name in reads if name.endswith(".tar")] == [slow]
    assert contents(copy) == contents(dataset)


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something becomes true within that time."""
    end = time.monotonic() + seconds
    while not (happened := true()) and time.monotonic() < end:
        time.sleep(0.01)
    return happened


class Shard(bytes):
    """The content of a shard; knows how many are in memory."""

    alive, most = 0, 0

    def __new__(cls, content: bytes) -> "Shard":
        Shard.alive += 1
        Shard.most = max(Shard.most, Shard.alive)
        return super().__new__(cls, content)

    def __del__(self) -> None:
        Shard.alive -= 1


def test_few_shards_are_in_memory_at_once(dataset, tmp_path, monkeypatch):
    pack(dataset, tmp_path / "shards", shard_bytes=1, progress=False)  # each shape in one of its own
    read = LocalFolder.read

    def reading(folder: LocalFolder, name: str) -> bytes:
        content = read(folder, name)
        if name.endswith(".tar"):
            content = Shard(content)
            time.sleep(0.05)  # for the others to come, too
        return content

    monkeypatch.setattr(LocalFolder, "read", reading)
    monkeypatch.setattr(fetch, "SHARD_READERS", 2)
    copy = local_dataset(tmp_path / "shards", "train", tmp_path / "cache", progress=False)
    assert contents(copy) == contents(dataset)
    assert Shard.alive == 0
    assert Shard.most <= 2


class Server(BaseHTTPRequestHandler):
    """Answers with the files of a folder, or with the status that is wanted of a name."""

    folder: Path
    wanted: dict[str, int]

    def do_GET(self) -> None:
        file = self.folder / self.path[1:]
        status = self.wanted.get(file.name, 200 if file.is_file() else 404)
        self.send_response(status)
        self.end_headers()
        if status == 200:
            self.wfile.write(file.read_bytes())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(dataset) -> Iterator[tuple[str, dict[str, int]]]:
    """The URL of the data set on a server, and what it answers by the name of a file instead of its content."""
    pytest.importorskip("aiohttp")
    handler = type("Handler", (Server,), {"folder": dataset, "wanted": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.wanted
        server.shutdown()


def test_a_server_that_has_a_dataset_but_not_all_names(served, dataset, tmp_path):
    """Stores whose files may not be listed answer 403 for those that are not there, as here for an index of shards."""
    url, wanted = served
    assert contents(local_dataset(url, "train", tmp_path / "a", progress=False)) == contents(dataset)
    wanted["index.json"] = 403
    assert contents(local_dataset(url, "train", tmp_path / "b", progress=False)) == contents(dataset)


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("manifest.jsonl", 404, r"wanted one of index\.json, manifest\.jsonl, train\.safetensors there, found none"),
        ("manifest.jsonl", 403, r"/manifest\.jsonl: denied, or missing where files may not be listed \(.*403"),
        ("index.json", 500, r"/index\.json: cannot be read \(.*500"),
        ("manifest.jsonl", 503, r"/manifest\.jsonl: cannot be read \(.*503"),
    ],
)
def test_a_server_that_fails_is_not_taken_for_one_that_has_nothing(name, status, message, served, tmp_path):
    url, wanted = served
    wanted[name] = status
    with pytest.raises(RecordError, match=url + ".*" + message):
        local_dataset(url, "train", tmp_path, progress=False)


def test_a_server_that_is_not_there_is_said_so(tmp_path):
    pytest.importorskip("aiohttp")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(RecordError, match=rf"{url}/index\.json: cannot be read \(.*connect"):
            local_dataset(url, "train", tmp_path, progress=False)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("no"), r"index\.json: denied, or missing where files may not be listed \(no\)"),
        (TimeoutError("late"), r"index\.json: cannot be read \(late\)"),
        (RuntimeError("of a library"), r"index\.json: cannot be read \(RuntimeError: of a library\)"),
        (NotADirectoryError("a file"), "found none"),
    ],
)
def test_what_a_store_raises_is_one_line(error, message, remote, tmp_path, monkeypatch):
    def failing(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", failing)
    with pytest.raises(RecordError, match=rf"^memory://bucket.*{message}"):
        local_dataset(remote, "train", tmp_path, progress=False)
