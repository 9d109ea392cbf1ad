"""MNIST, Fashion-MNIST and others in their format: IDX files into one safetensors file per split.

Fashion-MNIST is from https://github.com/zalandoresearch/fashion-mnist (MIT; also Debian's package
`dataset-fashion-mnist`, in /usr/share/datasets/fashion-mnist), MNIST from http://yann.lecun.com/exdb/mnist.

    ROOT/train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte
    each plain or with .gz

    python -m data_prep.idx_images ROOT --out build/fashion-mnist

An IDX file is big-endian: two zero bytes, the type (8 for unsigned bytes), the number of axes, their lengths as 32-bit
integers, and the values. Each split becomes `train.safetensors` or `test.safetensors` with `images` (n, height, width)
and `labels` (n,), both uint8; the header's one entry, `geomflow_images`, is JSON with the class names, the terms and
the SHA-256 of the unpacked IDX files.

Published checksums are those of the .gz files (MD5, in Fashion-MNIST's README). Unpacked files are compared here, since
Debian packs them anew. The sums of Fashion-MNIST were computed from Debian's files; with the name and time that Debian
strips put back, all four .gz files have the published MD5. Those of MNIST are as several public projects record them.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_prep._table import add_root, command, errors_explained, say
from geomflow.errors import RecordError
from geomflow.image_sets import write_image_set

SPLITS = {"train": "train", "test": "t10k"}
KINDS = {"images": (3, "images-idx3-ubyte"), "labels": (1, "labels-idx1-ubyte")}
"""Number of axes and end of the name of each kind of file."""


@dataclass(frozen=True)
class Collection:
    """What is known of a data set in this format.

    Attributes:
        classes: Name of each label.
        license: Terms.
        creator: Who is to be credited.
        sha256: Hash of each unpacked file; empty if none is known.
    """

    classes: tuple[str, ...] = ()
    license: str = ""
    creator: str = ""
    sha256: tuple[tuple[str, str], ...] = ()


COLLECTIONS = {
    "fashion-mnist": Collection(
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        license="MIT",
        creator="Zalando SE",
        sha256=(
            ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
    ),
    "mnist": Collection(
        classes=tuple("0123456789"),
        license="CC-BY-SA-3.0 according to TensorFlow's documentation; the files bring no terms",
        creator="Yann LeCun, Corinna Cortes and Christopher J.C. Burges",
        sha256=(
            ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    "other": Collection(),
}
"""What `--collection` may name; `other` checks no hashes and names no classes."""


@dataclass(frozen=True)
class Images:
    """One split: images, their labels, and the hash of each unpacked file by kind.

    Attributes:
        images: Grey pictures (n, height, width).
        labels: Number of the class of each (n,).
        sha256: Hashes of the files that they were read from.
    """

    images: UInt8[np.ndarray, "n height width"]
    labels: UInt8[np.ndarray, " n"]
    sha256: dict[str, str]


def read_split(root: Path, split: str, collection: str = "fashion-mnist") -> Images:
    """Read the two files of a split.

    Args:
        root: Folder of the files.
        split: `train` or `test`.
        collection: Key of COLLECTIONS.

    Raises:
        RecordError: A file is missing, damaged, not in the format or not that of the collection, or the counts of
            images and labels differ.
    """
    known = COLLECTIONS[collection]
    names = {kind: f"{SPLITS[split]}-{end}" for kind, (_, end) in KINDS.items()}
    contents = {kind: _content(root, name) for kind, name in names.items()}
    arrays = {kind: parse_idx(contents[kind], KINDS[kind][0], str(root / name)) for kind, name in names.items()}
    digests = {kind: hashlib.sha256(content).hexdigest() for kind, content in contents.items()}
    if len(arrays["images"]) != len(arrays["labels"]):
        counts = f"{len(arrays['images'])} images and {len(arrays['labels'])} labels"
        raise RecordError(f"{root}: wanted as many labels as images in split {split}, found {counts}")
    for kind, name in names.items():
        _check_digest(root / name, digests[kind], dict(known.sha256).get(name, digests[kind]), collection)
    return Images(arrays["images"], arrays["labels"], digests)


def parse_idx(content: bytes, axes: int, name: str = "idx") -> UInt8[np.ndarray, "..."]:
    """Return the unsigned bytes of an IDX file as an array of so many axes.

    Args:
        content: The whole file.
        axes: How many axes the array has to have.
        name: What errors call the file.

    Raises:
        RecordError: The magic number is another, or the file is shorter or longer than its axes say.
    """
    magic, wanted = int.from_bytes(content[:4], "big"), 0x800 + axes
    if magic != wanted:
        raise RecordError(f"{name}: wanted magic number {wanted} (unsigned bytes, {axes} axes), found {magic}")
    if len(content) < 4 + 4 * axes:
        raise RecordError(f"{name}: wanted the lengths of {axes} axes, found the end of the file")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if len(values) != math.prod(shape):
        raise RecordError(f"{name}: wanted {math.prod(shape)} values for shape {shape}, found {len(values)}")
    return values.reshape(shape)


def write(data: Images, path: Path, collection: str = "fashion-mnist") -> None:
    """Write one split; the same files give the same bytes.

    Args:
        data: Images of the split.
        path: The file to write.
        collection: What the file says it comes from.

    Raises:
        OSError: The folder cannot be written.
    """
    known = COLLECTIONS[collection]
    about = {
        "collection": collection,
        "classes": known.classes,
        "license": known.license,
        "creator": known.creator,
        "sha256": data.sha256,
    }
    write_image_set(path, {"images": data.images, "labels": data.labels}, about)


def main(arguments: Sequence[str] | None = None) -> None:
    """Say what is there and write both splits; errors end the program with one line and code 1.

    Args:
        arguments: The command line; that of the process if None.
    """
    parser = command("idx_images", __doc__ or "", Path("build", "fashion-mnist"))
    add_root(parser, "folder of the four files")
    parser.add_argument("--collection", choices=COLLECTIONS, default="fashion-mnist", help="default: %(default)s")
    options = parser.parse_args(arguments)
    with errors_explained(parser):
        splits = {split: read_split(options.root, split, options.collection) for split in SPLITS}
        say(_summary(splits, options.collection))
        if options.dry_run:
            say("dry run: nothing is written")
            return
        for split, data in splits.items():
            path = options.out / f"{split}.safetensors"
            write(data, path, options.collection)
            say(f"wrote {path}")


def _summary(splits: dict[str, Images], collection: str) -> str:
    known = COLLECTIONS[collection]
    return "\n".join(
        [
            *(
                f"{split}: images {data.images.shape}, {len(set(data.labels))} classes"
                for split, data in splits.items()
            ),
            "checksums: as expected" if known.sha256 else "checksums: none known",
            f"terms: {known.license or 'unknown'}; credit {known.creator or 'unknown'}",
        ]
    )


def _content(root: Path, name: str) -> bytes:
    """The bytes of a file that may be compressed with gzip."""
    plain, packed = root / name, root / f"{name}.gz"
    if plain.is_file():
        return plain.read_bytes()
    if not packed.is_file():
        raise RecordError(f"{root}: wanted {name} or {name}.gz, found neither")
    try:
        return gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise RecordError(f"{packed}: damaged, or not a gzip file ({error})") from error


def _check_digest(path: Path, found: str, expected: str, collection: str) -> None:
    if found != expected:
        raise RecordError(
            f"{path}: not the file of {collection}: wanted SHA-256 {expected} unpacked, found {found} "
            f"(--collection other takes any IDX files)"
        )


if __name__ == "__main__":
    main()
