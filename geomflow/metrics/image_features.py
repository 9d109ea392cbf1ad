"""Frechet distance on the geomflow Fashion-MNIST classifier: features of small grey images, and sets of them compared.

The classifier is a small network that this repository trains itself (`python -m benchmarks.fashion_classifier`). The
idea of comparing images by the moments of a classifier's features is that of Heusel et al. (GANs trained by a two
time-scale update rule, NeurIPS 2017); network, images and scale are others here, so the numbers compare with no
published ones, only with each other under one `sha256` and the same counts.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from geomflow.errors import CheckpointError
from geomflow.metrics.frechet import Interval, frechet_distance, frechet_floor, frechet_interval, gaussian_of

WEIGHTS = Path(__file__).parent / "weights" / "fashion_classifier.safetensors"
"""The embedded weights; their card is README.md beside them."""

KEY = "geomflow_classifier"
"""Entry of the file's header: JSON with the accuracy on the test split."""

SIDE, CLASSES, WIDTH = 28, 10, 64
"""Pixels per axis, classes, numbers per feature vector."""

GreyImages = Shaped[np.ndarray, "..."]
"""uint8 images (n, 28, 28) or (n, 28, 28, 1); anything else is refused by name."""


@dataclass(frozen=True)
class ClassifierFrechet:
    """Frechet distance on the geomflow Fashion-MNIST classifier of generated images from reference images.

    Attributes:
        distance: The distance of the two samples, in squared standard deviations of a feature over the training images.
        interval: Where the distance of the two laws lies; below `distance`, which the counts make too large.
        floor: Expected `distance` of two samples of the reference law with these counts: what a perfect model scores.
        level: Probability of the interval.
        generated: Generated images.
        reference: Reference images.
        accuracy: Share of the test split that the classifier names rightly.
        sha256: Hash of the classifier's weights: numbers of different hashes do not compare.
    """

    distance: float
    interval: Interval
    floor: float
    level: float
    generated: int
    reference: int
    accuracy: float
    sha256: str


class FashionClassifier(nn.Module):
    """Convolutional classifier of 28 x 28 grey images in ten classes; evaluating and training are the same function.

    Attributes:
        centre: Mean (64,) of the features over the training images.
        spread: Their standard deviation (64,).
        accuracy: Share of the test split that it names rightly; NaN if unknown.
        sha256: Hash of the file that it was read from; empty if it was not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * 3 * 3, WIDTH)),
        )
        self.head = nn.Linear(WIDTH, CLASSES)
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(WIDTH))
        self.register_buffer("spread", torch.ones(WIDTH))
        self.accuracy, self.sha256 = float("nan"), ""

    def forward(self, pixels: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits of the classes; pixels are in [0, 1].

        Args:
            pixels: Grey images, values from 0 to 1.
        """
        return self.head(F.relu(self.trunk(2 * pixels - 1)))

    def features(self, pixels: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 64"]:
        """Return the numbers that enter the last nonlinearity, each in standard deviations over the training images.

        Args:
            pixels: Grey images, values from 0 to 1.
        """
        return (self.trunk(2 * pixels - 1) - self.centre) / self.spread


def load_classifier(path: str | Path = WEIGHTS) -> FashionClassifier:
    """Return the classifier whose weights are embedded, or that of another file of `benchmarks.fashion_classifier`.

    Args:
        path: The weights; the embedded ones by default.

    Raises:
        CheckpointError: The file is missing, damaged or not of this network; the message names it.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such file; wanted the classifier's weights")
    classifier = FashionClassifier().eval().requires_grad_(False)
    try:
        with safe_open(path, "pt") as file:
            classifier.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            classifier.accuracy = json.loads(file.metadata()[KEY])["accuracy"]
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not the weights of the Fashion-MNIST classifier ({error})") from error
    classifier.sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return classifier


def features(
    images: GreyImages, batch_size: int = 500, classifier: FashionClassifier | None = None
) -> Float32[np.ndarray, "n 64"]:
    """Return the classifier's features of each image, in standard deviations over the training images.

    Args:
        images: Grey values (n, 28, 28) or (n, 28, 28, 1), 0 to 255, bright garment on black.
        batch_size: Images per network call.
        classifier: By default the embedded one; it is called on the device where it is.

    Raises:
        ValueError: The images are not uint8, have another size or number of channels, or there is none; or the batch
            size is not positive.
        CheckpointError: The embedded weights are missing or damaged.
    """
    return _features_of("images", images, batch_size, classifier or load_classifier())


def classifier_frechet(
    generated: GreyImages,
    reference: GreyImages,
    pool: GreyImages | None = None,
    level: float = 0.95,
    seed: int = 0,
    batch_size: int = 500,
    classifier: FashionClassifier | None = None,
) -> ClassifierFrechet:
    """Return the Frechet distance on the geomflow Fashion-MNIST classifier, with error bar and floor.

    Args:
        generated: Images (n, 28, 28) or (n, 28, 28, 1), independent of each other.
        reference: Images of the wanted law, best the test split: of the training split the classifier is surer.
        pool: Images of the reference law from which the floor is drawn; by default the reference, by halves.
        level: Probability of the interval.
        seed: Of the interval's and the floor's parts.
        batch_size: Images per network call.
        classifier: By default the embedded one.

    Raises:
        ValueError: Images are not as `features` wants them, a set has fewer than 20, or the level is not in (0, 1).
        CheckpointError: The embedded weights are missing or damaged.
    """
    model = classifier or load_classifier()
    a, b = (
        _features_of(name, x, batch_size, model) for name, x in (("generated", generated), ("reference", reference))
    )
    law = b if pool is None else _features_of("pool", pool, batch_size, model)
    return ClassifierFrechet(
        distance=frechet_distance(gaussian_of(a), gaussian_of(b)),
        interval=frechet_interval(a, b, level, seed),
        floor=frechet_floor(law, len(a), len(b), seed=seed),
        level=level,
        generated=len(a),
        reference=len(b),
        accuracy=model.accuracy,
        sha256=model.sha256,
    )


@torch.no_grad()
def _features_of(name: str, images: np.ndarray, batch_size: int, model: FashionClassifier) -> np.ndarray:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    checked, device = _checked(name, images), model.centre.device
    parts = (torch.from_numpy(checked[i : i + batch_size].copy()) for i in range(0, len(checked), batch_size))
    return torch.cat([model.features(part[:, None].to(device).float() / 255).cpu() for part in parts]).numpy()


def _checked(name: str, images: np.ndarray) -> np.ndarray:
    """The images as (n, 28, 28)."""
    wanted = f"{name} must be uint8 of shape (n, {SIDE}, {SIDE}) or (n, {SIDE}, {SIDE}, 1)"
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise ValueError(f"{wanted}, given {getattr(images, 'dtype', type(images).__name__)}")
    if images.shape[1:] not in ((SIDE, SIDE), (SIDE, SIDE, 1)):
        raise ValueError(f"{wanted}, given shape {images.shape}")
    if not len(images):
        raise ValueError(f"{wanted} with n at least 1, given none")
    return images.reshape(-1, SIDE, SIDE)
