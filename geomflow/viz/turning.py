"""A shape that turns, as a film: GIF by Pillow, MP4 by ffmpeg."""

import io
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from geomflow.files import write_atomically
from geomflow.libraries import library
from geomflow.viz.camera import ELEVATION, Picture
from geomflow.viz.display import check_path
from geomflow.viz.ray_caster import render

SECONDS = 3.0
"""Time of one turn."""

GIF_COLORS = 64
SUFFIXES = (".gif", ".mp4")


def turntable(
    mesh: trimesh.Trimesh, path: str | Path, frames: int = 36, size: int = 320, elevation: float = ELEVATION
) -> None:
    """Write one turn of the camera around a mesh, endless as a GIF; the file appears whole or not at all.

    Args:
        mesh: Mesh in [-1, 1]^3, +y up.
        path: .gif file, or .mp4 where imageio and ffmpeg are installed.
        frames: Pictures of a turn.
        size: Pixels per side, an even number for .mp4.
        elevation: Degrees of the camera above the horizon.

    Raises:
        ValueError: Another suffix, no frame, a size that does not fit, or a mesh without faces.
        LibraryMissing: .mp4 without imageio and imageio-ffmpeg.
        OSError: The file cannot be written.
    """
    check_path(path, SUFFIXES)
    film = Path(path).suffix.lower() == ".mp4"
    if frames < 1 or (film and size % 2):
        raise ValueError(f"wanted at least one frame and an even size for .mp4, given {frames} and {size}")
    if film:
        for module in ("imageio", "imageio_ffmpeg"):
            library(module, "an .mp4 turntable", "geomflow[viz]")
    pictures = [render(mesh, size, 360 * i / frames, elevation) for i in range(frames)]
    write_atomically(Path(path), _mp4(pictures) if film else _gif(pictures))


def _gif(pictures: list[Picture]) -> bytes:
    """One palette for all frames, so that nothing flickers."""
    together = Image.fromarray(np.concatenate(pictures[:: max(1, len(pictures) // 4)]))
    palette = together.quantize(GIF_COLORS)
    still = [Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    duration = 1000 * SECONDS / len(pictures)
    still[0].save(buffer, "GIF", save_all=True, append_images=still[1:], duration=duration, loop=0, optimize=False)
    return buffer.getvalue()


def _mp4(pictures: list[Picture]) -> bytes:
    video = library("imageio.v2", "an .mp4 turntable", "geomflow[viz]")
    rate = len(pictures) / SECONDS
    return video.mimwrite("<bytes>", pictures, format="mp4", fps=rate, macro_block_size=2)
