"""Volumetric IoU against closed forms, and the other reconstruction metrics on shapes whose answers are known."""

import numpy as np
import pytest
import trimesh

from geomflow.errors import MeshHasNoFaces
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.grid import SdfGrid, dense, narrow_band
from geomflow.geometry.primitives import Box, Moved, Sphere
from geomflow.metrics import (
    MeasuredShape,
    ReconstructionMetrics,
    compare_shapes,
    inside_mask,
    measure_shape,
    near_surface_iou,
    reconstruction_metrics,
    sampled_iou,
    summaries,
    summary,
    volumetric_iou,
)
from geomflow.metrics.reconstruction import mesh_inside_mask

SPHERE = Sphere(0.6)


def ball(radius: float = 0.6) -> trimesh.Trimesh:
    """A sphere's mesh within 2e-4 radii of it."""
    return trimesh.creation.icosphere(subdivisions=5, radius=radius)


@pytest.fixture(scope="module")
def reference() -> MeasuredShape:
    """The ball of radius 0.6, measured once."""
    return measure_shape(ball(), resolution=64, count=60_000)


def lens_iou(radius: float, gap: float) -> float:
    """IoU of two equal balls with centres `gap` apart: they share a lens of volume pi (4 r + d) (2 r - d)^2 / 12."""
    lens = np.pi * (4 * radius + gap) * (2 * radius - gap) ** 2 / 12
    return lens / (8 / 3 * np.pi * radius**3 - lens)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.35, 0.9])
def test_shifted_spheres_have_the_lens_iou(gap):
    iou = volumetric_iou(Moved(SPHERE, (-gap / 2, 0.0, 0.0)), Moved(SPHERE, (gap / 2, 0.0, 0.0)))
    assert iou == pytest.approx(lens_iou(0.6, gap), abs=2e-3)


@pytest.mark.parametrize("nodes", [0, 1, 7])
def test_boxes_shifted_by_whole_nodes_have_the_exact_iou(nodes):
    resolution = 41
    spacing = 2 / (resolution - 1)
    half = 8.5 * spacing
    box = Box((half, half, half))
    iou = volumetric_iou(box, Moved(box, (nodes * spacing, 0.0, 0.0)), resolution)
    assert iou == (17 - nodes) / (17 + nodes)


def test_boxes_of_any_shift_have_the_closed_iou():
    one, shift = Box((0.5, 0.4, 0.3)), (0.13, 0.07, -0.11)
    shared = (1 - 0.13) * (0.8 - 0.07) * (0.6 - 0.11)
    expected = shared / (2 * 1 * 0.8 * 0.6 - shared)
    assert volumetric_iou(one, Moved(one, shift), 160) == pytest.approx(expected, abs=0.01)


def test_fields_masks_arrays_and_grids_are_one_solid():
    grid = dense(SPHERE, 48)
    for other in (grid, grid.values, grid.values < 0):
        assert volumetric_iou(SPHERE, other, 48) == 1
    clear = np.abs(grid.values) > 2e-4
    assert (mesh_inside_mask(ball(), 48) == (grid.values < 0))[clear].all()


def test_mask_volume_is_the_volume():
    cell = (2 / 127) ** 3
    assert inside_mask(SPHERE).sum() * cell == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=2e-3)


def test_the_hole_of_an_open_mesh_is_closed_the_same_way_everywhere():
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.6)
    opened = trimesh.Trimesh(mesh.vertices, mesh.faces[mesh.triangles_center[:, 2] < 0.2], process=False)
    distance = SignedDistanceField(opened)
    everywhere = dense(lambda points: distance(points).distance, 66).values < 0
    coarse_to_fine = narrow_band(lambda points: distance(points).distance, 66).values < 0
    assert (coarse_to_fine == everywhere).all(), "the sign jumps across the hole, far from any surface"
    assert (mesh_inside_mask(opened, 66) == everywhere).all()


def test_closed_mesh_may_take_the_shortcut():
    mesh = trimesh.creation.torus(0.6, 0.25, major_sections=32, minor_sections=16)
    distance = SignedDistanceField(mesh)
    assert (mesh_inside_mask(mesh, 66) == (dense(lambda points: distance(points).distance, 66).values < 0)).all()


def test_reconstruction_by_the_same_mesh_is_at_the_floor():
    metrics = reconstruction_metrics(ball(), ball(), resolution=32, count=30_000)
    assert metrics.iou == 1
    assert metrics.f_score == pytest.approx(1 - np.exp(-np.pi * (0.02 / metrics.chamfer_floor) ** 2), abs=2e-4)
    assert metrics.chamfer_floor == pytest.approx(np.sqrt(4 * np.pi * 0.36 / 30_000), rel=1e-3)
    assert metrics.chamfer == pytest.approx(metrics.chamfer_floor, rel=0.02)
    assert metrics.normal_consistency > 0.999


@pytest.mark.parametrize(("gap", "score"), [(0.01, 1.0), (0.03, 0.0)])
def test_concentric_spheres_have_known_metrics(reference, gap, score):
    metrics = compare_shapes(reference, measure_shape(ball(0.6 + gap), 64, 60_000, seed=1))
    assert metrics.iou == pytest.approx((0.6 / (0.6 + gap)) ** 3, abs=6e-3)
    assert metrics.f_score == pytest.approx(score, abs=1e-3)
    assert 2 * gap < metrics.chamfer < np.hypot(2 * gap, 2 / np.sqrt(np.pi) * metrics.chamfer_floor) * 1.1


def test_hausdorff_is_no_less_than_the_gap_of_the_spheres(reference):
    metrics = compare_shapes(reference, measure_shape(ball(0.65), 64, 60_000, seed=1))
    assert 0.05 - 1e-3 < metrics.hausdorff < 0.07


@pytest.mark.parametrize("gap", [0.0, pytest.param(0.1, marks=pytest.mark.slow), 0.35])
def test_sampled_iou_of_shifted_spheres_anywhere(gap):
    one, other = (SignedDistanceField(ball().apply_translation((x, 50, 0))) for x in (0, gap))
    assert sampled_iou(one, other) == pytest.approx(lens_iou(0.6, gap), abs=6e-3)


def test_near_surface_iou_sees_a_skin_that_volume_forgives():
    """Shells about spheres of radius .6 and .62: of points r with density rho, those inside both over inside either."""
    one, other = SignedDistanceField(ball()), SignedDistanceField(ball(0.62))
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(400_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radius = np.linalg.norm(
        directions * np.where(rng.random(400_000) < 0.5, 0.6, 0.62)[:, None] + rng.normal(0, 0.02, (400_000, 3)), axis=1
    )
    expected = (radius < 0.6).sum() / (radius < 0.62).sum()
    assert near_surface_iou(one, other, seed=3) == pytest.approx(expected, abs=0.01)
    assert near_surface_iou(one, other) < 0.7 < 0.9 < sampled_iou(one, other)
    assert near_surface_iou(one, one) == 1


def test_one_measured_reference_serves_many_shapes():
    reference = measure_shape(ball(), 32, 5000, seed=3)
    other = Box((0.5, 0.5, 0.5)).mesh()
    expected = reconstruction_metrics(ball(), other, 32, 5000, seed=3)
    assert compare_shapes(reference, measure_shape(other, 32, 5000, seed=4)) == expected


def test_summary_is_mean_median_and_worst_tenth():
    values = [float(k) for k in range(1, 21)]
    high, low = summary(values), summary(values, higher_is_better=False)
    assert (high.mean, high.median, high.worst_tenth) == (10.5, 10.5, 1.5)
    assert (low.mean, low.median, low.worst_tenth) == (10.5, 10.5, 19.5)
    assert summary([0.3, 0.7]).worst_tenth == 0.3


def test_summaries_know_which_end_is_worst():
    rows = [ReconstructionMetrics(k / 10, k / 10, k / 10, k / 10, k / 10, 0.1) for k in range(10)]
    table = summaries(iter(rows))
    assert table["iou"].worst_tenth == 0.0
    assert table["chamfer"].worst_tenth == table["hausdorff"].worst_tenth == 0.9


def test_bad_input_is_named():
    grid = dense(SPHERE, 8)
    with pytest.raises(ValueError, match=r"same grid, given \(8, 8, 8\) and \(9, 9, 9\)"):
        volumetric_iou(grid, SPHERE, 9)
    with pytest.raises(ValueError, match="two empty ones"):
        volumetric_iou(np.zeros((4, 4, 4), bool), np.ones((4, 4, 4)))
    with pytest.raises(ValueError, match=r"grid must span \[-1, 1\]\^3"):
        inside_mask(SdfGrid(grid.values, lower=np.full(3, -0.5), upper=np.full(3, 0.5)))
    with pytest.raises(TypeError, match="boolean or float, given int"):
        inside_mask(np.zeros((4, 4, 4), np.int64))
    with pytest.raises(ValueError, match=r"mesh must lie in \[-1, 1\]\^3.*call normalize first"):
        measure_shape(ball(3.0), 16, 10)
    with pytest.raises(MeshHasNoFaces):
        measure_shape(trimesh.Trimesh(), 16, 10)
    with pytest.raises(ValueError, match="sigma must be a positive length, not 0"):
        near_surface_iou(SignedDistanceField(ball()), SignedDistanceField(ball()), sigma=0.0)
    with pytest.raises(ValueError, match="values must be finite"):
        summary([0.5, float("nan")])
    with pytest.raises(ValueError, match="at least one"):
        summary([])
