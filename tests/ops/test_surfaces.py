"""Surfaces against closed forms (cube, plane, sphere, moments of a triangle), trimesh, and finite differences."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from torch.autograd import gradcheck, gradgradcheck

from geomflow.ops import surfaces
from geomflow.ops._closest import closest_face_reference, closest_face_warp, closest_in_triangle
from geomflow.ops.surfaces import closest_point_on_mesh, estimate_normals, sample_points_from_meshes

SEARCHES = ["reference", "warp"]
TRIANGLE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]], dtype=torch.float64)
FACE = torch.tensor([[[0, 1, 2]]])
REGIONS = torch.tensor(  # over the inside, beyond each edge, beyond each vertex
    [[[0.2, 0.3, 0.5], [0.3, -0.4, 0.2], [0.8, 0.7, 0.2], [-0.3, 0.4, -0.1], [-0.4, -0.3, 0.1], [1.5, -0.1, 0.3]]],
    dtype=torch.float64,
)
FLAT = [
    [[0, 0, 0]] * 3,
    [[0, 0, 0], [1, 0, 0], [2, 0, 0]],
    [[0, 0, 0], [2, 0, 0], [1, 0, 0]],
    [[1, 0, 0]] * 2 + [[2, 0, 0]],
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensors(mesh: trimesh.Trimesh, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(mesh.vertices, dtype=dtype)[None], torch.tensor(mesh.faces, dtype=torch.int64)[None]


def soup(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, lengths, vertices and faces: triangles through each other, some without area, some padding."""
    points, vertices = (torch.randn(2, n, 3, generator=seeded(n), dtype=dtype) * s for n, s in ((400, 1.5), (90, 1)))
    faces = torch.randint(0, 90, (2, 60, 3), generator=seeded())
    faces[0, 50:], faces[0, 7] = -1, faces[0, 7, :1]
    faces[1, ::3, 2] = faces[1, ::3, 1]
    points[0, 3, 1] = torch.nan
    return points, torch.tensor([400, 250]), vertices, faces


def in_soup(points, lengths, vertices, faces) -> torch.Tensor:
    return (torch.arange(points.shape[1]) < lengths[:, None]) & points.isfinite().all(-1)


def distance_to(points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Distances (P,) from points to the mesh of vertices (V, 3) and faces (F, 3), by trimesh in float64."""
    mesh = trimesh.Trimesh(vertices.double().numpy(), faces.numpy(), process=False)
    return torch.tensor(trimesh.proximity.closest_point_naive(mesh, points.double().numpy())[1])


def rotation(seed: int = 0) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(3, 3, generator=seeded(seed), dtype=torch.float64)).Q


# --- samples ---------------------------------------------------------------------------------------------------------


def test_samples_lie_on_their_faces_and_normals_are_theirs():
    vertices, faces = tensors(trimesh.creation.box(extents=(1, 2, 3)), torch.float64)
    points, normals = sample_points_from_meshes(vertices, faces, 2000, True, generator=seeded())
    half = torch.tensor([0.5, 1, 1.5], dtype=torch.float64)
    assert (points.abs() <= half + 1e-12).all()
    assert torch.allclose((points * normals).sum(-1), (half * normals.abs()).sum(-1), atol=1e-12)
    assert torch.allclose(normals.abs().amax(-1), torch.ones(1, 2000, dtype=torch.float64))


def test_faces_are_chosen_in_proportion_to_their_area():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [6, 0, 0], [5, 3, 0]]])
    points = sample_points_from_meshes(vertices, torch.tensor([[[0, 1, 2], [3, 4, 5]]]), 40_000, generator=seeded())
    first = int((points[0, :, 0] < 2).sum())
    chi_square = (first - 10_000) ** 2 * (1 / 10_000 + 1 / 30_000)
    assert chi_square < 6.63  # passed by 99 of 100 seeds


def test_samples_are_uniform_within_a_triangle():
    corners = torch.tensor([[0.2, -1, 3], [2, 0.5, 1], [-1, 4, 0]], dtype=torch.float64)
    count = 100_000
    points = sample_points_from_meshes(corners[None], FACE, count, generator=seeded())[0]
    center = corners.mean(0)
    covariance = (corners - center).T @ (corners - center) / 12
    assert ((points.mean(0) - center).abs() < 4 * (covariance.diagonal() / count).sqrt()).all()
    assert torch.allclose(points.T.cov(), covariance, atol=4 * float(covariance.diagonal().max()) / math.sqrt(count))


def test_samples_of_a_sphere_have_normals_along_their_radius():
    sphere = trimesh.creation.icosphere(subdivisions=4)
    points, normals = sample_points_from_meshes(*tensors(sphere), 5000, True, generator=seeded())
    cosine = (torch.nn.functional.normalize(points, dim=-1) * normals).sum(-1)
    assert float(cosine.min()) > math.cos(float(sphere.edges_unique_length.max()) / math.sqrt(3) * 1.01)


def test_each_mesh_of_a_batch_is_sampled_by_itself():
    box, ball = trimesh.creation.box(), trimesh.creation.icosphere(subdivisions=1, radius=3)
    vertices, faces = torch.full((3, 42, 3), torch.nan), torch.full((3, 80, 3), -1)
    for row, mesh in enumerate((box, ball)):
        vertices[row, : len(mesh.vertices)], faces[row, : len(mesh.faces)] = (part[0] for part in tensors(mesh))
    vertices.requires_grad_()
    points, normals = sample_points_from_meshes(vertices, faces, 500, True, generator=seeded())
    (points.sum() + normals.square().sum()).backward()
    assert torch.allclose(points[0].abs().amax(-1), torch.tensor(0.5))
    assert (points[1].norm(dim=-1) > 2.6).all()
    assert not points[2].any()
    assert not normals[2].any()
    assert not vertices.grad[0, 8:].any()
    assert not vertices.grad[2].any()
    assert torch.allclose(vertices.grad.sum(1)[:2], torch.tensor(500.0))


def test_meshes_without_area_give_zeros():
    vertices = torch.tensor([[[1.0, 2, 3], [2, 4, 6], [3, 6, 9]], [[1, 2, 3], [2, 4, 6], [torch.nan, 0, 0]]])
    points, normals = sample_points_from_meshes(vertices, FACE.expand(2, -1, -1), 5, True)
    assert not points.any()
    assert not normals.any()
    assert not sample_points_from_meshes(vertices, FACE[:, :0].expand(2, -1, -1), 5).any()
    assert sample_points_from_meshes(vertices[:, :0], FACE[:, :0].expand(2, -1, -1), 5).shape == (2, 5, 3)
    assert sample_points_from_meshes(vertices[:0], FACE[:0], 5).shape == (0, 5, 3)
    assert sample_points_from_meshes(vertices, FACE.expand(2, -1, -1), 0).shape == (2, 0, 3)


def test_no_face_without_area_is_ever_chosen():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]]])
    faces = torch.tensor([[[3, 3, 3], [3, 3, 0], [0, 1, 2], [3, 3, 3], [-1, -1, -1]]])
    points, normals = sample_points_from_meshes(vertices, faces, 1000, True, generator=seeded())
    assert (points.amax() <= 1).all()
    assert torch.equal(normals, torch.tensor([0.0, 0, 1]).expand(1, 1000, 3))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_samples_have_no_scale_of_their_own(scale):
    vertices, faces = tensors(trimesh.creation.icosphere(subdivisions=2))
    points, normals = sample_points_from_meshes(vertices, faces, 100, True, generator=seeded())
    scaled, same = sample_points_from_meshes(vertices * scale, faces, 100, True, generator=seeded())
    assert torch.allclose(scaled / scale, points, atol=1e-5)
    assert torch.allclose(same, normals, atol=1e-5)


def test_samples_have_exact_gradients_of_two_orders():
    vertices = torch.randn(2, 5, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[[0, 1, 2], [2, 3, 4]], [[4, 1, 0], [-1, -1, -1]]])

    def draw(vertices):
        return sample_points_from_meshes(vertices, faces, 6, True, generator=seeded())

    assert gradcheck(draw, (vertices,))
    assert gradgradcheck(draw, (vertices,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_samples_are_computed_in_float32(dtype):
    vertices, faces = tensors(trimesh.creation.box())
    points = sample_points_from_meshes(vertices.to(dtype), faces.int(), 50, generator=seeded())
    assert torch.equal(points, sample_points_from_meshes(vertices, faces, 50, generator=seeded()))


# --- closest points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", SEARCHES)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_closest_point_of_a_cube_is_a_clamp(backend, offset):
    vertices, faces = tensors(trimesh.creation.box(extents=(2, 2, 2)))
    points = torch.rand(1, 3000, 3, generator=seeded()) * 4 - 2
    points = (points * 256).round() / 256  # exact at the offset too
    outwards = points.abs() == points.abs().amax(-1, keepdim=True)
    within = (points.abs() < 1).all(-1, keepdim=True)
    exact = torch.where(within & outwards, points.sign(), points.clamp(-1, 1))
    found = closest_point_on_mesh(points + offset, vertices + offset, faces, backend=backend)
    unique = ~within[..., 0] | (outwards.sum(-1) == 1)
    assert torch.allclose(found.points[unique] - offset, exact[unique], atol=1e-6 + offset * 1e-7)
    assert torch.allclose(found.distances[unique], (points - exact).norm(dim=-1)[unique], atol=1e-6)


@pytest.mark.parametrize("backend", SEARCHES)
def test_closest_points_of_a_soup_agree_with_trimesh(backend):
    batch = soup()
    points, lengths, vertices, faces = batch
    found = closest_point_on_mesh(points, vertices, faces, lengths, backend=backend)
    for b, there in enumerate(in_soup(*batch)):
        real = faces[b][(faces[b] >= 0).all(-1)]
        exact = distance_to(points[b, there], vertices[b], real).float()
        assert torch.allclose(found.distances[b, there], exact, atol=1e-5)
        assert torch.allclose((points - found.points)[b, there].norm(dim=-1), exact, atol=1e-5)


def test_both_searches_find_the_same_distances():
    points, lengths, vertices, faces = batch = soup()
    found = [search(*(batch[i] for i in (0, 1, 2, 3))) for search in (closest_face_reference, closest_face_warp)]
    there = in_soup(*batch)
    assert all(((index >= 0) == there).all() for index in found)
    distances = [closest_point_on_mesh(points, vertices, faces, lengths, backend=name).distances for name in SEARCHES]
    assert torch.allclose(*distances, atol=1e-5)


@pytest.mark.parametrize("height", [1e-8, 3e-6, 1e-4, 1e-2])
def test_slender_triangles_are_found(height):
    start, along, aside = torch.randn(3, 600, 3, generator=seeded(), dtype=torch.float64)
    along = torch.nn.functional.normalize(along, dim=-1)
    aside = height * torch.nn.functional.normalize(torch.linalg.cross(along, aside), dim=-1)
    vertices = torch.stack([start, start + along, start + 0.3 * along + aside], dim=1).view(1, -1, 3).float()
    faces, points = torch.arange(1800).view(1, 600, 3), torch.randn(1, 200, 3, generator=seeded(1))
    exact = closest_point_on_mesh(points.double(), vertices.double(), faces).distances.float()
    found = [closest_point_on_mesh(points, vertices, faces, backend=name).distances for name in SEARCHES]
    assert all(torch.allclose(distances, exact, atol=2e-6) for distances in found)


def test_the_lowest_face_wins_among_equals():
    vertices, faces = tensors(trimesh.creation.box())
    found = closest_face_reference(torch.zeros(1, 1, 3), torch.tensor([1]), vertices, faces.tile(1, 3, 1))
    assert int(found) == 0


@pytest.mark.parametrize("name", ["spot.obj", "fandisk.obj"])
def test_closest_points_of_real_meshes(name, data_root):
    mesh = trimesh.load(data_root / "classics" / name, force="mesh", process=False)
    (vertices, faces), (low, high) = tensors(mesh), mesh.bounds
    points = torch.tensor(np.random.default_rng(0).uniform(low - 0.1, high + 0.1, (2000, 3)), dtype=torch.float32)
    found = closest_point_on_mesh(points[None], vertices, faces, backend="warp")
    size = float((high - low).max())
    assert torch.allclose(
        found.distances[0, :40], distance_to(points[:40], vertices[0], faces[0]).float(), atol=1e-5 * size
    )
    few = closest_point_on_mesh(points[None, :40], vertices, faces, backend="reference")
    assert torch.allclose(found.distances[:, :40], few.distances, atol=1e-5 * size)
    again = closest_point_on_mesh(found.points, vertices, faces)
    assert float(again.distances.max()) < 1e-5 * size


@pytest.mark.parametrize("backend", SEARCHES)
@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_closest_points_have_no_scale_of_their_own(backend, scale):
    points, lengths, vertices, faces = soup()
    found = closest_point_on_mesh(points, vertices, faces, lengths, backend=backend)
    scaled = closest_point_on_mesh(points * scale, vertices * scale, faces, lengths, backend=backend)
    assert torch.allclose(scaled.distances / scale, found.distances, atol=1e-5)


def test_far_away_points_have_an_answer():
    vertices, faces = tensors(trimesh.creation.box())
    points = torch.tensor([[[1e5, 0, 0], [0, -1e25, 0], [0, 0, 3e38]]])
    for backend in SEARCHES:
        found = closest_point_on_mesh(points, vertices, faces, backend=backend)
        assert (found.faces >= 0).all()
        assert math.isclose(float(found.points[0, 0, 0]), 0.5, rel_tol=1e-6)


def test_closest_points_have_exact_gradients_of_two_orders():
    turn = rotation()
    points, vertices = (REGIONS @ turn).requires_grad_(), (TRIANGLE @ turn).requires_grad_()

    def both(points, vertices):
        return closest_point_on_mesh(points, vertices, FACE, backend="reference")[:2]

    assert gradcheck(both, (points, vertices))
    assert gradgradcheck(both, (points, vertices))


def test_the_jacobian_of_the_projection_is_that_of_its_region():
    def project(points):
        return closest_point_on_mesh(points, TRIANGLE, FACE).points.sum((0, 1))

    jacobian = torch.autograd.functional.jacobian(project, REGIONS)[:, 0].transpose(0, 1)
    diagonal = torch.tensor([0.5, -0.5, 0], dtype=torch.float64)
    lines = [torch.eye(3, dtype=torch.float64)[0], diagonal * math.sqrt(2), torch.eye(3, dtype=torch.float64)[1]]
    assert torch.allclose(jacobian[0], torch.diag(torch.tensor([1.0, 1, 0], dtype=torch.float64)), atol=1e-12)
    for found, line in zip(jacobian[1:4], lines, strict=True):
        assert torch.allclose(found, torch.outer(line, line), atol=1e-12)
    assert not jacobian[4:].any()


def test_the_gradient_of_the_distance_is_the_unit_direction_and_zero_on_the_surface():
    vertices, faces = tensors(trimesh.creation.icosphere(subdivisions=2), torch.float64)
    outside = torch.randn(1, 50, 3, generator=seeded(), dtype=torch.float64) * 2
    points = torch.cat([outside, vertices[:, :20], torch.zeros(1, 0, 3)], dim=1).requires_grad_()
    found = closest_point_on_mesh(points, vertices, faces)
    gradient = torch.autograd.grad(found.distances.sum(), points)[0]
    direction = (points - found.points) / found.distances[..., None]
    assert torch.allclose(gradient[:, :50], direction[:, :50], atol=1e-9)
    assert not found.distances[:, 50:].any()
    assert not gradient[:, 50:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("corners", FLAT)
def test_triangles_without_area_are_segments_and_points(corners, dtype):
    vertices = torch.tensor([corners], dtype=dtype, requires_grad=True)
    points = torch.randn(1, 6, 3, generator=seeded(), dtype=dtype)
    points[0, 0] = vertices[0, 0].detach()
    points.requires_grad_()
    ends = vertices[0, :, 0].detach()
    exact = torch.stack([points[..., 0].clamp(ends.min(), ends.max()), *2 * [torch.zeros(1, 6, dtype=dtype)]], dim=-1)
    for backend in SEARCHES if dtype == torch.float32 else ["reference"]:
        found = closest_point_on_mesh(points, vertices, FACE, backend=backend)
        assert torch.allclose(found.points, exact, atol=1e-6)
        first = torch.autograd.grad(found.points.sum() + found.distances.sum(), (points, vertices), create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), (points, vertices))
        assert all(part.isfinite().all() for part in (*first, *second))


def test_every_size_of_triangle_is_measured_alike():
    first, second = torch.tensor([1.0, 0, 0]), torch.tensor([0.3, 0.8, 0])
    query = torch.tensor([[0.4, 0.3, 0.7], [0.5, -1, 0.1], [2, 3, 1]])
    expected = closest_in_triangle(query, first.expand(3, 3), second.expand(3, 3))
    for scale in (2.0**-60, 2.0**60):
        found = closest_in_triangle(query * scale, (first * scale).expand(3, 3), (second * scale).expand(3, 3))
        assert torch.equal(found / scale, expected)


@pytest.mark.parametrize("backend", SEARCHES)
def test_padding_has_no_influence_on_closest_points_and_no_gradient(backend):
    points, lengths, vertices, faces = batch = soup()
    there = in_soup(*batch)
    used = torch.stack([torch.isin(torch.arange(90), part) for part in faces])
    before = closest_point_on_mesh(points, vertices, faces, lengths, backend=backend)
    points[1, 250:], vertices[0, 80] = torch.inf, torch.nan
    points.requires_grad_()
    vertices.requires_grad_()
    clean = (faces != 80).all(-1, keepdim=True) | torch.tensor([False, True])[:, None, None]
    expected = closest_point_on_mesh(points, vertices, torch.where(clean, faces, -1), lengths, backend=backend)
    found = closest_point_on_mesh(points, vertices, faces, lengths, backend=backend)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert torch.equal(found.faces[1], before.faces[1])
    assert (found.faces[~there] == -1).all()
    assert not found.points[~there].any()
    assert not found.distances[~there].any()
    (found.points.square().sum() + found.distances.sum()).backward()
    assert not points.grad[~there].any()
    assert not vertices.grad[~used].any()
    assert not vertices.grad[0, 80].any()
    assert points.grad.isfinite().all()
    assert vertices.grad.isfinite().all()


@pytest.mark.parametrize("backend", ["auto", *SEARCHES])
def test_meshes_without_faces_have_no_closest_points(backend):
    points, vertices = torch.zeros(2, 4, 3), torch.zeros(2, 5, 3)
    for faces in (torch.full((2, 3, 3), -1), torch.full((2, 0, 3), -1)):
        found = closest_point_on_mesh(points, vertices, faces, backend=backend)
        assert (found.faces == -1).all()
        assert not found.points.any()
    nothing = closest_point_on_mesh(points[:, :0], vertices[:, :0], faces, backend=backend)
    assert nothing.faces.shape == (2, 0)
    assert closest_point_on_mesh(points[:0], vertices[:0], faces[:0], backend=backend).points.shape == (0, 4, 3)


@pytest.mark.parametrize("backend", SEARCHES)
def test_layout_precision_and_autocast_of_closest_points(backend):
    points, lengths, vertices, faces = soup()
    points, vertices = points.half(), vertices.half()
    found = closest_point_on_mesh(points, vertices, faces, lengths, backend=backend)
    assert found.points.dtype == torch.float32
    strided = [part.transpose(0, 2).contiguous().transpose(0, 2) for part in (points.float(), vertices.float(), faces)]
    with torch.autocast("cpu", torch.bfloat16):
        other = closest_point_on_mesh(*strided, lengths.int(), backend=backend)
    assert all(torch.equal(one, two) for one, two in zip(found, other, strict=True))


def test_the_search_is_a_proper_custom_op():
    points, lengths, vertices, faces = soup()
    for backend in SEARCHES:
        torch.library.opcheck(surfaces.search_closest_face, (points, lengths, vertices, faces, backend))


# --- normals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "offset", "error"), [(torch.float64, 0, 1e-12), (torch.float32, 1e4, 1e-3)])
def test_normals_of_a_plane_are_its_normal(dtype, offset, error):
    turn = rotation(3)
    flat = torch.rand(2, 200, 3, generator=seeded(), dtype=torch.float64) * torch.tensor([20.0, 20, 0])
    normals = estimate_normals((flat @ turn + offset).to(dtype), neighborhood_size=20)
    assert normals.dtype == dtype
    assert torch.allclose((normals.double() @ turn[2]).abs(), torch.ones(2, 200, dtype=torch.float64), atol=error)


def test_normals_of_a_sphere_are_radial_and_disambiguated_to_the_inside():
    points = tensors(trimesh.creation.icosphere(subdivisions=4))[0]
    assert float((estimate_normals(points, None, 12, False) * points).sum(-1).abs().min()) > math.cos(0.03)
    assert float((estimate_normals(points, None, 12) * points).sum(-1).max()) < -math.cos(0.03)


def test_normals_turn_with_the_cloud():
    points = torch.randn(1, 100, 3, generator=seeded(), dtype=torch.float64) * torch.tensor([1, 1.5, 0.4])
    turn = rotation(5)
    turned = estimate_normals(points @ turn, neighborhood_size=10) @ turn.T
    assert torch.allclose(turned, estimate_normals(points, neighborhood_size=10), atol=1e-8)


def test_normals_point_to_where_more_neighbours_lie():
    cloud = torch.rand(1, 60, 3, generator=seeded()) * torch.tensor([1, 1, 0.02])
    cloud[0, 0] = torch.tensor([0.5, 0.5, 0])
    assert float(estimate_normals(cloud, neighborhood_size=60)[0, 0, 2]) > 0.99
    assert float(estimate_normals(-cloud, neighborhood_size=60)[0, 0, 2]) < -0.99


def test_normals_have_exact_gradients_of_two_orders():
    points = torch.randn(1, 12, 3, generator=seeded(), dtype=torch.float64) * torch.tensor([1, 1.4, 0.2])
    points.requires_grad_()

    def normals(points):
        return estimate_normals(points, torch.tensor([10]), 6)

    assert gradcheck(normals, (points,))
    assert gradgradcheck(normals, (points,), fast_mode=True)


def test_equal_eigenvalues_have_finite_gradients():
    square = torch.tensor([[x, y, 0.0] for x, y in itertools.product((-1, 0, 1), repeat=2)])
    line, point = torch.zeros(9, 3), torch.ones(9, 3)
    line[:, 0] = torch.arange(9)
    clouds = torch.stack([square, line, point]).requires_grad_()
    normals = estimate_normals(clouds, neighborhood_size=9)
    (normals * torch.randn(3, 9, 3, generator=seeded())).sum().backward()
    assert torch.allclose(normals.norm(dim=-1), torch.ones(3, 9))
    assert torch.allclose(normals[0, :, 2].abs(), torch.ones(9))
    assert clouds.grad[0].any()
    assert clouds.grad.isfinite().all()


def test_padding_and_small_clouds_have_no_normals():
    points = torch.randn(4, 30, 3, generator=seeded())
    lengths = torch.tensor([30, 12, 2, 0])
    points[0, 4, 2], points[1, 12:], points[3] = torch.nan, torch.inf, torch.nan
    points.requires_grad_()
    normals = estimate_normals(points, lengths)
    there = (torch.arange(30) < lengths[:, None]) & points.isfinite().all(-1) & (lengths > 2)[:, None]
    assert torch.allclose(normals.norm(dim=-1), there.float())
    assert torch.allclose(normals[1:2, :12], estimate_normals(points[1:2, :12]), atol=1e-5)
    normals.sum().backward()
    assert points.grad.isfinite().all()
    assert not points.grad[~there].any()
    assert estimate_normals(points[:, :0]).shape == (4, 0, 3)
    assert estimate_normals(points[:0]).shape == (0, 30, 3)


def test_normals_are_computed_in_float32_whatever_comes():
    points = torch.randn(1, 64, 3, generator=seeded()).half()
    expected = estimate_normals(points.float(), neighborhood_size=10)
    assert torch.equal(estimate_normals(points, neighborhood_size=10), expected)
    strided = points.float().transpose(1, 2).contiguous().transpose(1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(estimate_normals(strided, neighborhood_size=10), expected)


# --- errors and compiled code ----------------------------------------------------------------------------------------


def test_errors_name_the_argument():
    points, vertices = torch.zeros(1, 2, 3), torch.zeros(1, 3, 3)
    with pytest.raises(ValueError, match="faces must be rows of 3 vertices or -1, given 0 to 3"):
        sample_points_from_meshes(vertices, torch.tensor([[[0, 1, 3]]]))
    with pytest.raises(ValueError, match="faces must be rows of 3 vertices or -1, given -2 to 1"):
        closest_point_on_mesh(points, vertices, torch.tensor([[[0, 1, -2]]]))
    with pytest.raises(ValueError, match="num_samples must be at least 0, given -1"):
        sample_points_from_meshes(vertices, FACE, -1)
    with pytest.raises(ValueError, match="backend 'kdtree' cannot do sample_points_from_meshes"):
        sample_points_from_meshes(vertices, FACE, backend="kdtree")
    with pytest.raises(ValueError, match="backend 'kdtree' cannot do closest_face"):
        closest_point_on_mesh(points, vertices, FACE, backend="kdtree")
    with pytest.raises(ValueError, match=r"backend must be auto, .*given 'fast'"):
        closest_point_on_mesh(points[:, :0], vertices, FACE, backend="fast")
    with pytest.raises(TypeError, match=r"points and vertices must have one dtype, given torch.float64"):
        closest_point_on_mesh(points.double(), vertices, FACE)
    with pytest.raises(ValueError, match="neighborhood_size must be at least 3, given 2"):
        estimate_normals(points, neighborhood_size=2)
    with pytest.raises(ValueError, match="lengths of points must lie between 0 and 2"):
        closest_point_on_mesh(points, vertices, FACE, torch.tensor([3]))


UNHOOKED = """
import sys, torch
from geomflow.ops.surfaces import closest_point_on_mesh, estimate_normals, sample_points_from_meshes
assert "warp" not in sys.modules

def refused(call, *words):
    try:
        call()
    except (ValueError, TypeError) as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(words)

vertices, face = torch.zeros(1, 3, 3), torch.zeros(1, 1, 3, dtype=torch.int64)
refused(lambda: sample_points_from_meshes(vertices, face.float()), "faces", "torch.float32")
refused(lambda: sample_points_from_meshes(vertices, face[0]), "faces", "(1, faces, 3)", "(1, 3)")
refused(lambda: sample_points_from_meshes(vertices[..., :2], face), "vertices", "(1, 3, 2)")
refused(lambda: sample_points_from_meshes(vertices.long(), face), "vertices", "torch.int64")
refused(lambda: closest_point_on_mesh(vertices[..., :2], vertices, face), "points and vertices", "(1, 3, 2)")
refused(lambda: closest_point_on_mesh(vertices.expand(2, -1, -1), vertices, face), "points and vertices", "(2, 3, 3)")
refused(lambda: estimate_normals(vertices[..., :2]), "points", "(1, 3, 2)")

def all_of_them(points, vertices, faces, lengths):
    sampled = sample_points_from_meshes(vertices, faces, 20, True)
    closest = closest_point_on_mesh(points, vertices, faces, lengths)
    return *sampled, *closest[:2], estimate_normals(points, lengths, 8)

def run(call):
    torch.manual_seed(0)
    inputs = [torch.randn(2, size, 3, requires_grad=True) for size in (30, 10)]
    results = call(*inputs, torch.tensor([[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [-1, -1, -1]]]), torch.tensor([30, 20]))
    return *results, *torch.autograd.grad(sum(result.square().sum() for result in results[:4]), inputs)

compiled = run(torch.compile(all_of_them, fullgraph=True, backend="aot_eager"))
assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(compiled, run(all_of_them), strict=True))
"""


@pytest.mark.slow
def test_compiled_code_agrees_and_shapes_are_checked_without_jaxtyping():
    subprocess.run([sys.executable, "-c", UNHOOKED], check=True, timeout=300)
