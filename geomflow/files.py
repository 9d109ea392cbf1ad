"""Files that appear whole or not at all."""

import os
from pathlib import Path

PARTIAL = ".partial"
"""Ending of files that are being written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes under a temporary name beside `path`, then rename: readers see the old file or the new one.

    Raises:
        OSError: The folder cannot be written or the disk is full; nothing half-written is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
