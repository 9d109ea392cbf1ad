"""Surfaces for learning: points drawn from meshes, closest points on meshes, and normals of clouds.

Meshes are padded like clouds: vertices (B, V, 3) and faces (B, F, 3), rows of the vertices, with -1 for padding. A mesh
of PyTorch3D passes as `meshes.verts_padded(), meshes.faces_padded()`, one of trimesh as its arrays with a batch of one.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geomflow.ops._closest import closest_in_triangle, corners, dot, edges, unit_of
from geomflow.ops.batches import Clouds, check_integers, checked_3d, checked_clouds, checked_pair, readable
from geomflow.ops.chamfer import root
from geomflow.ops.dispatch import check_name, operator, problem_of, reference_only, run
from geomflow.ops.neighbours import knn_gather, knn_points


class ClosestPoints(NamedTuple):
    """What is closest to each point on its mesh.

    Attributes:
        points: The closest points themselves (B, P, 3), zeros where there is none.
        distances: Euclidean distances to them (B, P), 0 where there is none.
        faces: The faces they lie on (B, P), int64; -1 where there is none.
    """

    points: Float[Tensor, "b p 3"]
    distances: Float[Tensor, "b p"]
    faces: Int[Tensor, "b p"]


def sample_points_from_meshes(
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "b f 3"],
    num_samples: int = 10_000,
    return_normals: bool = False,
    *,
    generator: torch.Generator | None = None,
    backend: str = "auto",
) -> Float[Tensor, "b n 3"] | tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"]]:
    """Return points drawn uniformly by area from each mesh, with the unit normals of their faces if asked for.

    Faces are chosen by inverting the cumulative area in float64; inside a face the square-root map of two uniform
    numbers is uniform (Turk, Graphics Gems, 1990). A point is a fixed mixture of the corners of its face, which gives
    gradients of every order to the vertices; the choice of the face has none.

    Args:
        vertices: Vertices (B, V, 3) in any unit; half precision is computed in float32.
        faces: Rows of `vertices` (B, F, 3), -1 for padding.
        num_samples: Points N per mesh.
        return_normals: Whether to return normals too.
        generator: Where random numbers are drawn; the same seed gives the same points on every device.
        backend: `auto` or `reference`, which are the same here.

    Returns:
        Points (B, N, 3), or points and unit normals (B, N, 3), which follow the right hand around the corners of a
        face. Both are 0 for a mesh without area.

    Raises:
        ValueError: Shapes or devices do not fit, a face names a vertex that is not there, `num_samples` is negative,
            or there is no such backend.
        TypeError: The vertices are not a floating point tensor or the faces no integers.
    """
    reference_only("sample_points_from_meshes", backend)
    if num_samples < 0:
        raise ValueError(f"num_samples must be at least 0, given {num_samples}")
    mesh, faces = _checked_mesh(vertices, faces)
    draw = _uniform((3, len(faces), num_samples), generator, faces.device)
    chosen = _rows(faces, _choose(_areas(mesh.points.detach(), faces), draw[0]))
    corner, first, second = edges(corners(mesh.points, chosen))
    root, share = draw[1, ..., None].sqrt().to(corner.dtype), draw[2, ..., None].to(corner.dtype)
    points = corner + root * ((1 - share) * first + share * second)
    return (points, _unit(torch.linalg.cross(first, second))) if return_normals else points


def closest_point_on_mesh(
    points: Float[Tensor, "b p 3"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "b f 3"],
    lengths: Int[Tensor, " b"] | None = None,
    *,
    backend: str = "auto",
) -> ClosestPoints:
    """Return the point of each mesh closest to each point of its cloud, the distance, and the face.

    The search for the face is discrete; the closest point is then taken again on that face in torch, so points and
    vertices have exact gradients of every order. That of the distance by the point is the unit direction from the
    surface to the point, 0 on the surface itself.

    Args:
        points: Queries (B, P, 3), float32 or float64; half precision is computed in float32.
        vertices: Vertices (B, V, 3) in the same unit, of the same dtype.
        faces: Rows of `vertices` (B, F, 3), -1 for padding. A face without area counts as the segment or point that it
            is, one with a corner that is not finite as padding.
        lengths: Points of each cloud (B,), all of them by default.
        backend: `auto`, `reference` or `warp`. Warp searches in float32 in the frame of the mesh: of faces whose
            distances differ by less than its rounding it may take either.

    Raises:
        ValueError: Shapes, devices or lengths do not fit, a face names a vertex that is not there, or the backend
            cannot.
        TypeError: Points and vertices are not floating point tensors of one dtype, or faces and lengths no integers.
    """
    check_name("backend", backend)
    clouds, (mesh, faces) = checked_clouds("points", points, lengths), _checked_mesh(vertices, faces)
    checked_pair(("points", "vertices"), clouds, mesh)
    found = search_closest_face(clouds.points.detach(), clouds.lengths, mesh.points.detach(), faces, backend)
    corner, first, second = edges(corners(mesh.points, _rows(faces, found)))
    query = torch.where((found >= 0)[..., None], clouds.points, 0) - corner
    closest = closest_in_triangle(query, first, second)
    gap = query - closest
    return ClosestPoints(corner + closest, root(dot(gap, gap))[..., 0], found)


def estimate_normals(
    points: Float[Tensor, "b p 3"],
    lengths: Int[Tensor, " b"] | None = None,
    neighborhood_size: int = 50,
    disambiguate_directions: bool = True,
    *,
    backend: str = "auto",
) -> Float[Tensor, "b p 3"]:
    """Return unit normals: the direction in which the neighbours of each point spread least.

    It is the eigenvector of the smallest eigenvalue of their covariance (Hoppe et al., Surface Reconstruction from
    Unorganized Points, 1992). Its sign is arbitrary unless disambiguated: then it points to the side of the plane
    through the point on which more of the neighbours lie, as in SHOT (Tombari et al., ECCV 2010) and PyTorch3D, so
    towards the inside where the surface is convex; a tie leaves it arbitrary. Gradients are exact to second order, and
    0 where the neighbours spread equally little in two directions.

    Args:
        points: Clouds (B, P, 3) in any unit, float32 or float64; half precision is computed in float32.
        lengths: Points of each cloud (B,), all of them by default.
        neighborhood_size: Neighbours, the point itself being one; more than there are is fine.
        disambiguate_directions: Whether to choose the sign by the neighbours.
        backend: That of `knn_points`.

    Returns:
        Normals (B, P, 3), 0 for padding, points that are not finite, and points with fewer than 3 neighbours.

    Raises:
        ValueError: Shapes or lengths do not fit, `neighborhood_size` is below 3, or the backend cannot.
        TypeError: The points are not a floating point tensor.
    """
    clouds = checked_3d("points", points, lengths)
    if neighborhood_size < 3:
        raise ValueError(f"neighborhood_size must be at least 3, given {neighborhood_size}")
    count = max(1, min(neighborhood_size, points.shape[1]))
    detached = clouds.points.detach()
    idx = knn_points(detached, detached, clouds.lengths, clouds.lengths, K=count, backend=backend).idx
    enough = (idx >= 0).sum(-1, keepdim=True) >= 3
    idx = torch.where(enough, idx, -1)
    spread = _offsets(clouds.points, idx)
    normals = _least_axis(_covariance(spread, idx))
    return torch.where(enough, _turn(normals, spread) if disambiguate_directions else normals, 0)


def _checked_mesh(vertices: Tensor, faces: Tensor) -> tuple[Clouds, Int[Tensor, "b f 3"]]:
    """Vertices in float32 or float64 and faces in int64; whether faces are in range is looked at on the CPU only."""
    mesh = checked_3d("vertices", vertices, None)
    check_integers("faces", faces)
    if faces.ndim != 3 or faces.shape[2] != 3 or faces.shape[0] != vertices.shape[0]:
        raise ValueError(f"faces must have shape ({vertices.shape[0]}, faces, 3), given {tuple(faces.shape)}")
    if faces.device != vertices.device:
        raise ValueError(f"faces must be on {vertices.device} like the vertices, given {faces.device}")
    if readable(faces) and faces.numel() and not -1 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
        wanted = f"rows of {vertices.shape[1]} vertices or -1"
        raise ValueError(f"faces must be {wanted}, given {int(faces.min())} to {int(faces.max())}")
    return mesh, faces.long()


def _rows(faces: Int[Tensor, "b f 3"], index: Int[Tensor, "b n"]) -> Int[Tensor, "b n 3"]:
    """Faces by index, padding where the index is none."""
    padded = torch.nn.functional.pad(faces, (0, 0, 0, 1), value=-1)
    known = torch.where((index >= 0) & (index < faces.shape[1]), index, faces.shape[1])
    return padded.gather(1, known[..., None].expand(-1, -1, 3))


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Float[Tensor, "..."]:
    """Uniform numbers in [0, 1) in float64, drawn where the generator lives."""
    source = generator.device if generator else device
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=source).to(device)


def _areas(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "b f 3"]) -> Float[Tensor, "b f"]:
    """Twice the area of each face in float64, 0 where a corner is not finite."""
    _, first, second = edges(corners(vertices, faces).double())
    return torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1).nan_to_num(0, 0)


def _choose(weights: Float[Tensor, "b f"], uniform: Float[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Indices drawn in proportion to the weights, never one of weight 0, past the end where there is no other."""
    cumulative = torch.nn.functional.pad(weights, (0, 1)).cumsum(1)
    total = cumulative[:, -1:]
    below = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, below, right=True)


def _unit(vectors: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
    """Vectors of length 1, zeros where they are zeros."""
    scaled = vectors / unit_of(vectors)
    square = dot(scaled, scaled)
    return scaled / torch.where(square > 0, square, 1).sqrt()


def _closest_face(points: Tensor, lengths: Tensor, vertices: Tensor, faces: Tensor, backend: str) -> Tensor:
    """Indices of the closest faces, -1 where there is none."""
    if not (points.numel() and faces.numel()):
        return torch.full(points.shape[:2], -1, device=points.device)
    problem = problem_of("closest_face", points, faces, 1)
    return run(problem, backend, points.contiguous(), lengths, vertices.contiguous(), faces.contiguous())


search_closest_face = operator(
    _closest_face,
    lambda points, lengths, vertices, faces, backend: points.new_empty(points.shape[:2], dtype=torch.int64),
)


def _offsets(points: Float[Tensor, "b p 3"], idx: Int[Tensor, "b p k"]) -> Float[Tensor, "b p k 3"]:
    """Neighbours relative to their point in units of their size, zeros where there is none."""
    there = (idx >= 0)[..., None]
    offsets = torch.where(there, knn_gather(points, idx) - points[:, :, None], 0)
    return offsets / unit_of(offsets).amax(2, keepdim=True)


def _covariance(spread: Float[Tensor, "b p k 3"], idx: Int[Tensor, "b p k"]) -> Float[Tensor, "b p 3 3"]:
    """Covariance of the neighbours."""
    there = (idx >= 0)[..., None]
    count = there.sum(2).clamp(min=1)
    centered = torch.where(there, spread - (spread.sum(2) / count)[:, :, None], 0)
    return torch.stack([(centered * centered[..., axis, None]).sum(2) / count for axis in range(3)], dim=2)


def _least_axis(covariance: Float[Tensor, "b p 3 3"]) -> Float[Tensor, "b p 3"]:
    """Unit eigenvector of the smallest eigenvalue of each matrix, differentiable twice.

    The derivative of `eigh` divides by differences of all eigenvalues and is NaN where any two are equal. Instead the
    vector is found without a gradient and improved twice by n <- n - P (C n - (n . C n) n), with the constant P that
    solves for the correction: each round leaves the value as it is, up to rounding, and makes one more order of the
    derivative exact. Where the smallest eigenvalue is not a single one, P is 0.
    """
    solver, vector = _correction(covariance.detach())
    for _ in range(2):
        image = _apply(covariance, vector)
        vector = vector - _apply(solver, image - dot(vector, image) * vector)
        vector = vector / dot(vector, vector).sqrt()
    return vector


def _correction(covariance: Float[Tensor, "b p 3 3"]) -> tuple[Float[Tensor, "b p 3 3"], Float[Tensor, "b p 3"]]:
    """P = sum over the larger eigenvalues of e e^T / (their distance from the smallest), and the smallest's vector."""
    values, vectors = torch.linalg.eigh(covariance)
    gaps = values[..., 1:] - values[..., :1]
    single = gaps > 16 * torch.finfo(values.dtype).eps * values[..., -1:]
    weights = torch.where(single, 1 / torch.where(single, gaps, 1), 0)
    larger = vectors[..., 1:]
    return (larger[..., :, None, :] * larger[..., None, :, :] * weights[..., None, None, :]).sum(-1), vectors[..., 0]


def _apply(matrix: Float[Tensor, "b p 3 3"], vector: Float[Tensor, "b p 3"]) -> Float[Tensor, "b p 3"]:
    """Matrix times vector as products and sums, which autocast leaves in their precision."""
    return (matrix * vector[..., None, :]).sum(-1)


def _turn(normals: Float[Tensor, "b p 3"], spread: Float[Tensor, "b p k 3"]) -> Float[Tensor, "b p 3"]:
    """Normals on the side where more neighbours lie."""
    side = dot(spread, normals[:, :, None]).detach().sign().sum(2)
    return torch.where(side < 0, -normals, normals)
