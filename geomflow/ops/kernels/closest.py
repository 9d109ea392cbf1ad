"""Warp's part of the closest face: its own search, and another one over slender triangles that it gets wrong."""

import contextlib
from typing import Any, no_type_check

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.ops.kernels.boxes import OPTIONS
from geomflow.ops.launch import array, launch, vectors
from geomflow.warp_runtime import wp
from geomflow.warp_triangles import to_triangle

wp.set_module_options(OPTIONS)

REACH = 1e18
"""Farthest that a closest face may be: its square fits float32."""


def search(
    points: Float[Tensor, "p 3"],
    vertices: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    slender: Float[Tensor, "s 3 3"],
) -> Int[Tensor, " p"]:
    """Return the face, or F + the slender triangle, closest to each point; there must be at least one of either.

    Args:
        points: Finite points (P, 3), float32, with coordinates up to 1e15.
        vertices: Corners of the faces, about unit size (V, 3).
        faces: Rows of `vertices` (F, 3), int32, each a triangle with an area.
        slender: Corners of further triangles (S, 3, 3), which may be faces, too, and without an area.
    """
    distance = points.new_full((len(points),), torch.inf)
    face = torch.zeros(len(points), dtype=torch.int32, device=points.device)
    results = [vectors(points), array(distance), array(face)]
    with _stream(points.device):
        trees = [_search_faces(vertices, faces, results), _search_slender(slender, len(faces), results)]
        if points.is_cuda:
            torch.cuda.current_stream(points.device).synchronize()
        del trees
    return face.long()


def _search_faces(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], results: list[Any]) -> Any:
    """Fill in the closest face; returns the tree, which must outlive the launch."""
    if not len(faces):
        return None
    mesh = wp.Mesh(vectors(vertices), array(faces.flatten()))
    launch(nearest_face, len(results[0]), [mesh.id, *results], faces.device)
    return mesh


def _search_slender(triangles: Float[Tensor, "s 3 3"], before: int, results: list[Any]) -> Any:
    """Fill in a slender triangle where it is closer still; returns the tree, which must outlive the launch."""
    if not len(triangles):
        return None
    tree = wp.Bvh(vectors(triangles.amin(1)), vectors(triangles.amax(1)))
    launch(nearer_triangle, len(results[0]), [tree.id, vectors(triangles), before, *results], triangles.device)
    return tree


def _stream(device: torch.device) -> Any:
    """Warp on torch's current stream, where there are streams."""
    return wp.ScopedStream(wp.stream_from_torch(device)) if device.type == "cuda" else contextlib.nullcontext()


@wp.kernel(enable_backward=False)
@no_type_check
def nearest_face(
    first: wp.int32,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    distance: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int32),
):
    """The face nearest to each point and its distance."""
    i = first + wp.tid()
    query = wp.mesh_query_point_no_sign(mesh, points[i], wp.static(REACH))
    if query.result:
        distance[i] = wp.length(points[i] - wp.mesh_eval_position(mesh, query.face, query.u, query.v))
        face[i] = query.face


@wp.kernel(enable_backward=False)
@no_type_check
def nearer_triangle(
    first: wp.int32,
    tree: wp.uint64,
    triangles: wp.array2d(dtype=wp.vec3),
    before: wp.int32,
    points: wp.array(dtype=wp.vec3),
    distance: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int32),
):
    """The triangle nearest to each point, numbered from `before` on, where it is nearer than what has been found."""
    i = first + wp.tid()
    best = distance[i]
    around = wp.vec3(best, best, best)
    query = wp.bvh_query_aabb(tree, points[i] - around, points[i] + around)
    t = wp.int32(0)
    while wp.bvh_query_next(query, t):
        corner = triangles[t, 0]
        d = to_triangle(points[i] - corner, triangles[t, 1] - corner, triangles[t, 2] - corner)
        if d < best:
            best = d
            face[i] = before + t
    distance[i] = best
