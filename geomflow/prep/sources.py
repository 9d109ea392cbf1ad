"""Sources: where the meshes of a dataset are - a folder, a zip archive, or a CSV that names files."""

import csv
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geomflow.errors import MeshMissing, RecordError
from geomflow.geometry.read import SUFFIXES

SPLITS = ("train", "val", "test")


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


def find_sources(path: str | Path) -> list[Source]:
    """Return the meshes of a folder, a zip or a CSV, in a fixed order.

    Folders and zips may be laid out as `class/split/file`, `class/file` or plain. A CSV has the columns `path`,
    `class`, `split` (and optionally `id`, `up`, `yaw`); its paths are relative to its own folder.

    Raises:
        RecordError: Nothing is there, or no mesh is in it, or the CSV lacks a column, or two meshes share an id.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        found = _from_csv(path)
    elif path.suffix.lower() == ".zip" and path.is_file():
        found = [_from_layout(name, f"{path}/{name}") for name in zipfile.ZipFile(path).namelist()]
    elif path.is_dir():
        names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        found = [_from_layout(name, str(path / name)) for name in names]
    else:
        raise RecordError(f"{path}: wanted a folder, a .zip or a .csv of meshes, found none of them")
    return _unique(path, sorted((s for s in found if _is_mesh(s.path)), key=lambda source: source.id))


@contextmanager
def local_file(path: str) -> Iterator[Path]:
    """Give a path on disk for a source's path, unpacking a zip member for as long as it is needed."""
    archive = next((parent for parent in Path(path).parents if parent.suffix.lower() == ".zip"), None)
    if archive is None or not archive.is_file():
        yield Path(path)
        return
    member = Path(path).relative_to(archive).as_posix()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
        if member not in file.namelist():
            raise MeshMissing(f"{archive}: no member {member}")
        yield Path(file.extract(member, folder))


def _is_mesh(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def _from_layout(name: str, path: str) -> Source:
    *folders, file = PurePosixPath(name).parts
    splits = [part for part in folders if part in SPLITS]
    classes = [part for part in folders if part not in SPLITS]
    stem = "-".join([*classes, PurePosixPath(file).stem])
    return Source(stem, path, classes[-1] if classes else "", splits[-1] if splits else "train")


def _from_csv(path: Path) -> list[Source]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    missing = {"path", "class", "split"} - set(rows[0] if rows else ())
    if missing:
        raise RecordError(f"{path}: wanted columns path, class, split; missing {', '.join(sorted(missing))}")
    return [_from_row(path.parent, row) for row in rows]


def _from_row(folder: Path, row: dict[str, str]) -> Source:
    name = row.get("id") or "-".join([row["class"], PurePosixPath(row["path"]).stem])
    yaw = float(row.get("yaw") or 0)
    return Source(name, str(folder / row["path"]), row["class"], row["split"] or "train", row.get("up") or "y", yaw)


def _unique(path: Path, sources: list[Source]) -> list[Source]:
    if not sources:
        raise RecordError(f"{path}: no mesh files in it; geomflow reads {', '.join(SUFFIXES)}")
    ids = [source.id for source in sources]
    twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise RecordError(f"{path}: two meshes share the id {twice[0]!r}; give each its own name")
    return sources
