"""Drawings of small grey images: the outline of each, as a few B-spline strokes, beside image and label.

    python -m data_prep.strokes ROOT --out build/strokes

ROOT holds IDX files as `data_prep.idx_images` reads them: Fashion-MNIST, say, whose pictures show one thing on black.
What is brighter than a tenth of its median brightness is the thing; its mask is smoothed a little, and the outline is
the line of value 1/2 that encloses the largest area. It begins above the middle of its box, runs clockwise as one sees
it, and is cut into `STROKES` pieces of equal length, each the `CONTROL_POINTS` control points of a cubic B-spline
(`geomflow.geometry.strokes`). So stroke i is about the same place of every image, and neighbours in the list are
neighbours on the outline. Holes and separate parts are not drawn.

Each split becomes a file as of `data_prep.idx_images`, with `strokes` (n, STROKES, CONTROL_POINTS, 2), float32, in the
square [-1, 1]^2, x to the right, y down. Images without an outline are left out and counted.

Strokes and points were chosen by the structural similarity of fitted strokes and outline, drawn 2 pixels wide on
64 x 64 (mean over 300 training images; outlines of two different images reach 0.32):

    strokes x points    4x8    6x6    8x5    4x12   6x8    8x6    12x4   8x8
    points in all       32     36     40     48     48     48     48     64
    similarity          0.936  0.944  0.951  0.982  0.978  0.974  0.964  0.991

Of the sizes with 48 points, 8x6 was taken for its short and simple strokes. Pieces cut at the sharpest corners instead
score less (0.962 at 8x6), as they differ in length. A thing that a black band divides loses its smaller part: of 3000
training images, 7 lose more than a quarter of the area that a level of `BACKGROUND` alone would enclose.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.ndimage import gaussian_filter
from skimage.measure import find_contours

from data_prep._table import add_root, command, errors_explained, say
from data_prep.idx_images import COLLECTIONS, SPLITS, Images, read_split
from geomflow.errors import RecordError
from geomflow.geometry.strokes import (
    evaluate_strokes,
    fit_strokes,
    picture_similarity,
    rasterize_strokes,
    resample_line,
)
from geomflow.image_sets import write_image_set

BACKGROUND, SHARE, SMOOTHING = 8, 0.1, 0.7
"""Grey value up to which a pixel is background; share of the others' median above which it belongs to the thing;
deviation, in pixels, of the Gaussian that smooths the mask."""

MARGIN = 4
"""Background pixels added on every side, as far as the smoothing reaches."""

SMALLEST = 0.04
"""Area below which an outline is a speck: 1 % of the square."""

STROKES, CONTROL_POINTS = 8, 6
"""Pieces of an outline, and control points of each."""

SAMPLES, SIZE, CHECKED = 32, 64, 500
"""Steps along a piece that is fitted; pixels per axis, and how many drawings, when the fit is judged."""


@dataclass(frozen=True)
class Drawings:
    """The images of a split that have an outline, and their strokes.

    Attributes:
        images: Grey values (n, side, side).
        labels: Number (n,) of each one's class.
        strokes: Control points (n, strokes, k, 2) in [-1, 1]^2.
        similarity: Mean structural similarity of strokes and traced outline, both drawn, over up to `CHECKED` images.
        left_out: Images without an outline.
        sha256: Hash of each unpacked file by kind.
    """

    images: UInt8[np.ndarray, "n side side"]
    labels: UInt8[np.ndarray, " n"]
    strokes: Float32[np.ndarray, "n strokes k 2"]
    similarity: float
    left_out: int
    sha256: dict[str, str]


def trace_outline(image: UInt8[np.ndarray, "side side"]) -> Float[np.ndarray, "points 2"] | None:
    """Return the closed outline (points, 2) of what a grey image shows, its first point again at the end.

    It is in the square [-1, 1]^2, x to the right, y down; clockwise as one sees it, from the highest point on the
    vertical through the middle of its box. None if there is no outline, or only specks.

    Args:
        image: Bright shape on black.
    """
    mask = gaussian_filter(np.pad(_mask(image), MARGIN).astype(float), SMOOTHING)
    lines = [(2 * (line[:, ::-1] - MARGIN) + 1) / len(image) - 1 for line in find_contours(mask, 0.5)]
    outline = max(lines, key=lambda line: abs(_area(line)), default=np.zeros((1, 2)))
    if abs(_area(outline)) < SMALLEST:
        return None
    return _from_above(outline if _area(outline) > 0 else outline[::-1])


def fit_outline(
    outline: Float[np.ndarray, "points 2"], strokes: int = STROKES, count: int = CONTROL_POINTS
) -> Float[np.ndarray, "{strokes} {count} 2"]:
    """Return the control points (strokes, count, 2) of the pieces of equal length of a line.

    Each piece ends where the next begins. Control points are kept inside the square, and so is all that they draw.

    Args:
        outline: Points (points, 2) of a polyline.
        strokes: Pieces.
        count: Control points of each, at least 4.

    Raises:
        ValueError: The line has no length, or there are too few control points.
    """
    points = resample_line(outline, strokes * SAMPLES + 1)
    pieces = points[np.arange(strokes)[:, None] * SAMPLES + np.arange(SAMPLES + 1)]
    return np.clip(fit_strokes(pieces, count), -1, 1)


def draw_images(data: Images) -> Drawings:
    """Return all images that have an outline, with their strokes.

    Args:
        data: The images of a split.

    Raises:
        RecordError: The images are not square, or none has an outline.
    """
    if data.images.shape[1] != data.images.shape[2]:
        raise RecordError(f"wanted square images, found {data.images.shape[1]} x {data.images.shape[2]} pixels")
    traced = {i: line for i, line in enumerate(map(trace_outline, data.images)) if line is not None}
    if not traced:
        raise RecordError(f"wanted images of something bright on black, found no outline in {len(data.images)} images")
    strokes = np.stack([fit_outline(line) for line in traced.values()]).astype(np.float32)
    kept = list(traced)
    checked = range(0, len(kept), -(-len(kept) // CHECKED))
    similarity = float(np.mean([_similarity(strokes[i], traced[kept[i]]) for i in checked]))
    left_out = len(data.images) - len(kept)
    return Drawings(data.images[kept], data.labels[kept], strokes, similarity, left_out, data.sha256)


def read_drawings(root: Path, split: str, collection: str = "fashion-mnist", count: int | None = None) -> Drawings:
    """Read a split's IDX files and draw its images.

    Args:
        root: Folder of the files.
        split: `train` or `test`.
        collection: Key of COLLECTIONS.
        count: Images from the beginning of the split; all by default.

    Raises:
        RecordError: The files are not as `data_prep.idx_images` wants them, the count is not positive, or there is
            nothing to draw.
    """
    if count is not None and count < 1:
        raise RecordError(f"--count must be at least 1, given {count}")
    data = read_split(root, split, collection)
    try:
        return draw_images(replace(data, images=data.images[:count], labels=data.labels[:count]))
    except RecordError as error:
        raise RecordError(f"{root}, split {split}: {error}") from error


def write(drawings: Drawings, path: Path, collection: str = "fashion-mnist") -> None:
    """Write one split; the same files give the same bytes.

    Args:
        drawings: What was drawn.
        path: The file to write.
        collection: What the file says it comes from.

    Raises:
        OSError: The folder cannot be written.
    """
    fit = {
        "background": BACKGROUND,
        "share": SHARE,
        "smoothing": SMOOTHING,
        "similarity": round(drawings.similarity, 4),
        "left_out": drawings.left_out,
    }
    about = {**asdict(COLLECTIONS[collection]), "collection": collection, "sha256": drawings.sha256, "strokes": fit}
    arrays = {"images": drawings.images, "labels": drawings.labels, "strokes": drawings.strokes}
    write_image_set(path, arrays, about)


def main(arguments: Sequence[str] | None = None) -> None:
    """Say what was drawn and write both splits; errors end the program with one line and code 1.

    Args:
        arguments: The command line; that of the process if None.
    """
    parser = command("strokes", __doc__ or "", Path("build", "strokes"))
    add_root(parser, "folder of the four files")
    parser.add_argument("--collection", choices=COLLECTIONS, default="fashion-mnist", help="default: %(default)s")
    parser.add_argument("--count", type=int, help="images from the beginning of each split (default: all)")
    options = parser.parse_args(arguments)
    with errors_explained(parser):
        splits = {split: read_drawings(options.root, split, options.collection, options.count) for split in SPLITS}
        say("\n".join(_summary(split, drawings) for split, drawings in splits.items()))
        if options.dry_run:
            say("dry run: nothing is written")
            return
        for split, drawings in splits.items():
            path = options.out / f"{split}.safetensors"
            write(drawings, path, options.collection)
            say(f"wrote {path}")


def _summary(split: str, drawings: Drawings) -> str:
    return (
        f"{split}: strokes {drawings.strokes.shape}, similarity to the outlines {drawings.similarity:.4f}, "
        f"images without an outline, left out: {drawings.left_out}"
    )


def _similarity(strokes: np.ndarray, outline: np.ndarray) -> float:
    drawn = rasterize_strokes(evaluate_strokes(strokes, SAMPLES + 1), SIZE)
    return picture_similarity(drawn, rasterize_strokes(outline[None], SIZE))


def _mask(image: np.ndarray) -> np.ndarray:
    """Which pixels belong to what an image shows, dark or bright."""
    bright = image[image > BACKGROUND]
    return image > max(BACKGROUND, SHARE * np.median(bright)) if len(bright) else np.zeros(image.shape, dtype=bool)


def _area(line: np.ndarray) -> float:
    """Signed area inside a closed line, positive if it runs clockwise as one sees it (y points down)."""
    x, y = line.T
    return float(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2


def _from_above(line: np.ndarray) -> np.ndarray:
    """The closed line from the highest of its points on the vertical through the middle of its box."""
    offset = line[:, 0] - (line[:, 0].min() + line[:, 0].max()) / 2
    crossed = np.flatnonzero((offset[:-1] < 0) != (offset[1:] < 0))
    share = offset[crossed] / (offset[crossed] - offset[crossed + 1])
    met = line[crossed] + share[:, None] * (line[crossed + 1] - line[crossed])
    first = met[:, 1].argmin()
    start, after = met[first : first + 1], crossed[first] + 1
    return np.concatenate([start, line[after:-1], line[:after], start])


if __name__ == "__main__":
    main()
