"""Generated images against reference images: the Frechet distance on the geomflow Fashion-MNIST classifier."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from PIL import Image

from geomflow.errors import EvaluationError
from geomflow.metrics.evaluation import Evaluation, Number
from geomflow.metrics.image_features import classifier_frechet
from geomflow.metrics.parallel import Options
from geomflow.metrics.protocols import Protocol

PREVIEW = "preview.png"
"""What `geomflow generate` writes beside its images."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one place (n, 28, 28), uint8.

    Attributes:
        path: Where they were read from.
        images: The images.
    """

    path: str
    images: np.ndarray

    def about(self) -> dict[str, Any]:
        """Return what a result says of the set."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()
        return {"path": self.path, "count": len(self.images), "sha256": digest}


def evaluate_images(
    generated: Path, reference: Path, train: Path | None, protocol: Protocol, options: Options
) -> Evaluation:
    """Return the distance, its interval over the choice of images, and the floor that a perfect model scores.

    Args:
        generated: .npy or .safetensors (`python -m data_prep.idx_images`) of images (n, 28, 28), or a folder of PNGs.
        reference: The same.
        train: More images of the reference's law, from which the floor is drawn; by default the reference, by halves.
        protocol: The protocol.
        options: Seed and level.

    Raises:
        EvaluationError: A place holds no images, or images of another size, type or too few.
    """
    places = {"generated": generated, "reference": reference, "train": train}
    sets = {role: read_images(place) for role, place in places.items() if place}
    pool = sets["train"].images if train else None
    try:
        one, other = sets["generated"].images, sets["reference"].images
        found = classifier_frechet(one, other, pool, options.level, options.seed)
    except ValueError as error:
        raise EvaluationError(f"{generated} against {reference}: {error}") from error
    distance = Number("frechet-distance", found.distance)
    unbiased = Number("frechet-distance-unbiased", found.interval.estimate, found.interval.low, found.interval.high)
    about = {role: one.about() for role, one in sets.items()}
    terms = {
        "protocol": protocol.name,
        "classifier": {"name": "geomflow Fashion-MNIST classifier", "sha256": found.sha256, "accuracy": found.accuracy},
        "generated": found.generated,
        "reference": f"{found.reference} images, sha256 {about['reference']['sha256']}",
    }
    settings = {"seed": options.seed, "level": options.level, "draws": options.draws}
    floor = {"perfect model of these counts": [Number("frechet-distance", found.floor)]}
    return Evaluation(terms, settings, about, [distance, unbiased], floor)


def read_images(place: Path) -> ImageSet:
    """Return the images of an .npy or .safetensors file or of a folder of PNGs, as they are.

    Args:
        place: The file or folder.

    Raises:
        EvaluationError: There are none, or they differ in size.
    """
    try:
        images = _READERS[place.suffix.lower()](place) if place.is_file() else _of_folder(place)
    except Exception as error:
        wanted = "an .npy or .safetensors of images, or a folder of PNGs"
        raise EvaluationError(f"{place}: wanted {wanted} ({str(error).splitlines()[0]})") from error
    return ImageSet(str(place), images)


def _of_folder(place: Path) -> np.ndarray:
    files = sorted(file for file in place.glob("*.png") if file.name != PREVIEW)
    if not files:
        raise ValueError("found none")
    return np.stack([np.asarray(Image.open(file).convert("L")) for file in files])


_READERS = {
    ".npy": lambda place: np.load(place, allow_pickle=False),
    ".safetensors": lambda place: safetensors.numpy.load_file(place)["images"],
}
