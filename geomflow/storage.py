"""Folders of files on this disk or at any fsspec URL (s3://, gs://, memory://); files appear whole or not at all."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from geomflow.errors import RecordError
from geomflow.files import PARTIAL, write_atomically

Append = Callable[[str], object]
"""Adds one line to a file."""

HALF = re.compile(rf"\..+\.\d+{re.escape(PARTIAL)}")
"""Names of files that are being written."""

FLUSH_SECONDS = 10.0
"""How often a remote file that grows is written anew, since remote files cannot be appended to."""


@runtime_checkable
class Folder(Protocol):
    """What preparation asks of a place to write to.

    Notation:
        - name: Name of the file, relative to the folder.
        - content: The whole content.

    Attributes:
        shared: Whether other processes see what is written.
    """

    shared: bool

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's content; FileNotFoundError if there is none, another OSError if it cannot be read."""
        ...

    def names(self) -> set[str]:
        """Return the names of all files, relative to the folder, with slashes."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...

    def appending(self, name: str) -> "Any":
        """Return a context manager that gives an `Append` for a file; a last line without its end is cut off first."""
        ...


def is_url(place: str | Path) -> bool:
    """Return whether a place is a URL rather than a path.

    Args:
        place: A path or URL.
    """
    return "://" in str(place)


def open_folder(place: str | Path) -> Folder:
    """Return the folder at a path or fsspec URL; it need not exist yet.

    Args:
        place: A path or URL.

    Raises:
        ValueError: fsspec does not know the protocol, or lacks the library for it.
    """
    if str(place).startswith("file://"):
        return LocalFolder(Path(str(place).removeprefix("file://")))
    return RemoteFolder(str(place)) if is_url(place) else LocalFolder(Path(place))


class LocalFolder:
    """A folder on this disk.

    Args:
        root: The folder.
    """

    shared = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        write_atomically(self.root / name, content)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        return (self.root / name).read_bytes()

    def names(self) -> set[str]:
        """Return the names of all files."""
        folders = ((Path(place), files) for place, _, files in os.walk(self.root))
        return {(place / file).relative_to(self.root).as_posix() for place, files in folders for file in files}

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.root / name).unlink(missing_ok=True)

    @contextmanager
    def appending(self, name: str) -> Iterator[Append]:
        """Give a function that adds a line to a file.

        Raises:
            RecordError: Another process is adding lines to it.
        """
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            _lock(file, path)
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            yield lambda line: file.write(f"{line}\n".encode())


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes from locking the file as long as it is open, where the system can do that."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecordError(f"{path}: another run is writing to this folder") from error
    except OSError:  # a filesystem without locks
        return


class RemoteFolder:
    """A folder of an fsspec filesystem; in object stores files appear when they are complete.

    Args:
        url: The URL, as fsspec reads it.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._system, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise ValueError(f"{url}: {error}") from error
        self.shared = self._system.protocol != "memory"

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        path = f"{self._root}/{name}"
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._system.pipe_file(path, content)

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            FileNotFoundError: There is none.
            PermissionError: It is denied, which some stores say of missing files, too.
            OSError: Anything else that the library of the protocol raises.
        """
        try:
            return self._system.cat_file(f"{self._root}/{name}")
        except OSError:
            raise
        except Exception as error:  # each library has errors of its own; those of HTTP have a status
            kind = PermissionError if getattr(error, "status", None) in (401, 403) else OSError
            raise kind(f"{type(error).__name__}: {error}") from error

    def names(self) -> set[str]:
        """Return the names of all files."""
        if not self._system.exists(self._root):
            return set()
        start = len(self._root.rstrip("/")) + 1
        return {path[start:] for path in self._system.find(self._root)}

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = f"{self._root}/{name}"
        if self._system.exists(path):
            self._system.rm_file(path)

    @contextmanager
    def appending(self, name: str) -> Iterator[Append]:
        """Give a function that adds a line to a file, which is written now and then and in the end."""
        try:
            content = self.read(name)
        except FileNotFoundError:
            content = b""
        lines = [content[: content.rfind(b"\n") + 1].decode()]
        written = time.monotonic()

        def append(line: str) -> None:
            nonlocal written
            lines.append(line + "\n")
            if time.monotonic() - written > FLUSH_SECONDS:
                self.write(name, "".join(lines).encode())
                written = time.monotonic()

        try:
            yield append
        finally:
            self.write(name, "".join(lines).encode())


def sweep(folder: Folder) -> None:
    """Remove the halves of files that a killed process left.

    Args:
        folder: The folder.
    """
    for name in folder.names():
        if HALF.fullmatch(name.rpartition("/")[2]):
            folder.remove(name)
