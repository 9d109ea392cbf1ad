"""Sources: where the meshes of a dataset are - a folder (or its URL), a zip archive, or a CSV that names files."""

import csv
import functools
import hashlib
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import chain, pairwise
from pathlib import Path, PurePosixPath

from geomflow.errors import MeshMissing, RecordError
from geomflow.geometry.read import ARRAY_SUFFIXES, POINT_SUFFIXES, SUFFIXES
from geomflow.storage import is_url, open_folder

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder names that mean a split, and the split they mean."""


FOREIGN = (
    ".zip",
    ".3ds",
    ".3mf",
    ".ac",
    ".blend",
    ".ctm",
    ".dae",
    ".fbx",
    ".step",
    ".stp",
    ".usd",
    ".usdz",
    ".vtk",
    ".wrl",
    ".x3d",
)
"""Endings of meshes in formats that are not read: they are listed as failures instead of being passed over."""


@dataclass(frozen=True)
class Source:
    """One mesh to prepare.

    Attributes:
        id: Unique name within the dataset.
        path: A file, `archive.zip/member`, or a URL that fsspec knows.
        class_name: Category, empty if unknown.
        split: Subset the shape belongs to.
        up: Axis that points up in the file, `y` or `z`; records have +y up.
        yaw: Degrees about +y that turn the front to +z, once y is up.
        license: Terms of the mesh, empty if unknown.
        creator: Who is to be credited.
        sha256: Hash that the file must have, empty if any will do.
    """

    id: str
    path: str
    class_name: str = ""
    split: str = "train"
    up: str = "y"
    yaw: float = 0.0
    license: str = ""
    creator: str = ""
    sha256: str = ""

    def fingerprint(self) -> str:
        """Return a short hash that changes when the file or what is said about it does, not with its place."""
        about = astuple(replace(self, path=PurePosixPath(self.path).name))
        return hashlib.sha256(repr((about, _state_of(self.path))).encode()).hexdigest()[:12]


def find_sources(path: str | Path, clouds: bool = False, rigs: bool = False) -> list[Source]:
    """Return the meshes of a folder, a zip or a CSV, in a fixed order.

    Folders and zips may be laid out as `class/split/file`, `class/file` or plain, and folders may hold zips. A CSV has
    the columns `path`, `class`, `split` (and optionally `id`, `up`, `yaw`, `license`, `creator`, `sha256`); its paths
    are relative to its own folder. Ids are made of folders and file name, or of the whole path for meshes that would
    share one. Files in foreign formats are listed, too, so that nobody misses them: they will fail.

    Args:
        path: Folder, URL of a folder, .zip or .csv.
        clouds: Whether .npy files of points (n, 3) are wanted, too.
        rigs: Whether .npz files, which may hold rigs, are wanted, too.

    Raises:
        RecordError: Nothing is there, or no mesh is in it, or the zip is damaged, or a row of the CSV lacks a value, or
            two rows share an id or have one that is no file name.
    """
    place, suffix = str(path if is_url(path) else Path(path).absolute()).rstrip("/"), Path(path).suffix.lower()
    if suffix == ".csv" and Path(path).is_file():
        found = _from_csv(Path(place))
    else:
        more = (*(POINT_SUFFIXES if clouds else ()), *(ARRAY_SUFFIXES if rigs else ()))
        suffixes = (*SUFFIXES, *FOREIGN, *more)
        names = [name for name in _names(place, suffix) if _is_mesh(name, suffixes)]
        found = _told_apart(place, [_from_layout(name, f"{place}/{name}") for name in names])
    return _checked(place, sorted(found, key=lambda source: source.id))


@contextmanager
def local_file(path: str) -> Iterator[Path]:
    """Give a path on disk for a source's path, unpacking a zip member for as long as it is needed.

    Buffers (`.bin`) in the member's folder are unpacked beside it, for glTF.

    Args:
        path: A path, or one into a zip, `archive.zip/member`.

    Raises:
        MeshMissing: The archive has no such member.
    """
    archive = archive_of(path)
    if is_url(path):
        with tempfile.TemporaryDirectory() as folder:
            yield _fetched(path, Path(folder))
        return
    if archive is None:
        yield Path(path)
        return
    member = Path(path).relative_to(archive).as_posix()
    file = _opened(archive, archive.stat().st_mtime_ns, os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        if member not in file.NameToInfo:
            raise MeshMissing(f"{archive}: no member {member}")
        parent = PurePosixPath(member).parent
        for name in file.namelist() if member.lower().endswith(".gltf") else ():
            if name.lower().endswith(".bin") and PurePosixPath(name).is_relative_to(parent):
                file.extract(name, folder)
        yield Path(file.extract(member, folder))


@functools.lru_cache(maxsize=2)
def _opened(archive: Path, changed: int, process: int) -> zipfile.ZipFile:
    """An archive, whose members are listed once as long as it does not change; forks must not share its position."""
    return zipfile.ZipFile(archive)


def _fetched(url: str, folder: Path) -> Path:
    """A copy of a remote file."""
    import fsspec

    system, name = fsspec.core.url_to_fs(url)
    if not system.isfile(name):
        raise MeshMissing(f"{url}: wanted a file, found nothing of that name")
    system.get_file(name, str(folder / PurePosixPath(name).name))
    return folder / PurePosixPath(name).name


def _state_of(path: str) -> str:
    """What changes when a file does: its size and time, or what its remote place has instead."""
    if is_url(path):
        import fsspec

        system, name = fsspec.core.url_to_fs(path)
        return str(system.ukey(name)) if system.exists(name) else ""
    file = archive_of(path) or Path(path)
    stat = file.stat() if file.is_file() else None
    return repr(stat and (stat.st_size, stat.st_mtime_ns))


def _names(place: str, suffix: str) -> list[str]:
    """Files of an archive, or of a folder and the archives in it, relative to it."""
    if suffix == ".zip" and Path(place).is_file():
        return members_of(Path(place))
    if not (is_url(place) or Path(place).is_dir()):
        raise RecordError(f"{place}: wanted a folder, a .zip or a .csv of meshes, found none of them")
    names = sorted(open_folder(place).names())
    if is_url(place):
        return names
    return [inner for name in names for inner in (_within(Path(place), name) if _is_zip(name) else (name,))]


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _within(folder: Path, name: str) -> list[str]:
    """Members of an archive in a folder; a damaged one itself, so that it fails by its name and the rest does not."""
    try:
        return [f"{name}/{member}" for member in members_of(folder / name)]
    except RecordError:
        return [name]


def archive_of(path: str) -> Path | None:
    """Return the zip archive that a source's path leads into, None if it leads into none.

    Args:
        path: A path, or one into a zip, `archive.zip/member`.
    """
    return next((parent for parent in Path(path).parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)


def members_of(path: Path) -> list[str]:
    """Return the names of an archive's members.

    Args:
        path: The archive.

    Raises:
        RecordError: It is damaged, or no zip archive.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return file.namelist()
    except zipfile.BadZipFile as error:
        raise RecordError(f"{path}: damaged, or not a zip archive ({error})") from error


def _is_mesh(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file is a mesh, and none of the companions that macOS leaves in archives."""
    file = PurePosixPath(name)
    return file.suffix.lower() in suffixes and not file.name.startswith("._")


def _from_layout(name: str, path: str) -> Source:
    *folders, file = PurePosixPath(name).parts
    folders = [part for part in folders if not _is_zip(part)]
    splits = [_split(part) for part in folders if part.lower() in SPLITS]
    classes = [part for part in folders if part.lower() not in SPLITS]
    stem = "-".join([*classes, PurePosixPath(file).stem])
    return Source(stem, path, classes[-1] if classes else "", splits[-1] if splits else "train")


def _split(name: str) -> str:
    """The split that a name means."""
    return SPLITS.get(name.lower(), name)


def _from_csv(path: Path) -> list[Source]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    missing = {"path", "class", "split"} - set(rows[0] if rows else ())
    if missing:
        raise RecordError(f"{path}: wanted columns path, class, split; missing {', '.join(sorted(missing))}")
    found = [_from_row(path, line, row) for line, row in enumerate(rows, start=2)]
    named = [source for source, row in zip(found, rows, strict=True) if row.get("id")]
    unnamed = [source for source, row in zip(found, rows, strict=True) if not row.get("id")]
    return [*named, *_told_apart(str(path.parent), unnamed)]


def _from_row(table: Path, line: int, row: dict[str, str | None]) -> Source:
    file, class_name, yaw = row["path"], row["class"] or "", row.get("yaw") or "0"
    if not file:
        raise RecordError(f"{table}, line {line}: wanted a path, found none")
    try:
        degrees = float(yaw)
    except ValueError as error:
        raise RecordError(f"{table}, line {line}: yaw must be a number of degrees, not {yaw!r}") from error
    name = row.get("id") or "-".join(filter(None, [class_name, PurePosixPath(file).stem]))
    path, up = file if is_url(file) else str(table.parent / file), row.get("up") or "y"
    terms = {key: row.get(key) or "" for key in ("license", "creator", "sha256")}
    return Source(name, path, class_name, _split(row["split"] or "train"), up, degrees, **terms)


def _told_apart(root: str, sources: list[Source]) -> list[Source]:
    """The sources, with the whole path for an id where shorter ones would be shared."""
    counts = Counter(source.id for source in sources)
    return [source if counts[source.id] == 1 else _renamed(root, source) for source in sources]


def _renamed(root: str, source: Source) -> Source:
    path = Path(source.path)
    parts = (path.relative_to(root) if path.is_relative_to(root) else path.relative_to(path.anchor)).parts
    return replace(source, id="-".join(part for part in parts if part not in ("..", ".")).replace(".", "_"))


def _checked(path: str, sources: list[Source]) -> list[Source]:
    if not sources:
        raise RecordError(f"{path}: no mesh files in it; geomflow reads {', '.join(SUFFIXES)}")
    for name in chain.from_iterable((source.id, source.class_name) for source in sources):
        if {"/", "\\"} & set(name) or name in (".", ".."):
            raise RecordError(f"{path}: ids and classes become names of files and folders, which {name!r} cannot be")
    for one, other in pairwise(sources):
        if one.id == other.id:
            raise RecordError(f"{path}: two meshes share the id {one.id!r}; give each its own")
    return sources
