"""Strokes: cubic B-splines in the image's square, fitted to traced lines and drawn again.

Coordinates: the square of an image is [-1, 1]^2, x to the right, y down, whatever its number of pixels. In an image
of n x n pixels, the one in row i and column j is the square of side 2 / n whose centre is ((2 j + 1) / n - 1,
(2 i + 1) / n - 1).

A stroke with control points p_0, ..., p_{k-1} is the curve s(u) = sum_i B_i(u) p_i, 0 <= u <= 1. The B_i are the cubic
B-splines on k - 2 equally spaced knots of which the first and the last are fourfold ("clamped"), so that s(0) = p_0 and
s(1) = p_{k-1} (de Boor, A Practical Guide to Splines, 1978). They are not negative and sum to 1: a stroke stays in the
convex hull of its control points and goes along with every affine map of them.
"""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.interpolate import BSpline
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity

DEGREE = 3
"""Of the polynomials between two knots."""

WIDTH = 1 / 16
"""Usual width of a drawn stroke in units of the square: 2 pixels of 64."""


def stroke_basis(count: int, samples: int) -> Float[np.ndarray, "samples count"]:
    """Return the values (samples, count) of the basis functions at equally spaced parameters from 0 to 1.

    Args:
        count: Control points, at least 4.
        samples: Parameters, at least 2.

    Raises:
        ValueError: There are fewer.
    """
    if count <= DEGREE or samples < 2:
        raise ValueError(
            f"a cubic stroke wants at least {DEGREE + 1} control points and 2 samples, given {count} and {samples}"
        )
    inner = np.linspace(0, 1, count - DEGREE + 1)
    knots = np.concatenate([np.zeros(DEGREE), inner, np.ones(DEGREE)])
    return BSpline.design_matrix(np.linspace(0, 1, samples), knots, DEGREE).toarray()


def evaluate_strokes(
    control_points: Shaped[np.ndarray, "*strokes k 2"], samples: int
) -> Float[np.ndarray, "*strokes samples 2"]:
    """Return points (strokes, samples, 2) on each stroke at equally spaced parameters, both ends among them.

    Args:
        control_points: Points (strokes, k, 2), k at least 4; any axes may come before.
        samples: Points per stroke, at least 2.

    Raises:
        ValueError: There are fewer control points or samples.
    """
    return stroke_basis(control_points.shape[-2], samples) @ control_points.astype(float)


def fit_strokes(
    points: Shaped[np.ndarray, "*strokes samples 2"], count: int
) -> Float[np.ndarray, "*strokes {count} 2"]:
    """Return the control points (strokes, count, 2) of the strokes nearest to points in the least-squares sense.

    The points belong to equally spaced parameters, so the fit undoes `evaluate_strokes`; to fit by arc length, space
    them equally first (`resample_line`). The first and the last point are met exactly: strokes that are cut from one
    line still join.

    Args:
        points: Points (strokes, samples, 2) in order along each stroke; any axes may come before.
        count: Control points per stroke, at least 4.

    Raises:
        ValueError: There are fewer points than control points, or fewer than 4 control points.
    """
    samples = points.shape[-2]
    if samples < count:
        raise ValueError(f"points must be at least as many as the {count} control points, given {samples}")
    basis, ends = stroke_basis(count, samples), points[..., [0, -1], :].astype(float)
    inner = np.linalg.pinv(basis[:, 1:-1]) @ (points - basis[:, [0, -1]] @ ends)
    return np.concatenate([ends[..., :1, :], inner, ends[..., 1:, :]], axis=-2)


def resample_line(line: Shaped[np.ndarray, "points 2"], samples: int) -> Float[np.ndarray, "{samples} 2"]:
    """Return points (samples, 2) of a polyline that divide its length equally, both ends among them.

    Args:
        line: Points of the polyline in their order.
        samples: How many points to return.

    Raises:
        ValueError: The line has no length.
    """
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    if not at[-1] > 0:
        raise ValueError(f"line must have a positive length, given {len(line)} points of length {at[-1]:g}")
    wanted = np.linspace(0, at[-1], samples)
    return np.stack([np.interp(wanted, at, line[:, axis]) for axis in (0, 1)], axis=1)


def rasterize_strokes(
    strokes: Shaped[np.ndarray, "strokes samples 2"], size: int, width: float = WIDTH
) -> Float[np.ndarray, "{size} {size}"]:
    """Return a picture (size, size) of polylines: 1 on them, 0 off them, between where they cover a pixel in part.

    A pixel whose centre is at distance d from the nearest line has the value |[d - p/2, d + p/2] n [-w/2, w/2]| / p,
    where n is the intersection, w the width and p the side of a pixel: what a straight line covers of it.

    Args:
        strokes: Points (strokes, samples, 2) of each polyline, samples at least 2, as `evaluate_strokes` gives them.
        size: Pixels per axis.
        width: Of the lines, in units of the square (whose side is 2); their ends are round.

    Raises:
        ValueError: Size or width is not positive, or points are too few or not finite.
    """
    if not (size > 0 and width > 0):
        raise ValueError(f"size and width must be positive, given size {size} and width {width}")
    if strokes.shape[0] < 1 or strokes.shape[1] < 2 or not np.isfinite(strokes).all():
        raise ValueError(f"strokes must be finite lines of at least 2 points, given shape {strokes.shape}")
    centres = (2 * np.arange(size) + 1) / size - 1
    pixels = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    covered = [_covered(pixels, line, 2 / size, width) for line in strokes.astype(float)]
    return np.max(covered, axis=0).reshape(size, size)


def picture_similarity(a: Float[np.ndarray, "size size"], b: Float[np.ndarray, "size size"]) -> float:
    """Return the mean structural similarity of two pictures with values in [0, 1]: 1 if they are equal.

    With the Gaussian window (deviation 1.5 pixels) and constants of Wang et al. (Image quality assessment: from error
    visibility to structural similarity, 2004). Where both pictures are blank it is 1, so unrelated drawings with much
    blank paper do not score 0: compare with what they score.

    Args:
        a: A picture.
        b: Another picture of the same size.

    Raises:
        ValueError: The pictures differ in size, or are smaller than the window of 11 pixels.
    """
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(np.asarray(structural_similarity(a, b, data_range=1.0, **window)))


def _covered(pixels: np.ndarray, line: np.ndarray, side: float, width: float) -> np.ndarray:
    """What a polyline covers of each pixel; those out of its reach are not looked at."""
    value, reach = np.zeros(len(pixels)), (width + side) / 2
    near = ((pixels >= line.min(axis=0) - reach) & (pixels <= line.max(axis=0) + reach)).all(axis=1)
    value[near] = np.clip((reach - _distance(pixels[near], line)) / side, 0, min(1, width / side))
    return value


def _distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance of each point from a polyline."""
    start, step = line[:-1], np.diff(line, axis=0)
    square, along = (step**2).sum(axis=1), points @ step.T - (start * step).sum(axis=1)
    share = np.clip(along / np.maximum(square, np.finfo(float).tiny), 0, 1)
    squared = cdist(points, start, "sqeuclidean") + share * (share * square - 2 * along)
    return np.sqrt(np.maximum(squared.min(axis=1), 0))
