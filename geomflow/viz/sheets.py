"""Sheets of many pictures in rows, and how a picture is written."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from geomflow.files import write_atomically
from geomflow.viz.camera import BACKGROUND, PALETTE, Picture, to_bytes
from geomflow.viz.ray_caster import render


def contact_sheet(
    meshes: Sequence[trimesh.Trimesh], columns: int = 4, size: int = 320, labels: Sequence[str] = ()
) -> Picture:
    """Return one picture of many meshes in rows, colours taken in turn.

    Args:
        meshes: Meshes in [-1, 1]^3, +y up.
        columns: Pictures per row.
        size: Pixels per side of each picture.
        labels: Text under each picture, as many as meshes or none.

    Raises:
        TypeError: One is no mesh.
        ValueError: No meshes, no columns, or labels of another number.
    """
    if not meshes or columns < 1:
        raise ValueError(f"wanted at least one mesh and one column, given {len(meshes)} and {columns}")
    if labels and len(labels) != len(meshes):
        raise ValueError(f"wanted as many labels as meshes, given {len(labels)} for {len(meshes)}")
    pictures = [render(mesh, size, color=PALETTE[i % len(PALETTE)]) for i, mesh in enumerate(meshes)]
    return tiled(pictures, min(columns, len(pictures)), labels)


def image_sheet(images: Sequence[UInt8[np.ndarray, "..."]], columns: int = 8, size: int = 112) -> Picture:
    """Return one picture of many small images in rows, their pixels enlarged.

    Args:
        images: Grey (height, width) or coloured (height, width, 3) images.
        columns: Images per row.
        size: Pixels per side of each on the sheet.

    Raises:
        ValueError: No images, or no columns.
    """
    if not len(images) or columns < 1:
        raise ValueError(f"wanted at least one image and one column, given {len(images)} and {columns}")
    coloured = [Image.fromarray(image).convert("RGB") for image in images]
    enlarged = [np.asarray(image.resize((size, size), Image.Resampling.NEAREST)) for image in coloured]
    return tiled(enlarged, min(columns, len(images)), ())


def save_png(picture: Picture, path: str | Path) -> None:
    """Write a picture; the file appears whole or not at all.

    Args:
        picture: The pixels.
        path: The .png file.

    Raises:
        OSError: It cannot be written.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    write_atomically(Path(path), buffer.getvalue())


def tiled(pictures: Sequence[UInt8[np.ndarray, "size size 3"]], columns: int, labels: Sequence[str] = ()) -> Picture:
    """Return pictures of one size in rows, text under each.

    Args:
        pictures: The pictures.
        columns: How many stand in a row.
        labels: A text for each, or none at all.
    """
    size, rows = pictures[0].shape[0], -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * size, rows * size), tuple(to_bytes(np.full(3, BACKGROUND)).tolist()))
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        corner = (i % columns * size, i // columns * size)
        sheet.paste(Image.fromarray(picture), corner)
        if labels:
            draw.text((corner[0] + size // 2, corner[1] + size - 8), labels[i], fill=(70, 70, 70), anchor="ms")
    return np.asarray(sheet)
