"""Datasets from elsewhere: one at a URL, or packed into shards, becomes a folder on this disk, which trainings read.

What is here already is not fetched again, and what a broken-off fetch got counts. A training reads each shape many
times, and in another order every time, so it is worth having a copy nearby; the disk must hold the split.
"""

import hashlib
import io
import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from geomflow.errors import RecordError
from geomflow.image_sets import SUFFIX
from geomflow.prep import manifest
from geomflow.prep.manifest import Entry
from geomflow.prep.pack import INDEX
from geomflow.records import read_header
from geomflow.storage import Folder, LocalFolder, is_url, open_folder

READERS, SHARD_READERS = 16, 4
"""Records and shards that are fetched at once; each of those is in memory as a whole until it is unpacked."""

T = TypeVar("T")


def place_here(place: str | Path, cache: Path | None = None) -> Path:
    """Return where on this disk a dataset is, or is once `local_dataset` has fetched it.

    Args:
        place: Dataset folder, image set or folder of shards, or the URL of one.
        cache: Where copies are kept: `GEOMFLOW_CACHE` or else `~/.cache/geomflow`, if None.
    """
    place = str(place).removeprefix("file://")
    if not is_url(place) and not (Path(place) / INDEX).is_file():
        return Path(place)
    return (cache or _cache()) / hashlib.sha256(_whole_name(place).encode()).hexdigest()[:16]


def local_dataset(place: str | Path, split: str, cache: Path | None = None, progress: bool = True) -> Path:
    """Return the folder or file on this disk that holds a split of a dataset; a place that is one already is returned.

    Args:
        place: Dataset folder, image set or folder of shards, or the URL of one.
        split: What is fetched.
        cache: Where copies are kept: `GEOMFLOW_CACHE` or else `~/.cache/geomflow`, if None.
        progress: Whether to show a bar.

    Raises:
        RecordError: There is no dataset, or a file of it is missing, denied or damaged; the message names it.
        OSError: The copy cannot be written.
    """
    place, target = str(place).removeprefix("file://"), place_here(place, cache)
    if target == Path(place):
        return target
    images = split + SUFFIX
    if (target / images).is_file():
        return target
    source, bar = open_folder(place), partial(tqdm, desc=f"fetch {place}", disable=not progress)
    name, content = _first_found(source, place, (INDEX, manifest.NAME, images))
    if name == INDEX:
        _fetch_shards(source, place, _index(place, content), split, target, bar)
    elif name == manifest.NAME:
        _fetch_records(source, place, manifest.parse(place, content), split, target, bar)
    else:
        LocalFolder(target).write(images, content)
    return target


def _cache() -> Path:
    return Path(os.environ.get("GEOMFLOW_CACHE") or Path.home() / ".cache" / "geomflow")


def _whole_name(place: str) -> str:
    return place.rstrip("/") if is_url(place) else str(Path(place).resolve())


def _first_found(source: Folder, place: str, names: Sequence[str]) -> tuple[str, bytes]:
    """Name and content of the first of some files that is there.

    S3 denies missing files, too, to those who may not list them, so the next ones are looked for all the same.
    """
    denied = ""
    for name in names:
        try:
            return name, source.read(name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied = denied or f"{place}/{name}: denied, or missing where files may not be listed ({error})"
        except OSError as error:
            raise RecordError(f"{place}/{name}: cannot be read ({error})") from error
    raise RecordError(denied or f"{place}: wanted one of {', '.join(names)} there, found none")


def _read(source: Folder, place: str, name: str) -> bytes:
    try:
        return source.read(name)
    except OSError as error:
        raise RecordError(f"{place}/{name}: cannot be read ({error})") from error


def _fetch_records(
    source: Folder, place: str, entries: dict[str, Entry], split: str, target: Path, bar: Callable[..., tqdm]
) -> None:
    """Copy the records that are not here yet."""
    wanted = {entry.id: entry for entry in manifest.of_split(place, entries, split)}
    held = _kept(target, split, lambda entry: wanted.get(entry.id) == entry and (target / entry.file).is_file())
    missing = [entry for entry in wanted.values() if entry.id not in held]

    def copied(entry: Entry) -> list[Entry]:
        _write(target, entry.file, _read(source, place, entry.file))
        return [entry]

    _copy(missing, copied, READERS, target, partial(bar, unit="shape"))


def _fetch_shards(
    source: Folder, place: str, index: list[dict], split: str, target: Path, bar: Callable[..., tqdm]
) -> None:
    """Unpack the shards that are not here yet."""
    shards = {shard["sha256"]: shard for shard in index if shard["split"] == split}
    if not shards:
        raise RecordError(f"{place}: no shard of split {split!r} in {INDEX}")
    held = _kept(target, split, lambda entry: entry.made_from in shards and (target / entry.file).is_file())
    counts = Counter(entry.made_from for entry in held.values())
    missing = [shard for sha256, shard in shards.items() if counts[sha256] != shard["shapes"]]

    def unpacked(shard: dict) -> list[Entry]:
        return list(_unpacked(source, place, shard, target))

    _copy(missing, unpacked, SHARD_READERS, target, partial(bar, unit="shard"))


def _copy(
    missing: Sequence[T], copied: Callable[[T], list[Entry]], at_once: int, target: Path, bar: Callable[..., tqdm]
) -> None:
    """Copy in threads, and note what each brought as soon as it is there, so that a slow one holds up no other."""
    if not missing:
        return
    with ThreadPoolExecutor(at_once) as readers, manifest.appending(LocalFolder(target)) as add:
        copies = [readers.submit(copied, one) for one in missing]
        try:
            for done in bar(as_completed(copies), total=len(copies)):
                for entry in done.result():
                    add(entry)
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def _index(place: str, content: bytes) -> list[dict]:
    try:
        return json.loads(content)["shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{place}/{INDEX}: not an index of shards ({error})") from error


def _unpacked(source: Folder, place: str, shard: dict, target: Path) -> Iterator[Entry]:
    """Write the records of a shard; the entry of each."""
    content = _read(source, place, shard["file"])
    if hashlib.sha256(content).hexdigest() != shard["sha256"]:
        raise RecordError(f"{place}/{shard['file']}: not the shard that {INDEX} lists; copy or pack it again")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            data = archive.extractfile(member) if member.name.endswith(".safetensors") else None
            if data is not None:
                record, file = data.read(), f"records/{member.name}"
                about = read_header(record, f"{place}/{shard['file']}/{member.name}")
                _write(target, file, record)
                known = {"file": file, "made_from": shard["sha256"], "sha256": about.sha256}
                yield Entry(about.id, "done", about.class_name, shard["split"], about.recipe_hash, **known)


def _write(target: Path, file: str, content: bytes) -> None:
    """Write a file inside the folder, wherever its name says it is."""
    if not (target / file).resolve().is_relative_to(target.resolve()):
        raise RecordError(f"{file}: wanted the name of a file inside the dataset")
    LocalFolder(target).write(file, content)


def _kept(target: Path, split: str, good: Callable[[Entry], bool]) -> dict[str, Entry]:
    """The entries of a split that are good, after dropping the others from the manifest of the copy."""
    if not (target / manifest.NAME).is_file():
        return {}
    entries = manifest.read(target)
    kept = {name: entry for name, entry in entries.items() if entry.split != split or good(entry)}
    if len(kept) < len(entries):
        (target / manifest.NAME).unlink()
        with manifest.appending(LocalFolder(target)) as add:
            for entry in kept.values():
                add(entry)
    return {name: entry for name, entry in kept.items() if entry.split == split}
