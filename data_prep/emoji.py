"""Emoji: an archive of small RGBA images as an image set, on a ground of one colour.

The archive is a NumPy .npz with `images` (n, size, size, 4) uint8, alpha not multiplied in, and `split` (n,), `train`
or `test`; other arrays are left alone. Google's Noto Color Emoji, drawn at 32 x 32, is one (SIL OFL 1.1 / Apache-2.0).

    python -m data_prep.emoji emoji32_rgba.npz --out build/emoji
    geomflow train image_unet --data build/emoji --out runs/emoji --encoder.size 32 --encoder.channels 3 --condition ""
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_prep._table import add_root, command, errors_explained, say
from geomflow.errors import RecordError
from geomflow.files import sha256_of
from geomflow.image_sets import write_image_set

TERMS = "SIL OFL 1.1 / Apache-2.0, Google (Noto Color Emoji); those of other archives are their own"


def read_archive(path: Path) -> tuple[UInt8[np.ndarray, "n height width 4"], np.ndarray]:
    """Return the images of an archive and the split of each.

    Args:
        path: The .npz archive.

    Raises:
        RecordError: The file is missing, no such archive, or its images are no RGBA.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, splits = archive["images"], archive["split"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise RecordError(f"{path}: wanted a .npz archive with images and split ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 4 or splits.shape != images.shape[:1]:
        found = f"{images.dtype} of shape {images.shape} and splits of shape {splits.shape}"
        raise RecordError(
            f"{path}: wanted images uint8 of shape (n, height, width, 4) with a split each, found {found}"
        )
    return images, splits


def on_ground(
    images: UInt8[np.ndarray, "n height width 4"], ground: int = 255
) -> UInt8[np.ndarray, "n height width 3"]:
    """Return the images laid on a grey ground.

    Args:
        images: Colours with an opacity.
        ground: Grey value behind them, from 0 to 255.

    Raises:
        RecordError: The ground is not from 0 to 255.
    """
    if not 0 <= ground <= 255:
        raise RecordError(f"ground must be from 0 to 255, given {ground}")
    alpha = images[..., 3:].astype(float) / 255
    return (alpha * images[..., :3] + (1 - alpha) * ground).round().astype(np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a file per split; errors end the program with one line and code 1.

    Args:
        arguments: The command line; that of the process if None.
    """
    parser = command("emoji", __doc__ or "", Path("build", "emoji"))
    add_root(parser, "the .npz archive")
    parser.add_argument(
        "--ground", type=int, default=255, help="grey behind the images, 0 to 255 (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    with errors_explained(parser):
        images, splits = read_archive(options.root)
        about = {"license": TERMS, "sha256": sha256_of(options.root), "ground": options.ground}
        for split in sorted(set(splits.tolist())):
            chosen = on_ground(images[splits == split], options.ground)
            say(f"{split}: images {chosen.shape}")
            if not options.dry_run:
                path = options.out / f"{split}.safetensors"
                write_image_set(path, {"images": chosen}, about)
                say(f"wrote {path}")
        say("dry run: nothing is written" if options.dry_run else f"terms: {TERMS}")


if __name__ == "__main__":
    main()
