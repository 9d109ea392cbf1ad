"""What every view deals in: shapes to be named, folders of classes, and files whose bytes do not tell the time."""

import io
import zipfile
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

UNNAMED = "shapes"
"""Folder of the shapes that have no class."""


@runtime_checkable
class Item(Protocol):
    """A shape as far as file names go: a manifest's entry and a record's header both are one."""

    @property
    def id(self) -> str:
        """Name of the shape."""
        ...

    @property
    def class_name(self) -> str:
        """Category, empty if none."""
        ...

    @property
    def split(self) -> str:
        """Subset."""
        ...


def folder(item: Item, folders: Mapping[str, str]) -> str:
    """Return the folder of a shape's class: the one given for it, or else the class name as it is."""
    return folders.get(item.class_name, item.class_name or UNNAMED)


def npy(array: Shaped[np.ndarray, "..."]) -> bytes:
    """Return an array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array if array.ndim == 0 else np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def npz(arrays: Mapping[str, np.ndarray], compressed: bool = False) -> bytes:
    """Return named arrays as the bytes of an `.npz` file, every member dated 1980-01-01."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(array), method)
    return buffer.getvalue()
