"""What all pictures share: the camera, the palette, and how finer light becomes bytes."""

import numpy as np
from jaxtyping import Float, UInt8

from geomflow.warp_runtime import wp

Rgb = tuple[float, float, float]
Picture = UInt8[np.ndarray, "height width 3"]

PALETTE: tuple[Rgb, ...] = (
    (0.36, 0.55, 0.73),
    (0.87, 0.58, 0.37),
    (0.47, 0.66, 0.50),
    (0.78, 0.47, 0.49),
    (0.57, 0.52, 0.71),
    (0.83, 0.71, 0.42),
    (0.45, 0.65, 0.68),
    (0.68, 0.56, 0.48),
)
"""Colours that a sheet takes in turn."""

AZIMUTH, ELEVATION = 35.0, 18.0
"""Where the camera stands if nothing else is said, in degrees: from +z towards +x, and above the horizon."""

INK = (0.15, 0.15, 0.15)
"""Colour of lines."""

LAMP = (0.41, 0.77, 0.50)
"""Direction of the light: above, on the camera's side."""

BACKGROUND = 0.975
SAMPLES_PER_AXIS = 2

FIELD = wp.constant(0.28)
"""Tangent of half the angle that a picture shows."""


def camera_at(azimuth: float, elevation: float) -> Float[np.ndarray, "4 3"]:
    """Return the eye, and unit vectors to the right, up and forward.

    Args:
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.
    """
    a, e = np.radians(azimuth), np.radians(elevation)
    back = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.stack([5.2 * back, right, np.cross(back, right), -back])


def average(fine: Float[np.ndarray, "fine fine 3"], size: int) -> Float[np.ndarray, "size size 3"]:
    """Return a picture `SAMPLES_PER_AXIS` times as small, each pixel the mean of its samples.

    Args:
        fine: The samples.
        size: Pixels per side.
    """
    return fine.reshape(size, SAMPLES_PER_AXIS, size, SAMPLES_PER_AXIS, 3).mean(axis=(1, 3))


def to_bytes(light: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Return light as bytes.

    Args:
        light: Brightness; what is outside of [0, 1] is cut off.
    """
    return (255 * light.clip(0, 1)).round().astype(np.uint8)
