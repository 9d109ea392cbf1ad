"""Files that appear whole or not at all, and their hashes."""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"
"""Ending of files that are being written."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""How the system says that a disk is full."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write beside `path`, renamed to it at the end: readers see the old file or the new one.

    Args:
        path: Where the file is in the end.

    Raises:
        OSError: The folder cannot be written or the disk is full; nothing half-written is left behind, nor is it if
            something is raised inside.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with named_if_full(path), partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def named_if_full(path: Path) -> Iterator[None]:
    """Let the error of a full disk, which does not say where it is, name what was being written.

    Args:
        path: What is written inside.

    Raises:
        OSError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes as a whole file.

    Args:
        path: Where the file is in the end.
        content: The whole content.

    Raises:
        OSError: The folder cannot be written or the disk is full; nothing half-written is left behind.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, none of which appears before all are written.

    Args:
        contents: The whole content of each file, by the path where it is in the end.

    Raises:
        OSError: A folder cannot be written or the disk is full; files that were there before are as they were.
    """
    with ExitStack() as stack:
        for path, content in contents.items():
            file = stack.enter_context(whole_file(path))
            file.write(content)
            file.flush()  # so that a full disk is met before the first file appears


def check_folder(out: Path) -> None:
    """Refuse a folder that cannot be made or written, before any work is done.

    Args:
        out: The folder.

    Raises:
        ValueError: There is a file in its place or on the way to it, or it may not be written.
    """
    there = next(place for place in (out.absolute(), *out.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{out}: wanted a folder that can be written, and {there} is none")


def sha256_of(path: str | Path) -> str:
    """Return the hash of a file's content, in hexadecimal.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
