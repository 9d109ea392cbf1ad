"""Numbers shared among points in sight against numbers of every point by itself."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry.bvh import Bvh, Closest
from geomflow.geometry.primitives import Box, Moved
from geomflow.geometry.sight import TIE, SharedWinding
from geomflow.geometry.surface import sample_surface
from geomflow.geometry.winding import AFAR, FARTHER, WindingTree

OFF = 1e-6  # nearer to the surface than this the number is not defined in float32


def box(half: tuple[float, float, float], centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> trimesh.Trimesh:
    return Moved(Box(half), centre).mesh()


def sphere(radius: float, inward: bool = False) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(3, radius)
    if inward:
        mesh.invert()
    return mesh


def torus() -> trimesh.Trimesh:
    return trimesh.creation.torus(0.65, 0.25, 48, 32)


def joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(list(meshes))


def holed(share: float, seed: int) -> trimesh.Trimesh:
    keep = np.random.default_rng(seed).random(len(torus().faces)) >= share
    return trimesh.Trimesh(torus().vertices, torus().faces[keep], process=False)


CLOSED = {
    "torus": torus(),
    "overlapping bodies": joined(box((0.3, 0.3, 0.3)), box((0.2, 0.2, 0.5), (0.1, 0.0, 0.3)), sphere(0.4)),
    "a cavity": joined(sphere(0.8), sphere(0.4, inward=True)),
    "inside out": sphere(0.7, inward=True),
    "a plate of 0.002": box((0.8, 0.8, 0.001)),
    "a shell of 0.002": joined(sphere(0.8), sphere(0.798, inward=True)),
    "boxes that touch": joined(box((0.3, 0.3, 0.3), (-0.3, 0.0, 0.0)), box((0.3, 0.3, 0.3), (0.3, 0.0, 0.0))),
    "the same body twice": joined(sphere(0.6), sphere(0.6)),
}
closed = pytest.mark.parametrize("mesh", CLOSED.values(), ids=CLOSED.keys())


def points_about(mesh: trimesh.Trimesh, count: int = 6000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = sample_surface(mesh, count, seed)
    offset = rng.normal(0, 1, (count, 1)) * np.where(rng.random((count, 1)) < 0.5, 0.02, 0.001)
    return np.vstack([rng.uniform(-1.2, 1.2, (count, 3)), samples.points + offset * samples.normals])


class Numbers:
    """One mesh, its tree of sight, and its numbers shared and direct."""

    def __init__(self, mesh: trimesh.Trimesh, *beside: trimesh.Trimesh) -> None:
        self.arrays = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        sight = joined(mesh, *beside)
        self.bvh = Bvh(np.asarray(sight.vertices), np.asarray(sight.faces))
        self.winding = SharedWinding(*self.arrays, self.bvh)

    def shared(self, points: np.ndarray) -> np.ndarray:
        return self.winding(points, self.bvh.closest(points))

    def direct(self, points: np.ndarray, afar: float) -> np.ndarray:
        return WindingTree(*self.arrays)(points, afar)

    def off(self, points: np.ndarray) -> np.ndarray:
        return points[self.bvh.closest(points).distance > OFF]


@closed
def test_on_closed_surfaces_shared_numbers_are_the_exact_ones(mesh):
    numbers = Numbers(mesh)
    points = numbers.off(points_about(mesh))
    np.testing.assert_array_equal(numbers.shared(points), np.rint(numbers.direct(points, float("inf"))))


@closed
def test_on_closed_surfaces_neither_order_nor_company_matters(mesh):
    numbers = Numbers(mesh)
    points = numbers.off(points_about(mesh, 3000))
    together = numbers.shared(points)
    order = np.random.default_rng(3).permutation(len(points))
    np.testing.assert_array_equal(numbers.shared(points[order]), together[order])
    parts = [numbers.shared(part) for part in np.array_split(points[order], 7)]
    np.testing.assert_array_equal(np.concatenate(parts), together[order])
    np.testing.assert_array_equal(numbers.shared(points[:1]), together[:1])


def test_most_numbers_are_taken_over(monkeypatch):
    evaluated = []

    def count(tree, points, *afar):
        evaluated.append(len(points))
        return evaluate(tree, points, *afar)

    evaluate = WindingTree.__call__
    monkeypatch.setattr(WindingTree, "__call__", count)
    for mesh, most in ((torus(), 0.2), (holed(0.05, 1), 0.6)):
        evaluated.clear()
        points = points_about(mesh, 20_000)
        Numbers(mesh).shared(points)
        assert 0 < sum(evaluated) < most * len(points)


@pytest.mark.parametrize("share", [0.05, 0.2])
@pytest.mark.parametrize("seed", [1, 2])
def test_on_open_surfaces_only_signs_near_a_tie_change(share, seed):
    numbers = Numbers(holed(share, seed))
    points = points_about(torus(), 15_000, seed)
    shared, direct = numbers.shared(points), numbers.direct(points, FARTHER)
    changed = (shared > 0.5) != (direct > 0.5)
    assert changed.mean() <= 1e-3
    assert np.abs(2 * direct - 1)[changed].max(initial=0) < 0.7
    assert (np.abs(shared - direct) > 0.5).mean() <= 1e-3


def test_on_open_surfaces_order_and_company_change_hardly_a_sign():
    """Which of equally deep points are witnesses depends on the order, and which points there are on the company."""
    numbers = Numbers(holed(0.2, 1))
    points = points_about(torus(), 15_000)
    together = numbers.shared(points)
    order = np.random.default_rng(4).permutation(len(points))
    parts = np.concatenate([numbers.shared(part) for part in np.array_split(points, 7)])
    for again, before in ((numbers.shared(points[order]), together[order]), (parts, together)):
        assert ((again > 0.5) != (before > 0.5)).mean() <= 1e-3
        assert np.abs(again - before).max() < 0.5
    np.testing.assert_array_equal(numbers.shared(points), together)


def test_through_the_open_top_of_a_box_points_see_each_other_and_keep_their_numbers():
    top = trimesh.creation.box().subdivide().subdivide()
    tub = trimesh.Trimesh(top.vertices, top.faces[top.triangles_center[:, 2] < 0.499], process=False)
    numbers = Numbers(tub)
    points = np.random.default_rng(5).uniform((-0.4, -0.4, -0.4), (0.4, 0.4, 2.0), (20_000, 3))
    shared, direct = numbers.shared(points), numbers.direct(points, FARTHER)
    assert ((shared > 0.5) != (direct > 0.5)).mean() <= 0.01
    deep, high = points[:, 2] < 0, points[:, 2] > 1
    assert (shared[deep] > 0.5).all()
    assert (shared[high] < 0.5).all()


def test_what_only_blocks_the_sight_changes_no_number():
    sheet = trimesh.Trimesh([[-1, -1, 0.1], [1, -1, 0.1], [1, 1, 0.1], [-1, 1, 0.1]], [[0, 1, 2], [0, 2, 3]])
    points = points_about(torus())
    np.testing.assert_array_equal(Numbers(torus(), sheet).shared(points), Numbers(torus()).shared(points))


def test_points_far_away_on_the_surface_and_none():
    for mesh in (torus(), holed(0.2, 1)):
        numbers = Numbers(mesh)
        far = np.vstack([10.0**power * np.vstack([np.eye(3), -np.eye(3)]) for power in (1, 2, 4, 8)])
        np.testing.assert_allclose(numbers.shared(far), 0, atol=1e-3)
        assert numbers.shared(np.zeros((0, 3))).shape == (0,)
        for spots in (np.asarray(mesh.vertices), mesh.triangles_center):
            assert (np.abs(numbers.shared(spots) - 0.5) <= 0.7).all()


def test_a_point_beside_an_open_border_is_evaluated_by_itself():
    numbers = Numbers(holed(0.2, 1))
    points = points_about(torus())
    alone = numbers.winding(points, Closest(numbers.bvh.closest(points).distance, np.zeros(len(points), dtype=int)))
    coarse = numbers.direct(points, AFAR)
    careful = np.where(np.abs(2 * coarse - 1) < TIE, numbers.direct(points, FARTHER), coarse)
    np.testing.assert_array_equal(alone, careful)
    beside = numbers.bvh.closest(points).side == 0
    np.testing.assert_array_equal(numbers.shared(points)[beside], alone[beside])


def test_without_faces_all_numbers_are_zero():
    vertices, faces = np.asarray(torus().vertices), np.asarray(torus().faces)
    bvh = Bvh(vertices, faces)
    points = points_about(torus(), 100)
    np.testing.assert_array_equal(SharedWinding(vertices, faces[:0], bvh)(points, bvh.closest(points)), 0)
