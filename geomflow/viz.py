"""Pictures without a display: a small ray caster on the Warp bounding-volume hierarchy, and sheets of many shapes.

One fixed camera looks at the unit cube (+y up, +z towards the viewer's left front), so that shapes on a sheet show
their true sizes. Shading: a soft key light with shadows, ambient occlusion, a ground plane; rays are seeded by pixel.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, no_type_check

import numpy as np
import trimesh
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw

from geomflow.files import write_atomically
from geomflow.geometry.frame import similarity_of
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

BACKGROUND = 0.975
SAMPLES_PER_AXIS = 2

FIELD = wp.constant(0.28)
"""Tangent of half the angle that a picture shows."""

BONE, JOINT, BONE_DOTS = (0.15, 0.15, 0.15), (0.85, 0.1, 0.1), 60
"""Colours of skeletons, and dots along a bone."""

UNIT_BOX = np.array([[-1.0] * 3, [1.0] * 3])

DARK = 170
"""Pixels with a channel below this are dots, others the ground around them."""

OCCLUSION_RAYS = wp.constant(10)
SHADOW_RAYS = wp.constant(3)
"""Rays per sample; the four samples of a pixel draw theirs independently."""


def render(
    mesh: trimesh.Trimesh, size: int = 320, azimuth: float = 35.0, elevation: float = 18.0, color: Rgb = PALETTE[0]
) -> Picture:
    """Return a square picture of a mesh that lies in the unit cube.

    Args:
        mesh: Mesh in [-1, 1]^3, +y up.
        size: Pixels per side.
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.
        color: Red, green and blue in [0, 1].

    Raises:
        ValueError: The mesh has no faces, or the size is not positive.
    """
    if not len(mesh.faces):
        raise ValueError("mesh must have faces to be drawn, given one without any")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    fine = size * SAMPLES_PER_AXIS
    shade, hit = _cast(mesh, fine, _camera(azimuth, elevation))
    ground = np.full(3, BACKGROUND)
    light = np.where(hit[:, None], shade[:, None] * np.asarray(color), shade[:, None] * ground)
    return _to_bytes(_average(light.reshape(fine, fine, 3), size))


def render_points(
    points: Float[np.ndarray, "n 3"],
    size: int = 320,
    azimuth: float = 35.0,
    elevation: float = 18.0,
    *,
    colors: Float[np.ndarray, "n 3"] | None = None,
    frame: Float[np.ndarray, "m 3"] | None = None,
    radius: int = 1,
) -> Picture:
    """Return a square picture of points as small squares, nearer ones darker and in front.

    Args:
        points: Points, any unit; those that are not finite are left out.
        size: Pixels per side.
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.
        colors: Red, green and blue in [0, 1] of each point; the first of the palette if not given.
        frame: Points whose box fills the picture; the points themselves if not given.
        radius: Half edge of a square, in half pixels.

    Raises:
        ValueError: There is no finite point, or the size is not positive.
    """
    there = np.isfinite(points).all(axis=1)
    if not there.any() or size < 1:
        raise ValueError(f"wanted points to draw on at least 1 pixel, given {there.sum()} finite ones and size {size}")
    similarity, fine = similarity_of(points[there] if frame is None else frame, margin=1.0), size * SAMPLES_PER_AXIS
    eye, right, up, forward = _camera(azimuth, elevation)
    seen = similarity.apply(points[there]) - eye
    depth = seen @ forward
    place = np.stack([-(seen @ up), seen @ right], axis=1) / (FIELD * depth[:, None])
    nearness = ((depth - np.linalg.norm(eye) + 1) / 2).clip(0, 1)[:, None]
    base = np.broadcast_to(PALETTE[0], (len(depth), 3)) if colors is None else colors[there]
    light = base + (BACKGROUND - base) * 0.55 * nearness
    canvas = np.full((fine, fine, 3), BACKGROUND)
    order = np.argsort(-depth)
    corner = ((place[order] + 1) / 2 * fine).astype(int)
    for shift in np.ndindex(2 * radius, 2 * radius):
        row, column = (corner + shift - radius).T
        inside = (row >= 0) & (row < fine) & (column >= 0) & (column < fine)
        canvas[row[inside], column[inside]] = light[order][inside]
    return _to_bytes(_average(canvas, size))


def render_skeleton(
    mesh: trimesh.Trimesh,
    joints: Float[np.ndarray, "j 3"],
    parents: Integer[np.ndarray, " j"],
    size: int = 320,
    azimuth: float = 35.0,
    elevation: float = 18.0,
) -> Picture:
    """Return a square picture of a mesh with its skeleton over it, as if it were glass: joints red, bones black.

    Args:
        mesh: Mesh in [-1, 1]^3, +y up.
        joints: Joints in the same frame.
        parents: Parent of each joint, -1 for a root.
        size: Pixels per side.
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.

    Raises:
        ValueError: The mesh has no faces, there is no joint, or the size is not positive.
    """
    picture = render(mesh, size, azimuth, elevation)
    upper = joints[np.where(parents < 0, np.arange(len(joints)), parents)]
    bones = np.vstack([(1 - t) * joints + t * upper for t in np.linspace(0, 1, BONE_DOTS)])
    for points, paint, radius in ((bones, BONE, 2), (joints, JOINT, max(3, size // 60))):
        colors = np.broadcast_to(paint, (len(points), 3))
        dots = render_points(points, size, azimuth, elevation, colors=colors, frame=UNIT_BOX, radius=radius)
        picture = np.where(dots.min(axis=2, keepdims=True) < DARK, dots, picture)
    return picture


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
        ValueError: No meshes, no columns, or labels of another number.
    """
    if not meshes or columns < 1:
        raise ValueError(f"wanted at least one mesh and one column, given {len(meshes)} and {columns}")
    if labels and len(labels) != len(meshes):
        raise ValueError(f"wanted as many labels as meshes, given {len(labels)} for {len(meshes)}")
    pictures = [render(mesh, size, color=PALETTE[i % len(PALETTE)]) for i, mesh in enumerate(meshes)]
    return _tile(pictures, min(columns, len(pictures)), labels)


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
    return _tile(enlarged, min(columns, len(images)), ())


def save_png(picture: Picture, path: str | Path) -> None:
    """Write a picture; the file appears whole or not at all.

    Args:
        picture: The pixels.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    import io

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    write_atomically(Path(path), buffer.getvalue())


def _tile(pictures: list[np.ndarray], columns: int, labels: Sequence[str]) -> np.ndarray:
    size, rows = pictures[0].shape[0], -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * size, rows * size), tuple(_to_bytes(np.full(3, BACKGROUND)).tolist()))
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        corner = (i % columns * size, i // columns * size)
        sheet.paste(Image.fromarray(picture), corner)
        if labels:
            draw.text((corner[0] + size // 2, corner[1] + size - 8), labels[i], fill=(70, 70, 70), anchor="ms")
    return np.asarray(sheet)


def _camera(azimuth: float, elevation: float) -> Float[np.ndarray, "4 3"]:
    """Eye, and unit vectors to the right, up and forward."""
    a, e = np.radians(azimuth), np.radians(elevation)
    back = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.stack([5.2 * back, right, np.cross(back, right), -back])


def _cast(mesh: trimesh.Trimesh, size: int, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightness of every ray, and whether it met the mesh (size * size,)."""
    vertices = np.asarray(mesh.vertices, dtype=np.float32)
    indices = wp.array(np.asarray(mesh.faces, dtype=np.int32).ravel(), dtype=wp.int32, device="cpu")
    tree = wp.Mesh(points=wp.array(vertices, dtype=wp.vec3, device="cpu"), indices=indices)
    brightness = wp.empty(size * size, dtype=cast(Any, wp.float32), device="cpu")
    hit = wp.empty(size * size, dtype=cast(Any, wp.int32), device="cpu")
    normals = wp.array(np.asarray(mesh.vertex_normals, dtype=np.float32), dtype=wp.vec3, device="cpu")
    view = [wp.vec3(*map(float, row)) for row in camera]
    inputs = [tree.id, normals, indices, *view, float(vertices[:, 1].min()), size]
    wp.launch(cast(Any, _shade), size * size, [*inputs, brightness, hit], device="cpu")
    return brightness.numpy(), hit.numpy().astype(bool)


def _average(fine: np.ndarray, size: int) -> np.ndarray:
    return fine.reshape(size, SAMPLES_PER_AXIS, size, SAMPLES_PER_AXIS, 3).mean(axis=(1, 3))


def _to_bytes(light: np.ndarray) -> np.ndarray:
    return (255 * light.clip(0, 1)).round().astype(np.uint8)


@wp.func
@no_type_check
def _open(mesh: wp.uint64, point: wp.vec3, direction: wp.vec3, far: float):
    """Whether nothing stands within `far` of a point in a direction."""
    return not wp.mesh_query_ray_anyhit(mesh, point, direction, far)


@wp.func
@no_type_check
def _lit(mesh: wp.uint64, point: wp.vec3, normal: wp.vec3, state: wp.uint32):
    """Share of a round lamp that a point sees, times the cosine of its light."""
    total = wp.float32(0.0)
    for _k in range(SHADOW_RAYS):
        toward = wp.normalize(wp.vec3(0.41, 0.77, 0.50) + 0.14 * wp.sample_unit_sphere_surface(state))
        facing = wp.dot(normal, toward)
        if facing > 0.0 and _open(mesh, point, toward, 10.0):
            total += facing
    return total / float(SHADOW_RAYS)


@wp.func
@no_type_check
def _unoccluded(mesh: wp.uint64, point: wp.vec3, normal: wp.vec3, state: wp.uint32):
    """Cosine-weighted share of the hemisphere over a point that is free nearby."""
    free = wp.float32(0.0)
    for _k in range(OCCLUSION_RAYS):
        direction = wp.normalize(1.001 * normal + wp.sample_unit_sphere_surface(state))
        if _open(mesh, point, direction, 0.8):
            free += 1.0
    return free / float(OCCLUSION_RAYS)


@wp.func
@no_type_check
def _nearly(normal: wp.vec3, flat: wp.vec3):
    """Whether a corner's normal is close enough to its face's for the corner to be rounded and not an edge."""
    return wp.dot(normal, flat) > 0.8


@wp.kernel(enable_backward=False)
@no_type_check
def _shade(
    mesh: wp.uint64,
    normals: wp.array(dtype=wp.vec3),  # pyright: ignore
    indices: wp.array(dtype=wp.int32),  # pyright: ignore
    eye: wp.vec3,
    right: wp.vec3,
    up: wp.vec3,
    forward: wp.vec3,
    floor: float,
    size: int,
    brightness: wp.array(dtype=wp.float32),  # pyright: ignore
    hit: wp.array(dtype=wp.int32),  # pyright: ignore
):
    i = wp.tid()
    state = wp.rand_init(7, i)
    x = (2.0 * (float(i % size) + 0.5) / float(size) - 1.0) * FIELD
    y = (1.0 - 2.0 * (float(i // size) + 0.5) / float(size)) * FIELD
    ray = wp.normalize(forward + right * x + up * y)
    query = wp.mesh_query_ray(mesh, eye, ray, 20.0)
    hit[i] = 0
    brightness[i] = 1.0
    if query.result:
        a, b, c = indices[3 * query.face], indices[3 * query.face + 1], indices[3 * query.face + 2]
        flat = wp.normalize(query.normal)
        normal = flat
        if _nearly(normals[a], flat) and _nearly(normals[b], flat) and _nearly(normals[c], flat):
            normal = wp.normalize(query.u * normals[a] + query.v * normals[b] + (1.0 - query.u - query.v) * normals[c])
        if wp.dot(flat, ray) > 0.0:
            normal, flat = -normal, -flat
        point = eye + ray * query.t + flat * 2.0e-3
        fill = 0.5 + 0.5 * wp.max(wp.dot(normal, wp.normalize(-forward + right * -0.6)), 0.0)
        ambient = _unoccluded(mesh, point, flat, state) * (0.75 + 0.25 * normal[1])
        brightness[i] = 0.16 + 0.55 * ambient * fill + 0.80 * _lit(mesh, point, normal, state)
        hit[i] = 1
    elif ray[1] < 0.0:
        point = eye + ray * ((floor - eye[1]) / ray[1]) + wp.vec3(0.0, 2.0e-3, 0.0)
        ground = wp.vec3(0.0, 1.0, 0.0)
        if wp.abs(point[0]) < 1.8 and wp.abs(point[2]) < 1.8:
            shadow = _lit(mesh, point, ground, state) / 0.77
            brightness[i] = wp.min(1.0, 0.55 + 0.20 * shadow + 0.25 * _unoccluded(mesh, point, ground, state))
