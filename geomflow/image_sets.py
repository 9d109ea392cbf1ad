"""Image sets: a folder with one safetensors file per split, holding `images` and whatever else is known of each.

The header's one entry, `geomflow_images`, is JSON: class names, terms, where the images are from. Images are whole
numbers from 0 to 255, (n, height, width) or (n, height, width, channels); `labels` (n,) number the classes from 0.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Integer, UInt8
from safetensors import SafetensorError, safe_open

from geomflow.errors import RecordError
from geomflow.files import write_atomically

KEY = "geomflow_images"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ImageSet:
    """The images of a split.

    Attributes:
        images: Grey values or colours, 0 to 255; grey images have one channel.
        labels: Number of each image's class, None if there are no classes.
        classes: Names of the classes, their numbers if they have no names.
        arrays: What else there is of each image, by name.
    """

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Integer[np.ndarray, " n"] | None = None
    classes: tuple[str, ...] = ()
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def holds_images(folder: str | Path) -> bool:
    """Return whether a folder looks like an image set.

    Args:
        folder: Folder of the image set.
    """
    return any(Path(folder).glob(f"*{SUFFIX}"))


def load_image_set(folder: str | Path, split: str) -> ImageSet:
    """Return the images of a split.

    Args:
        folder: Folder of the image set.
        split: Name of the split.

    Raises:
        RecordError: The folder has no such split, the file is damaged or holds something else, or a label has no class.
    """
    path, about = _opened(folder, split)
    arrays = safetensors.numpy.load_file(path)
    images, labels = _images(path, arrays), arrays.pop("labels", None)
    for name, rows in {**arrays, **({} if labels is None else {"labels": labels})}.items():
        if rows.ndim < 1 or len(rows) != len(images):
            found = rows.shape or "one number"
            raise RecordError(f"{path}: wanted {len(images)} rows of {name}, one for each image, found {found}")
    classes = _classes(path, about, labels)
    if labels is not None and (labels.min() < 0 or labels.max() >= len(classes)):
        found = f"labels from {labels.min()} to {labels.max()}"
        raise RecordError(
            f"{path}: wanted labels from 0 to {len(classes) - 1} for {len(classes)} classes, found {found}"
        )
    return ImageSet(images, labels, classes, arrays)


def image_classes(folder: str | Path, split: str) -> tuple[str, ...]:
    """Return the names of the classes of a split, their numbers if they have no names, without reading its images.

    Args:
        folder: Folder of the image set.
        split: Name of the split.

    Raises:
        RecordError: As `load_image_set`, as far as that is seen without the images.
    """
    path, about = _opened(folder, split)
    with safe_open(path, "np") as file:
        return _classes(path, about, file.get_tensor("labels") if "labels" in file.keys() else None)  # noqa: SIM118


def write_image_set(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write one split; equal arrays and facts give equal bytes.

    Args:
        path: The file, `SPLIT.safetensors`.
        arrays: `images` (n, height, width) or (n, height, width, channels) and, row by row, what else is known of them.
        about: The header: `classes`, terms, and where the images are from.

    Raises:
        OSError: The folder cannot be written.
    """
    write_atomically(path, safetensors.numpy.save(arrays, {KEY: json.dumps(about, sort_keys=True)}))


def _opened(folder: str | Path, split: str) -> tuple[Path, dict[str, Any]]:
    """The file of a split and its header."""
    path = Path(folder) / f"{split}{SUFFIX}"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in Path(folder).glob(f"*{SUFFIX}"))) or "none"
        raise RecordError(f"{folder}: wanted images of split {split!r} in {path.name}, found splits: {there}")
    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})[KEY])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RecordError(f"{path}: not a file of images ({error})") from error
    if not isinstance(about, dict):
        raise RecordError(f"{path}: wanted a header that is a JSON object, found {type(about).__name__}")
    return path, about


def _classes(path: Path, about: dict[str, Any], labels: np.ndarray | None) -> tuple[str, ...]:
    """Names of the classes, their numbers if they have none."""
    names = about.get("classes", ())
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not named or len(set(names)) < len(names):
        raise RecordError(f"{path}: wanted classes as a list of different names, found {names!r}")
    if labels is None:
        return tuple(names)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise RecordError(f"{path}: wanted whole numbers (n,) as labels, found {labels.dtype} of shape {labels.shape}")
    return tuple(names) or tuple(str(number) for number in range(int(labels.max()) + 1))


def _images(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The images with an axis of channels, taken out of a file's arrays."""
    images = arrays.pop("images", None)
    if images is None or images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
        found = "none" if images is None else f"{images.dtype} of shape {images.shape}"
        raise RecordError(f"{path}: wanted images, uint8 of shape (n, height, width[, channels]), found {found}")
    return images if images.ndim == 4 else images[..., None]
