"""The face of a mesh closest to each point, by looking at all of them or through Warp's tree of boxes.

The closest point of a triangle is the foot of the perpendicular on its plane, if that lies inside, and else the nearest
of the closest points of its three edges, each the foot on the edge's line or an end (the regions of Ericson, Real-Time
Collision Detection, 2005, section 5.1.5). A triangle thinner than rounding is taken for its edges.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops.batches import Clouds

BUDGET = 2**18
"""Pairs of a point and a face held at once by the search over all of them."""

THIN = 16
"""Twice the area of a triangle over the sum of its squared edges, in units of rounding, up to which it has no plane."""

SLENDER = 3e-3
"""The same ratio up to which Warp's float32 barycentric coordinates are not trusted."""

FAR = 1e15
"""Largest coordinate in Warp's search, in units of the mesh: its square fits float32."""

Vectors = Float[Tensor, "*#shape 3"]


def corners(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "b f 3"]) -> Float[Tensor, "b f 3 3"]:
    """Return the three corners of each face, zeros for padding: for faces that name a vertex that is not there."""
    size = vertices.shape[1]
    index = torch.where(_named(faces, size)[..., None], faces, size).flatten(1)[..., None]
    padded = torch.nn.functional.pad(vertices, (0, 0, 0, 1))
    return padded.gather(1, index.expand(-1, -1, 3)).view(*faces.shape, 3)


def edges(corners: Float[Tensor, "*#shape 3 3"]) -> tuple[Vectors, Vectors, Vectors]:
    """Return the first corner of each triangle and the edges from it to the other two."""
    corner, second, third = corners.unbind(-2)
    return corner, second - corner, third - corner


def dot(a: Vectors, b: Vectors) -> Float[Tensor, "*#shape 1"]:
    """Return the inner product, keeping the axis; products and sums, which autocast leaves in their precision."""
    return a[..., :1] * b[..., :1] + a[..., 1:2] * b[..., 1:2] + a[..., 2:] * b[..., 2:]


def unit_of(*vectors: Vectors) -> Float[Tensor, "*#shape 1"]:
    """Return a power of two near the largest coordinate of each set of vectors, 1 if all are 0, without a gradient."""
    largest = torch.stack(torch.broadcast_tensors(*vectors)).detach().abs().amax((0, -1), keepdim=True)[0]
    return torch.where(largest > 0, largest, 1).log2().ceil().exp2()


def closest_in_triangle(query: Vectors, first: Vectors, second: Vectors) -> Vectors:
    """Return the point closest to `query` in the triangle with corners 0, `first` and `second`.

    Derivatives of every order are exact wherever the closest point is smooth and finite everywhere, triangles without
    area included. All is found at unit size, since the products of small edges would underflow.
    """
    unit = unit_of(first, second)
    query, first, second = query / unit, first / unit, second / unit
    best = _on_segment(query, first)
    best = _nearer(query, best, _on_segment(query, second))
    best = _nearer(query, best, first + _on_segment(query - first, second - first))
    inside, foot = _on_plane(query, first, second)
    return unit * torch.where(inside, _nearer(query, best, foot), best)


def closest_face_reference(
    points: Float[Tensor, "b p 3"],
    lengths: Int[Tensor, " b"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "b f 3"],
) -> Int[Tensor, "b p"]:
    """Return the face closest to each point, the lowest where distances are equal, -1 where there is none.

    Padding rows and points that are not finite have none, and padding faces and those with corners that are not finite
    are none.

    Args:
        points: Points (B, P, 3).
        lengths: Points of each cloud (B,).
        vertices: Vertices of each mesh (B, V, 3).
        faces: Rows of `vertices` (B, F, 3), -1 for padding.
    """
    if not faces.shape[1]:
        return torch.full(points.shape[:2], -1, device=points.device)
    triangles, there = _triangles(vertices, faces)
    rows = max(1, BUDGET // max(1, there.numel()))
    nearest = torch.cat([_lowest(block, triangles, there) for block in points.split(rows, dim=1)], dim=1)
    return torch.where(_answered(points, lengths) & there.any(1, keepdim=True), nearest, -1)


def closest_face_warp(
    points: Float[Tensor, "b p 3"],
    lengths: Int[Tensor, " b"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "b f 3"],
) -> Int[Tensor, "b p"]:
    """Return what `closest_face_reference` does, to float32's rounding in the frame of each mesh.

    Of faces whose distances differ by less than that any may be returned.

    Args:
        points: Points (B, P, 3).
        lengths: Points of each cloud (B,).
        vertices: Vertices of each mesh (B, V, 3).
        faces: Rows of `vertices` (B, F, 3), -1 for padding.
    """
    answer = torch.full(points.shape[:2], -1, device=points.device)
    _, there = _triangles(vertices, faces)
    for cloud, length in enumerate(lengths.tolist()):
        kept = there[cloud].nonzero()[:, 0]
        if length and len(kept):
            answer[cloud, :length] = kept[_search_trees(points[cloud, :length], vertices[cloud], faces[cloud, kept])]
    return torch.where(_answered(points, lengths), answer, -1)


def _search_trees(
    points: Float[Tensor, "p 3"], vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]
) -> Int[Tensor, " p"]:
    """Closest face by Warp, in a frame with the mesh at unit size about the origin.

    Warp's own distance to a slender triangle can be too large, and it passes over those without a plane. So what it
    finds is an upper bound, within which slender triangles are then searched with the formula of this file.
    """
    from geomflow.ops.kernels.closest import search  # loads Warp

    center = (vertices[faces].amin((0, 1)) + vertices[faces].amax((0, 1))) / 2
    unit = unit_of((vertices[faces] - center).abs().amax((0, 1)))
    places = ((points - center) / unit).nan_to_num(0).clamp(-FAR, FAR).float()
    local = ((vertices - center) / unit).float()
    width = _width(*edges(local[faces])[1:])[:, 0]
    flat, slender = (width > THIN * torch.finfo(local.dtype).eps).nonzero()[:, 0], (width <= SLENDER).nonzero()[:, 0]
    return torch.cat([flat, slender])[search(places, local, faces[flat].int(), local[faces[slender]])]


def _triangles(vertices: Tensor, faces: Tensor) -> tuple[Float[Tensor, "b f 3 3"], Bool[Tensor, "b f"]]:
    """Corners of the faces, and which of them are neither padding nor have a coordinate that is not finite."""
    triangles = corners(vertices, faces)
    return triangles, _named(faces, vertices.shape[1]) & triangles.isfinite().flatten(2).all(-1)


def _named(faces: Int[Tensor, "b f 3"], size: int) -> Bool[Tensor, "b f"]:
    """Which faces name vertices that there are."""
    return ((faces >= 0) & (faces < size)).all(-1)


def _answered(points: Float[Tensor, "b p 3"], lengths: Int[Tensor, " b"]) -> Bool[Tensor, "b p"]:
    """Which rows are points."""
    return Clouds(points, lengths).valid


def _lowest(
    block: Float[Tensor, "b rows 3"], triangles: Float[Tensor, "b f 3 3"], there: Bool[Tensor, "b f"]
) -> Int[Tensor, "b rows"]:
    """First of the closest faces; squares that overflow count as the largest number, so that no padding is chosen."""
    corner, first, second = (part[:, None] for part in edges(triangles))
    query = block[:, :, None] - corner
    gap = query - closest_in_triangle(query, first, second)
    largest = torch.finfo(gap.dtype).max
    return torch.where(there[:, None], dot(gap, gap)[..., 0].nan_to_num(largest, largest), torch.inf).argmin(-1)


def _on_segment(query: Vectors, end: Vectors) -> Vectors:
    """Closest point on the segment from 0 to `end`."""
    square = dot(end, end)
    return (dot(query, end) / torch.where(square > 0, square, 1)).clamp(0, 1) * end


def _on_plane(query: Vectors, first: Vectors, second: Vectors) -> tuple[Bool[Tensor, "*#shape 1"], Vectors]:
    """Whether the foot of the perpendicular lies inside the triangle, and the foot, 0 where it does not.

    It is v first + w second with v = (query x second) . n / n^2, w = (first x query) . n / n^2, n = first x second.
    """
    plane = _width(first, second) > THIN * torch.finfo(first.dtype).eps
    normal = torch.linalg.cross(first, second)
    square = torch.where(plane, dot(normal, normal), 1)
    v = dot(torch.linalg.cross(*torch.broadcast_tensors(query, second)), normal) / square
    w = dot(torch.linalg.cross(*torch.broadcast_tensors(first, query)), normal) / square
    inside = plane & (v >= 0) & (w >= 0) & (v + w <= 1)
    return inside, torch.where(inside, v, 0) * first + torch.where(inside, w, 0) * second


def _width(first: Vectors, second: Vectors) -> Float[Tensor, "*#shape 1"]:
    """Twice the area of a triangle over the sum of its squared edges: 0.29 if equilateral, 0 without area."""
    third, normal = second - first, torch.linalg.cross(first, second)
    squares = (dot(first, first) + dot(second, second) + dot(third, third)).detach()
    return dot(normal, normal).detach().sqrt() / torch.where(squares > 0, squares, 1)


def _nearer(query: Vectors, one: Vectors, other: Vectors) -> Vectors:
    """The point closer to `query`, `one` if they are equally close."""
    gap, other_gap = (query - one).detach(), (query - other).detach()
    return torch.where(dot(other_gap, other_gap) < dot(gap, gap), other, one)
