"""Closest distances, sides, sight and ray parity against brute force in float64."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry.bvh import Bvh, border_edges, spread_directions
from geomflow.geometry.primitives import Box


def single(values: np.ndarray) -> np.ndarray:
    """The nearest numbers that float32 can hold."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = (points - start) @ (end - start) / max((end - start) @ (end - start), 1e-300)
    return np.linalg.norm(points - start - np.clip(along, 0, 1)[:, None] * (end - start), axis=1)


def to_triangle(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance to the plane where the foot is inside, else to the edges."""
    a, b, c = corners
    near = np.min([to_segment(points, a, b), to_segment(points, b, c), to_segment(points, c, a)], axis=0)
    normal = np.cross(b - a, c - a)
    square = normal @ normal
    if square == 0:
        return near
    v = np.cross(points - a, c - a) @ normal / square
    w = np.cross(b - a, points - a) @ normal / square
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    return np.where(inside, np.abs((points - a) @ normal) / np.sqrt(square), near)


def brute_force(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance from every point to every triangle (t, n)."""
    return np.stack([to_triangle(points, corners) for corners in triangles])


def soup(count: int, length: float, width: float, seed: int) -> np.ndarray:
    """Triangles (count, 3, 3) of one long edge, and a third corner at `width` lengths from it."""
    rng = np.random.default_rng(seed)
    along = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0] * length
    start, apex = rng.uniform(-1, 1, (count, 3)), rng.random((count, 1))
    return single(np.stack([start, start + along[:, 0], start + apex * along[:, 0] + width * along[:, 1]], axis=1))


def tree(triangles: np.ndarray) -> Bvh:
    return Bvh(triangles.reshape(-1, 3), np.arange(len(triangles) * 3).reshape(-1, 3))


def asked(triangles: np.ndarray, count: int = 500) -> np.ndarray:
    """Points in the cube, and near the triangles."""
    rng = np.random.default_rng(1)
    near = triangles.mean(axis=1)[rng.integers(len(triangles), size=count)] + rng.normal(0, 0.01, (count, 3))
    return single(np.vstack([rng.uniform(-1.3, 1.3, (count, 3)), near]))


@pytest.mark.parametrize("width", [1.0, 0.1, 1e-2, 5e-3, 2.5e-3, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 0.0])
@pytest.mark.parametrize("length", [0.1, 2.0])
@pytest.mark.parametrize("others", [0, 100], ids=["alone", "among others"])
def test_the_distance_is_exact_however_slender_the_triangles(width, length, others):
    triangles = np.concatenate([soup(60, length, width, 0), soup(others, 0.1, 1.0, 2)])
    exact = brute_force(triangles, asked(triangles)).min(axis=0)
    np.testing.assert_allclose(tree(triangles).closest(asked(triangles)).distance, exact, atol=2e-6)


@pytest.mark.parametrize("corners", [[[0, 0, 0]] * 3, [[0, 0, 0], [1, 0, 0], [0.25, 0, 0]]], ids=["point", "segment"])
def test_a_single_face_without_area_has_a_distance(corners):
    triangle = np.array([corners], dtype=np.float64)
    points = np.random.default_rng(3).uniform(-2, 2, (200, 3))
    np.testing.assert_allclose(tree(triangle).closest(points).distance, to_triangle(points, triangle[0]), atol=1e-6)


def test_far_away_the_distance_is_right_to_float32_up_to_where_squares_overflow():
    for triangles in (soup(100, 0.5, 1.0, 0), soup(100, 0.5, 1e-5, 0)):
        for far in (1e2, 1e4, 1e8, 1e12, 1e18):
            points = far * np.vstack([np.eye(3), -np.ones((1, 3))])
            exact = brute_force(triangles, points).min(axis=0)
            np.testing.assert_allclose(tree(triangles).closest(points).distance, exact, rtol=1e-6)


def test_no_points_have_no_answers():
    bvh, none = tree(soup(3, 1.0, 1.0, 0)), np.zeros((0, 3))
    assert bvh.closest(none).distance.shape == bvh.closest(none).side.shape == bvh.sees(none, none).shape == (0,)
    assert bvh.free_way(none, none, 1.0).shape == bvh.parity(none).shape == (0,)


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_only_on_an_open_border_the_closest_point_has_no_side(missing, turn):
    """A tetrahedron without one face; turned, each corner of its faces comes first once."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float64) / 2
    whole = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]])
    faces = np.roll(np.delete(whole, missing, axis=0), turn, axis=1)
    points = np.random.default_rng(4).uniform(-1.5, 1.5, (3000, 3))
    rim = corners[np.delete(np.arange(4), missing)]
    border = np.min([to_segment(points, rim[i - 1], rim[i]) for i in range(3)], axis=0)
    distances = brute_force(corners[faces], points)
    found = Bvh(corners, faces).closest(points)
    on_border = border <= distances.min(axis=0) + 1e-12
    clear = on_border | (border > distances.min(axis=0) + 1e-4)  # else within rounding of the border
    np.testing.assert_array_equal(found.side[clear] == 0, on_border[clear])
    assert 0 < on_border[clear].sum() < clear.sum()

    inner = clear & ~on_border & (np.sort(distances, axis=0)[1] > distances.min(axis=0) + 1e-4)  # one face is closest
    triangle = corners[faces][distances.argmin(axis=0)]
    normal = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    side = np.sign(np.einsum("nd,nd->n", normal, points - triangle[:, 0]))
    np.testing.assert_array_equal(found.side[inner], side[inner])
    assert set(side[inner]) == {-1, 1}


def test_border_edges_are_those_not_run_through_equally_often_both_ways():
    one = np.array([[0, 1, 2]])
    closed = np.asarray(trimesh.creation.icosphere(1).faces)
    assert border_edges(one[:0]).shape == (0,)
    assert border_edges(one).tolist() == [7]
    assert border_edges(np.vstack([one, one[:, ::-1]])).tolist() == [0, 0]
    assert border_edges(np.vstack([one, one])).tolist() == [7, 7]
    assert not border_edges(closed).any()
    assert not border_edges(np.vstack([closed, closed])).any()
    first, others = closed[:1], closed[1:]
    for k, bit in enumerate((1, 2, 4)):  # edges 01, 12, 20: without the neighbour across it, the edge is open
        ends = first[0, [k, (k + 1) % 3]]
        neighbour = np.isin(others, ends).sum(axis=1) == 2
        assert neighbour.sum() == 1
        assert border_edges(np.vstack([first, others[~neighbour]]))[0] == bit


def test_an_edge_that_welding_made_of_a_face_opens_nothing():
    closed = np.asarray(trimesh.creation.icosphere(1).faces)
    collapsed = closed[:5, [0, 0, 1]]
    assert not border_edges(np.vstack([closed, collapsed, np.zeros((1, 3), dtype=int)])).any()


def crossings(triangles: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far along each segment it crosses each triangle, infinite if not (t, n), and by how much it decides that."""
    share, margin = [], []
    for a, b, c in triangles:
        normal, path = np.cross(b - a, c - a), end - start
        slope = path @ normal
        t = ((a - start) @ normal) / slope
        spot = start + t[:, None] * path
        v = np.cross(spot - a, c - a) @ normal / (normal @ normal)
        w = np.cross(b - a, spot - a) @ normal / (normal @ normal)
        inner = np.min([v, w, 1 - v - w, t, 1 - t], axis=0)
        share.append(np.where(inner > 0, t, np.inf))
        margin.append(np.abs(inner))
    return np.array(share), np.min(margin, axis=0)


def test_sight_ends_where_a_segment_crosses_a_triangle():
    triangles = soup(100, 0.3, 1.0, 6)
    start, end = np.random.default_rng(7).uniform(-1, 1, (2, 2000, 3))
    share, margin = crossings(triangles, start, end)
    clear, free = margin > 1e-5, np.isinf(share).all(axis=0)
    sees = tree(triangles).sees(start, end)
    np.testing.assert_array_equal(sees[clear], free[clear])
    np.testing.assert_array_equal(tree(triangles).sees(end, start)[clear], free[clear])
    assert clear.mean() > 0.99
    assert 0.2 < free.mean() < 0.8
    assert tree(triangles).sees(start, start).all()


def test_no_segment_slips_through_the_edges_of_a_closed_surface():
    mesh = trimesh.creation.icosphere(3)
    bvh = Bvh(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    edges = np.asarray(mesh.vertices)[mesh.edges_unique].mean(axis=1)
    through = np.vstack([edges, mesh.vertices])
    assert not bvh.sees(0.5 * through, 1.5 * through).any()
    assert bvh.sees(0.5 * through, 0.9 * through).all()


def test_the_free_way_ends_at_the_first_crossing():
    triangles = soup(100, 0.3, 1.0, 6)
    start = np.random.default_rng(8).uniform(-1, 1, (2000, 3))
    directions = np.random.default_rng(9).normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    share, margin = crossings(triangles, start, start + 1.5 * directions)
    clear = margin > 1e-5
    way = tree(triangles).free_way(start, directions, 1.5)
    np.testing.assert_allclose(way[clear], 1.5 * np.minimum(share.min(axis=0), 1)[clear], atol=1e-5)
    assert 0.1 < (way == 1.5).mean() < 0.9


def test_parity_tells_inside_from_outside():
    box = Box((0.5, 0.4, 0.3))
    mesh, points = box.mesh(), np.random.default_rng(10).uniform(-1, 1, (2000, 3))
    twice = np.vstack([mesh.faces, mesh.faces])
    vertices = np.asarray(mesh.vertices)
    np.testing.assert_array_equal(Bvh(vertices, np.asarray(mesh.faces)).parity(points), box(points) < 0)
    np.testing.assert_array_equal(Bvh(vertices, twice).parity(points), 0)


def test_directions_are_spread_over_the_sphere():
    directions = spread_directions(200).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.02)
    cosines = directions @ directions.T - 2 * np.eye(200)
    assert np.arccos(cosines.max()) > 0.5 * np.sqrt(4 * np.pi / 200)  # no two much closer than on a square grid
