"""Folders of pictures, such as CIFAR-10 or CelebA-HQ unpacked, as an image set of one size.

    ROOT/[train|test|val/][class/]picture.png|jpg|jpeg|webp|bmp

Pictures are turned as their EXIF says, laid on white where they are clear, cropped to their middle square and resized.
Without folders of splits every tenth picture, by the hash of its name, is for testing; without folders of classes there
are no labels. The terms are those of the pictures.

    python -m data_prep.image_folder celeba_hq --size 256 --out build/celeba
    geomflow train image_latents --data build/celeba --out build/runs/celeba --encoder my_package.autoencoder
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from data_prep._table import add_root, command, errors_explained, say
from geomflow.errors import RecordError
from geomflow.image_sets import write_image_set

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SPLITS = ("train", "test", "val")
MODES = {1: "L", 3: "RGB"}
"""How Pillow calls so many channels."""


def find_pictures(root: Path) -> dict[str, list[tuple[Path, str]]]:
    """Return the pictures of each split with their classes, empty for none, in the order of their paths.

    Args:
        root: Folder with a folder per split.

    Raises:
        RecordError: There are none, or some of a split lie in folders of classes and others do not.
    """
    splits: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for file in sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES):
        folders = file.relative_to(root).parts[:-1]
        split, folders = (folders[0], folders[1:]) if folders[:1] and folders[0] in SPLITS else (_split(file), folders)
        splits[split].append((file, "/".join(folders)))
    if not splits:
        raise RecordError(f"{root}: wanted pictures ({', '.join(SUFFIXES)}), found none")
    classes = {name for pictures in splits.values() for _, name in pictures}
    if "" in classes and len(classes) > 1:
        raise RecordError(f"{root}: wanted all pictures in folders of classes or none, found both")
    return dict(splits)


def read_picture(file: Path, size: int, channels: int) -> UInt8[np.ndarray, "size size channels"]:
    """Return a picture's middle square at a size.

    Args:
        file: The picture.
        size: Pixels along each edge of the result.
        channels: 1 for grey, 3 for colours.

    Raises:
        RecordError: It cannot be read, or the size is not positive.
    """
    if size < 1:
        raise RecordError(f"size must be at least 1, given {size}")
    try:
        with Image.open(file) as picture:
            clear = ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise RecordError(f"{file}: not a picture ({error})") from error
    ground = Image.new("RGBA", clear.size, "white")
    whole = Image.alpha_composite(ground, clear).convert(MODES[channels])
    edge = min(whole.size)
    left, top = ((side - edge) // 2 for side in whole.size)
    square = whole.crop((left, top, left + edge, top + edge)).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(square).reshape(size, size, channels)


def _split(file: Path) -> str:
    return "test" if int(hashlib.sha256(file.stem.encode()).hexdigest(), 16) % 10 == 9 else "train"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a file per split; errors end the program with one line and code 1.

    Args:
        arguments: The command line; that of the process if None.
    """
    parser = command("image_folder", __doc__ or "", Path("build", "images"))
    add_root(parser, "folder of pictures")
    parser.add_argument("--size", type=int, default=32, help="pixels per side (default: %(default)s)")
    parser.add_argument("--channels", type=int, choices=MODES, default=3, help="1 for grey (default: %(default)s)")
    options = parser.parse_args(arguments)
    with errors_explained(parser):
        splits = find_pictures(options.root)
        classes = sorted({name for pictures in splits.values() for _, name in pictures} - {""})
        for split, pictures in splits.items():
            say(f"{split}: {len(pictures)} pictures of {len(classes) or 'no'} classes")
            if options.dry_run:
                continue
            images = np.stack([read_picture(file, options.size, options.channels) for file, _ in pictures])
            labels = {"labels": np.array([classes.index(name) for _, name in pictures], np.int64)} if classes else {}
            path = options.out / f"{split}.safetensors"
            write_image_set(path, {"images": images, **labels}, {"classes": classes})
            say(f"wrote {path}")
        if options.dry_run:
            say("dry run: nothing is written")


if __name__ == "__main__":
    main()
