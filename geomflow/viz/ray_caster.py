"""Pictures of meshes without a display: a small ray caster on the Warp bounding-volume hierarchy.

One fixed camera looks at the unit cube (+y up, +z towards the viewer's left front), so that shapes on a sheet show
their true sizes. Shading: a soft key light with shadows, ambient occlusion, a ground plane; rays are seeded by pixel.
"""

from typing import Any, cast, no_type_check

import numpy as np
import trimesh

from geomflow.geometry.mesh_type import check_mesh
from geomflow.viz.camera import (
    AZIMUTH,
    BACKGROUND,
    ELEVATION,
    FIELD,
    LAMP,
    PALETTE,
    SAMPLES_PER_AXIS,
    Picture,
    Rgb,
    average,
    camera_at,
    to_bytes,
)
from geomflow.warp_runtime import wp

FARTHEST = 2.0
"""Largest coordinate of a mesh that is drawn: what is farther away is not in the picture."""

OCCLUSION_RAYS = wp.constant(10)
SHADOW_RAYS = wp.constant(3)
"""Rays per sample; the four samples of a pixel draw theirs independently."""

TOWARD_LAMP = wp.constant(wp.vec3(*LAMP))


def render(
    mesh: trimesh.Trimesh,
    size: int = 320,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    color: Rgb = PALETTE[0],
) -> Picture:
    """Return a square picture of a mesh that lies in the unit cube.

    Args:
        mesh: Mesh in [-1, 1]^3, +y up.
        size: Pixels per side.
        azimuth: Degrees by which the camera is turned from +z towards +x.
        elevation: Degrees above the horizon.
        color: Red, green and blue in [0, 1].

    Raises:
        TypeError: It is no mesh.
        ValueError: The mesh has no faces or is far from the unit cube, or the size is not positive.
    """
    check_mesh(mesh)
    if not len(mesh.faces):
        raise ValueError("mesh must have faces to be drawn, given one without any")
    farthest = float(np.abs(mesh.bounds).max())
    if farthest > FARTHEST:
        raise ValueError(
            f"mesh must lie in [-1, 1]^3 to be in the picture, its largest coordinate is {farthest:.3g}: "
            "draw normalize(mesh).mesh"
        )
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    fine = size * SAMPLES_PER_AXIS
    shade, hit = _cast(mesh, fine, camera_at(azimuth, elevation))
    ground = np.full(3, BACKGROUND)
    light = np.where(hit[:, None], shade[:, None] * np.asarray(color), shade[:, None] * ground)
    return to_bytes(average(light.reshape(fine, fine, 3), size))


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
        toward = wp.normalize(TOWARD_LAMP + 0.14 * wp.sample_unit_sphere_surface(state))
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
