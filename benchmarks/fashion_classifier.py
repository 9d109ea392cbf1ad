"""Train the small Fashion-MNIST classifier whose features compare sets of images, or measure what raises the distance.

python -m benchmarks.fashion_classifier /usr/share/datasets/fashion-mnist --out geomflow/metrics/weights
python -m benchmarks.fashion_classifier /usr/share/datasets/fashion-mnist

The first line trains and writes the weights: one thread, about five minutes; the same seed, machine and versions give
the same bytes. The test split is looked at when all is done. The second prints the table of the embedded weights' card.
The folder is that of the four IDX files (Debian's package `dataset-fashion-mnist`).
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from data_prep.idx_images import Images, read_split
from geomflow.files import write_atomically
from geomflow.metrics.image_features import KEY, SIDE, WEIGHTS, FashionClassifier, classifier_frechet, features

BATCH, RATE, DECAY, SMOOTHING = 128, 3e-3, 0.05, 0.05
"""Images per step, largest learning rate, weight decay, share of a label that is spread over all classes."""

SHIFT = 1
"""Largest shift of a batch in pixels; no mirroring, which the metric would then be blind to."""


def pixels(images: np.ndarray) -> Tensor:
    """Images (n, 28, 28) as numbers (n, 1, 28, 28) in [0, 1]."""
    return torch.tensor(images)[:, None].float() / 255


def shifted(batch: Tensor) -> Tensor:
    """The batch moved by a random whole number of pixels, black from outside."""
    y, x = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    return F.pad(batch, [SHIFT] * 4)[..., y : y + SIDE, x : x + SIDE]


def train(images: np.ndarray, labels: np.ndarray, epochs: int) -> FashionClassifier:
    """A classifier trained by cross-entropy, AdamW and one cycle of the learning rate."""
    model, inputs, classes = FashionClassifier(), pixels(images), torch.tensor(labels).long()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=DECAY)
    steps = len(inputs) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * steps)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        for chosen in torch.randperm(len(inputs))[: steps * BATCH].view(steps, BATCH):
            loss = F.cross_entropy(model(shifted(inputs[chosen])), classes[chosen], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() / steps
        print(f"epoch {epoch + 1} of {epochs}: loss {total:.4f}, {time.perf_counter() - started:.0f} s", flush=True)
    return model.eval()


def standardize(model: FashionClassifier, images: np.ndarray) -> None:
    """Set the features' centre and spread to those over the images."""
    found = features(images, classifier=model)
    model.centre, model.spread = (torch.from_numpy(f(found, axis=0)) for f in (np.mean, np.std))


@torch.no_grad()
def accuracy(model: FashionClassifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose most likely class is their label."""
    named = torch.cat([model(part).argmax(dim=1) for part in pixels(images).split(1000)])
    return float((named.numpy() == labels).mean())


def save(model: FashionClassifier, training: Images, test: Images, about: dict[str, int], out: Path) -> None:
    """Measure the accuracy and write the weights."""
    found = accuracy(model, test.images, test.labels)
    known = {**about, "accuracy": found, "trained_on": training.sha256}
    content = safetensors.torch.save(model.state_dict(), {KEY: json.dumps(known, sort_keys=True)})
    write_atomically(out / WEIGHTS.name, content)
    print(f"accuracy: training {accuracy(model, training.images, training.labels):.4f}, test {found:.4f}")
    print(f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def changes(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The images, and what a poor model might make of them."""
    noise, unchanged = rng.normal(size=images.shape), {"none": images}
    noisy = {f"noise of {s} grey values": np.clip(images + s * noise, 0, 255).astype(np.uint8) for s in (4, 16, 64)}
    blurred = {f"blur of {s} pixels": gaussian_filter(images, (0, s, s)) for s in (0.5, 1.0, 1.5)}
    turned = {"moved by 1 pixel": np.roll(images, 1, axis=2), "mirrored": images[:, :, ::-1]}
    classes = {"shirts": 6, "trousers": 1, "ankle boots": 9}
    dropped = {f"without {name}": images[labels != label] for name, label in classes.items()}
    return {**unchanged, **noisy, **blurred, **turned, **dropped, "without five classes": images[labels >= 5]}


def table(training: Images, test: Images) -> None:
    """Print the distances of a changed half of the test images from the other half."""
    rng, half = np.random.default_rng(0), len(test.images) // 2
    order = rng.permutation(len(test.images))
    images, labels, reference = test.images[order[:half]], test.labels[order[:half]], test.images[order[half:]]
    sets = {**changes(images, labels, rng), "training images instead": training.images[:half]}
    print("| change | images | distance | 95 % interval | floor |\n| --- | --- | --- | --- | --- |")
    for name, changed in sets.items():
        found = classifier_frechet(changed, reference, pool=training.images[:20_000])
        interval = f"{found.interval.low:.2f} to {found.interval.high:.2f}"
        print(f"| {name} | {found.generated:,} | {found.distance:.2f} | {interval} | {found.floor:.2f} |", flush=True)


def main() -> None:
    """Train, measure and write, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--out", type=Path, help="folder of the weights; without it nothing is trained")
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    training, test = (read_split(options.root, split) for split in ("train", "test"))
    if not options.out:
        table(training, test)
        return
    model = train(training.images, training.labels, options.epochs)
    standardize(model, training.images)
    save(model, training, test, {"epochs": options.epochs, "seed": options.seed}, options.out)


if __name__ == "__main__":
    main()
