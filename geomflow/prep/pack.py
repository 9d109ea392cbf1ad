"""Pack: a dataset of shape records into tar shards that are read from front to back (the WebDataset convention)."""

import io
import json
import random
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from geomflow.errors import RecordError
from geomflow.files import sha256_of, whole_file, write_atomically
from geomflow.prep._entries import done_entries
from geomflow.prep.manifest import Entry
from geomflow.records import KEY, load_record, metadata

INDEX = "index.json"
FORMAT = 1
"""Version of the index."""


@dataclass(frozen=True)
class Shard:
    """One tar file: its name, split, number of shapes, size in bytes and hash.

    Attributes:
        file: Its name.
        split: Its split.
        shapes: How many shapes it holds.
        bytes: Its size.
        sha256: Hash of its content, in hexadecimal.
    """

    file: str
    split: str
    shapes: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PackSummary:
    """What was packed: number of shapes and the shards they are in.

    Attributes:
        shapes: How many shapes were packed.
        shards: The shards that they are in.
    """

    shapes: int
    shards: list[Shard]


def pack(
    dataset: str | Path,
    out: str | Path,
    shard_bytes: int = 256 << 20,
    splits: Sequence[str] | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> PackSummary:
    """Write the records of a dataset into shards `SPLIT-000000.tar`, and an index of them.

    A sample is two members: `KEY.safetensors`, the record's bytes, and `KEY.json`, its header; KEY is the id with dots
    replaced by underscores. Equal datasets and options give equal bytes.

    Args:
        dataset: Folder that `prepare` wrote.
        out: Folder of the shards, made if needed.
        shard_bytes: Bytes of records after which a shard is closed; one record always fits.
        splits: Names of splits, all if None.
        seed: Shuffles the shapes of a split, so that classes mix; None leaves them in the order of their ids.
        progress: Whether to show a bar.

    Raises:
        RecordError: No dataset or no records, a damaged record, two ids with one key, or a folder with other shards.
        ValueError: Shards of less than one byte.
    """
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes must be at least 1, not {shard_bytes}")
    dataset, out = Path(dataset), Path(out)
    plan = _plan(dataset, done_entries(dataset, splits), shard_bytes, seed)
    _refuse_others(out, set(plan))
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=sum(map(len, plan.values())), desc="pack", unit="shape", disable=not progress) as bar:
        shards = [_write(dataset, out / name, entries, bar) for name, entries in plan.items()]
    write_atomically(out / INDEX, _index(shards))
    return PackSummary(sum(shard.shapes for shard in shards), shards)


def key(shape_id: str) -> str:
    """Return the name of a sample: the id without dots, since readers take the first one for the end of the key.

    Args:
        shape_id: Id of the shape.
    """
    return shape_id.replace(".", "_")


def _plan(dataset: Path, entries: list[Entry], shard_bytes: int, seed: int | None) -> dict[str, list[Entry]]:
    """Which records go into which shard, by the shard's file name."""
    keys: dict[str, str] = {}
    for entry in entries:
        other = keys.setdefault(key(entry.id), entry.id)
        if other != entry.id:
            raise RecordError(f"{dataset}: the ids {other!r} and {entry.id!r} would share the key {key(entry.id)!r}")
    plan = {}
    for split in sorted({entry.split for entry in entries}):
        chosen = [entry for entry in entries if entry.split == split]
        if seed is not None:
            random.Random(seed).shuffle(chosen)
        for number, group in enumerate(_grouped(dataset, chosen, shard_bytes)):
            plan[f"{split}-{number:06d}.tar"] = group
    return plan


def _grouped(dataset: Path, entries: list[Entry], shard_bytes: int) -> list[list[Entry]]:
    """Consecutive entries whose records together stay within the limit."""
    groups: list[list[Entry]] = []
    filled = 0
    for entry in entries:
        size = _size(dataset / entry.file)
        if not groups or filled + size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(entry)
        filled += size
    return groups


def _size(file: Path) -> int:
    if not file.is_file():
        raise RecordError(f"{file}: no such shape record")
    return file.stat().st_size


def _refuse_others(out: Path, planned: set[str]) -> None:
    others = sorted({file.name for file in out.glob("*.tar")} - planned)
    if others:
        raise RecordError(f"{out}: holds shards of another packing ({others[0]}); use an empty folder")


def _write(dataset: Path, path: Path, entries: list[Entry], bar: tqdm) -> Shard:
    """Write one shard; it appears whole or not at all."""
    with whole_file(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            _add(archive, dataset / entry.file, entry.id)
            bar.update()
    return Shard(path.name, entries[0].split, len(entries), path.stat().st_size, sha256_of(path))


def _add(archive: tarfile.TarFile, file: Path, shape_id: str) -> None:
    load_record(file, ("scale",))  # a damaged record is named here and not by whoever reads the shard
    content = file.read_bytes()
    for suffix, data in (("safetensors", content), ("json", _header(content))):
        member = tarfile.TarInfo(f"{key(shape_id)}.{suffix}")  # dated 1970, owned by nobody in particular
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def _header(content: bytes) -> bytes:
    """The record's header, from the metadata at the front of a safetensors file."""
    return metadata(content, "record")[KEY].encode()


def _index(shards: list[Shard]) -> bytes:
    counts = {split: sum(s.shapes for s in shards if s.split == split) for split in sorted({s.split for s in shards})}
    index = {"format": FORMAT, "shapes": counts, "shards": [asdict(shard) for shard in shards]}
    return (json.dumps(index, indent=2) + "\n").encode()
