"""Sources: where the meshes of a dataset are - a folder, a zip archive, or a CSV that names files."""

import csv
import hashlib
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path, PurePosixPath

from geomflow.errors import MeshMissing, RecordError
from geomflow.geometry.read import SUFFIXES

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder names that mean a split, and the split they mean."""


@dataclass(frozen=True)
class Source:
    """One mesh to prepare.

    Attributes:
        id: Unique name within the dataset.
        path: A file, or `archive.zip/member`.
        class_name: Category, empty if unknown.
        split: Subset the shape belongs to.
        up: Axis that points up in the file, `y` or `z`; records have +y up.
        yaw: Degrees about +y that turn the front to +z, once y is up.
    """

    id: str
    path: str
    class_name: str = ""
    split: str = "train"
    up: str = "y"
    yaw: float = 0.0

    def fingerprint(self) -> str:
        """Return a short hash that changes when the mesh's file or what is said about it does."""
        file = _archive_of(self.path) or Path(self.path)
        stat = file.stat() if file.is_file() else None
        about = (self.path, self.class_name, self.split, self.up, self.yaw, stat and (stat.st_size, stat.st_mtime_ns))
        return hashlib.sha256(repr(about).encode()).hexdigest()[:12]


def find_sources(path: str | Path) -> list[Source]:
    """Return the meshes of a folder, a zip or a CSV, in a fixed order.

    Folders and zips may be laid out as `class/split/file`, `class/file` or plain. A CSV has the columns `path`,
    `class`, `split` (and optionally `id`, `up`, `yaw`); its paths are relative to its own folder. Ids are made of class
    and file name, or of the whole path for meshes that would share one.

    Raises:
        RecordError: Nothing is there, or no mesh is in it, or the zip is damaged, or a row of the CSV lacks a value, or
            two rows share an id or have one that is no file name.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        found = _from_csv(path)
    elif path.suffix.lower() == ".zip" and path.is_file():
        found = _told_apart(path, [_from_layout(name, f"{path}/{name}") for name in _members(path) if _is_mesh(name)])
    elif path.is_dir():
        names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        found = _told_apart(path, [_from_layout(name, str(path / name)) for name in names if _is_mesh(name)])
    else:
        raise RecordError(f"{path}: wanted a folder, a .zip or a .csv of meshes, found none of them")
    return _checked(path, sorted(found, key=lambda source: source.id))


@contextmanager
def local_file(path: str) -> Iterator[Path]:
    """Give a path on disk for a source's path, unpacking a zip member for as long as it is needed.

    Buffers (`.bin`) in the member's folder are unpacked beside it, for glTF.

    Raises:
        MeshMissing: The archive has no such member.
    """
    archive = _archive_of(path)
    if archive is None:
        yield Path(path)
        return
    member = Path(path).relative_to(archive).as_posix()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
        if member not in file.namelist():
            raise MeshMissing(f"{archive}: no member {member}")
        parent = PurePosixPath(member).parent
        for name in file.namelist() if member.lower().endswith(".gltf") else ():
            if name.lower().endswith(".bin") and PurePosixPath(name).is_relative_to(parent):
                file.extract(name, folder)
        yield Path(file.extract(member, folder))


def _archive_of(path: str) -> Path | None:
    """The zip archive that a source's path leads into, if it does."""
    return next((parent for parent in Path(path).parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as file:
            return file.namelist()
    except zipfile.BadZipFile as error:
        raise RecordError(f"{path}: damaged, or not a zip archive ({error})") from error


def _is_mesh(name: str) -> bool:
    """Whether a file is a mesh, and none of the companions that macOS leaves in archives."""
    file = PurePosixPath(name)
    return file.suffix.lower() in SUFFIXES and not file.name.startswith("._")


def _from_layout(name: str, path: str) -> Source:
    *folders, file = PurePosixPath(name).parts
    splits = [SPLITS[part] for part in folders if part in SPLITS]
    classes = [part for part in folders if part not in SPLITS]
    stem = "-".join([*classes, PurePosixPath(file).stem])
    return Source(stem, path, classes[-1] if classes else "", splits[-1] if splits else "train")


def _from_csv(path: Path) -> list[Source]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    missing = {"path", "class", "split"} - set(rows[0] if rows else ())
    if missing:
        raise RecordError(f"{path}: wanted columns path, class, split; missing {', '.join(sorted(missing))}")
    found = [_from_row(path, line, row) for line, row in enumerate(rows, start=2)]
    named = [source for source, row in zip(found, rows, strict=True) if row.get("id")]
    unnamed = [source for source, row in zip(found, rows, strict=True) if not row.get("id")]
    return [*named, *_told_apart(path.parent, unnamed)]


def _from_row(table: Path, line: int, row: dict[str, str | None]) -> Source:
    file, class_name, yaw = row["path"], row["class"] or "", row.get("yaw") or "0"
    if not file:
        raise RecordError(f"{table}, line {line}: wanted a path, found none")
    if not yaw.lstrip("+-").replace(".", "", 1).isdigit():
        raise RecordError(f"{table}, line {line}: yaw must be a number of degrees, not {yaw!r}")
    name = row.get("id") or "-".join(filter(None, [class_name, PurePosixPath(file).stem]))
    path, up = str(table.parent / file), row.get("up") or "y"
    return Source(name, path, class_name, row["split"] or "train", up, float(yaw))


def _told_apart(root: Path, sources: list[Source]) -> list[Source]:
    """The sources, with the whole path for an id where shorter ones would be shared."""
    counts = Counter(source.id for source in sources)
    return [source if counts[source.id] == 1 else _renamed(root, source) for source in sources]


def _renamed(root: Path, source: Source) -> Source:
    path = Path(source.path)
    parts = (path.relative_to(root) if path.is_relative_to(root) else path.relative_to(path.anchor)).parts
    return replace(source, id="-".join(part for part in parts if part not in ("..", ".")).replace(".", "_"))


def _checked(path: Path, sources: list[Source]) -> list[Source]:
    if not sources:
        raise RecordError(f"{path}: no mesh files in it; geomflow reads {', '.join(SUFFIXES)}")
    for name in chain.from_iterable((source.id, source.class_name) for source in sources):
        if {"/", "\\"} & set(name) or name in (".", ".."):
            raise RecordError(f"{path}: ids and classes become names of files and folders, which {name!r} cannot be")
    for one, other in pairwise(sources):
        if one.id == other.id:
            raise RecordError(f"{path}: two meshes share the id {one.id!r}; give each its own")
    return sources
