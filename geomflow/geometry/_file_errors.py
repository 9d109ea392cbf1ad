"""One geomflow error for whatever goes wrong while a file is read, with the file's name in front."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from geomflow.errors import MeshError, MeshUnreadable

_PARSE_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what parsing raises into a MeshError that names the file; numbers may overflow, as checks look at them.

    Raises:
        MeshError: Raised inside, of the same class.
        MeshUnreadable: The file cannot be opened or parsed.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except MeshError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise MeshUnreadable(f"{path}: wanted a readable file, found {error.strerror or error}") from error
    except _PARSE_ERRORS as error:
        kind, found = path.suffix[1:].upper(), " ".join(str(error).split())
        raise MeshUnreadable(
            f"{path}: wanted a well-formed {kind} file, found {type(error).__name__}: {found}"
        ) from error
