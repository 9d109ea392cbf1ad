"""Every layout, read back by a loader of its own, agrees with the exact solids in that layout's frame."""

import io
import json

import numpy as np
import pytest

from geomflow.geometry.primitives import Box, Union
from geomflow.prep.export import export
from geomflow.prep.job import make_record
from geomflow.prep.manifest import read
from geomflow.prep.sources import Source
from geomflow.records import load_record
from geomflow.views import unifi3d as unifi3d_view
from tests.views import loaders
from tests.views.conftest import RECIPE, SOLIDS

BLOCK, KNOB, BALL = SOLIDS
MESH_ERROR = 2e-4  # of the icosphere, per unit of extent
HALF = 1e-3  # rounding of coordinates up to 1 to half precision, with some room


def assert_inside(label, exact, slack=MESH_ERROR):
    """Labels are right wherever the exact solid is not within `slack` of the point, and both kinds occur."""
    clear = np.abs(exact) > slack
    np.testing.assert_array_equal(label[clear], exact[clear] < 0)
    assert clear.mean() > 0.9
    assert 0 < label.mean() < 1


@pytest.fixture(scope="module")
def vecset(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("vecset")
    export(dataset, out, "vecset", progress=False, surface_points=20_000)
    shapes = {
        **loaders.vecset(out, "03001627", "train"),
        **loaders.vecset(out, "03001627", "test"),
        **loaders.vecset(out, "ball", "train"),
    }
    assert shapes.keys() == SOLIDS.keys()
    return shapes


@pytest.mark.parametrize("name", SOLIDS)
def test_vecset_labels_and_surface(vecset, name):
    shape, exact = vecset[name], SOLIDS[name]
    for kind in ("vol", "near"):
        points, label = shape[f"{kind}_points"], shape[f"{kind}_label"]
        assert (points.dtype, points.shape, label.dtype, label.shape) == (np.float32, (3000, 3), bool, (3000,))
        assert_inside(label, exact.sdf(points, 1.0, front="-z"))
    assert shape["surface"].shape == (20_000, 3)
    assert np.abs(shape["surface"]).max() == pytest.approx(1, abs=0.01)
    assert np.abs(exact.sdf(shape["surface"], 1.0, front="-z")).max() < MESH_ERROR


@pytest.mark.parametrize("name", SOLIDS)
def test_vecset_cloud_goes_back_to_the_mesh_file(vecset, name):
    cloud, exact = vecset[name]["cloud"], SOLIDS[name]
    assert np.abs(cloud["points"]).max() <= 0.5 + 1e-6
    back = (cloud["points"] * cloud["scale"] + cloud["loc"]) * [-1, 1, -1]
    assert np.abs(exact.solid(back)).max() < exact.extent * MESH_ERROR


@pytest.mark.parametrize("name", [BLOCK, BALL])
def test_vecset_normals_point_outward(vecset, name):
    cloud = vecset[name]["cloud"]
    outside = SOLIDS[name].sdf(cloud["points"] + 1e-2 * cloud["normals"], 0.5, front="-z")
    np.testing.assert_allclose(outside, 1e-2, atol=2e-4)


def test_vecset_front_is_where_shapenet_has_it_unless_told_otherwise(vecset, dataset, tmp_path):
    assert vecset[KNOB]["surface"][:, 2].min() == pytest.approx(-1, abs=0.01)
    narrow = vecset[KNOB]["surface"][vecset[KNOB]["surface"][:, 2] < -0.7]
    assert np.abs(narrow[:, :2]).max() == pytest.approx(0.2, abs=0.01)  # the knob
    export(dataset, tmp_path, "vecset", progress=False, surface_points=100, front="z")
    straight = loaders.vecset(tmp_path, "03001627", "test")[KNOB]
    np.testing.assert_array_equal(straight["vol_points"], vecset[KNOB]["vol_points"] * np.float32([-1, 1, -1]))


@pytest.fixture(scope="module")
def hunyuan(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("hunyuan")
    export(dataset, out, "hunyuan", progress=False, points=3000)
    assert loaders.hunyuan(out, "train").keys() == {BLOCK, BALL}
    return {**loaders.hunyuan(out, "train"), **loaders.hunyuan(out, "test")}


@pytest.mark.parametrize("name", SOLIDS)
def test_hunyuan_labels_are_distances_positive_inside(hunyuan, name):
    shape, exact = hunyuan[name], SOLIDS[name]
    for kind, count in {"vol": 6000, "random_near": 6000, "sharp_near": 3000}.items():
        points, label = shape[f"{kind}_points"], shape[f"{kind}_label"]
        assert (points.dtype, points.shape, label.dtype, label.shape) == (np.float16, (count, 3), np.float16, (count,))
        distance = exact.sdf(points, 0.9999)
        assert_inside(label > 0, distance)
        outside = distance > 0  # inside, a union's distance is a bound only
        np.testing.assert_allclose(label[outside], -distance[outside], atol=HALF)
    assert np.abs(shape["vol_points"]).max() == pytest.approx(1.05, abs=0.01)
    assert exact.sdf(shape["random_near_points"], 0.9999).std() == pytest.approx(0.035, abs=0.01)


@pytest.mark.parametrize("name", SOLIDS)
def test_hunyuan_surfaces(hunyuan, name):
    for kind in ("random_surface", "sharp_surface"):
        rows = hunyuan[name][kind]
        assert (rows.dtype, rows.shape) == (np.float16, (3000, 6))
        assert np.abs(SOLIDS[name].sdf(rows[:, :3], 0.9999)).max() < HALF
        np.testing.assert_allclose(np.linalg.norm(rows[:, 3:].astype(float), axis=1), 1, atol=HALF)


def test_hunyuan_sharp_points_are_on_the_edges_of_a_block(hunyuan):
    rows = hunyuan[BLOCK]["sharp_surface"].astype(float)
    half_extents = 0.9999 * np.array([1, 0.5 / 0.8, 0.3 / 0.8])
    touching = np.abs(np.abs(rows[:, :3]) - half_extents) < HALF
    assert (touching.sum(axis=1) >= 2).all()
    along = np.argmin(touching, axis=1)
    share = np.bincount(along, minlength=3) / len(rows)
    np.testing.assert_allclose(share, half_extents / half_extents.sum(), atol=0.04)
    diagonal = np.where(touching, np.sign(rows[:, :3]), 0) / np.sqrt(2)
    edge = touching.sum(axis=1) == 2
    np.testing.assert_allclose(rows[edge, 3:], diagonal[edge], atol=HALF)


def test_pointflow_clouds(dataset, tmp_path):
    export(dataset, tmp_path, "pointflow", progress=False)
    clouds = {
        **loaders.pointflow(tmp_path, "03001627", "train"),
        **loaders.pointflow(tmp_path, "03001627", "test"),
        **loaders.pointflow(tmp_path, "ball", "train"),
    }
    assert clouds.keys() == SOLIDS.keys()
    for name, points in clouds.items():
        assert (points.dtype, points.shape) == (np.float32, (15_000, 3))
        assert np.abs(SOLIDS[name].sdf(points, 0.95, front="-z")).max() < MESH_ERROR
    record = load_record(dataset / read(dataset)[BALL].file)
    np.testing.assert_allclose(clouds[BALL] * [-1, 1, -1], record.surface_points[:15_000], atol=1e-7)


@pytest.fixture(scope="module")
def unifi3d_root(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("unifi3d")
    export(dataset, out, "unifi3d", progress=False, resolutions=(24,), depth=5)
    return out


@pytest.fixture(scope="module")
def unifi3d(unifi3d_root):
    return {**loaders.unifi3d(unifi3d_root, "train"), **loaders.unifi3d(unifi3d_root, "test")}


@pytest.mark.parametrize("name", SOLIDS)
def test_unifi3d_grids_are_negative_inside_and_ordered_z_y_x(unifi3d, name):
    sdf = unifi3d[name]["sdf_grid_24"]["sdf"]
    centres = np.linspace(-0.5 + 0.5 / 24, 0.5 - 0.5 / 24, 24)
    z, y, x = np.meshgrid(centres, centres, centres, indexing="ij")
    exact = SOLIDS[name].sdf(np.stack([x, y, z], axis=-1).reshape(-1, 3), 0.4, front="x")
    assert (sdf.dtype, sdf.shape) == (np.float16, (24, 24, 24))
    assert_inside(sdf.ravel() < 0, exact)
    np.testing.assert_allclose(sdf.ravel()[exact > 0], exact[exact > 0], atol=HALF)


@pytest.mark.parametrize("name", SOLIDS)
def test_unifi3d_samples(unifi3d, name):
    shape, exact = unifi3d[name], SOLIDS[name]
    occupied = np.unpackbits(shape["points_iou"]["occupancies"]).astype(bool)
    assert (shape["points_iou"]["points"].shape, len(shape["points_iou"]["occupancies"])) == ((100_000, 3), 12_500)
    assert_inside(occupied, exact.sdf(shape["points_iou"]["points"], 0.4, front="x"))
    octree = shape["sdf_octree_depth_5"]
    assert {array.dtype for array in octree.values()} == {np.dtype(np.float16)}
    distance = exact.sdf(octree["points"], 0.4, front="x")
    np.testing.assert_allclose(octree["sdf"][distance > 0], distance[distance > 0], atol=HALF)
    assert np.abs(octree["points"]).max() <= 0.5
    assert len(octree["points"]) > 0.9 * 4 * 16**3
    for cloud, count in {"pointcloud": 40_000, "pointcloud_boundary": 100_000}.items():
        assert shape[cloud]["points"].shape == shape[cloud]["normals"].shape == (count, 3)
        assert shape[cloud]["metallic"].shape == (count, 1)
    assert np.abs(exact.sdf(shape["pointcloud_boundary"]["points"], 0.4, front="x")).max() < HALF


def test_unifi3d_gradients_point_away_from_a_ball(unifi3d):
    octree = {name: array.astype(float) for name, array in unifi3d[BALL]["sdf_octree_depth_5"].items()}
    radius = np.linalg.norm(octree["points"], axis=1)
    far = radius > 0.1  # the gradient turns within a step near the centre
    np.testing.assert_allclose(octree["grad"][far], (octree["points"] / radius[:, None])[far], atol=0.06)


def test_unifi3d_refines_the_octree_where_the_surface_is(unifi3d):
    octree = unifi3d[BALL]["sdf_octree_depth_5"]["points"].astype(float)
    near = np.abs(np.linalg.norm(octree, axis=1) - 0.4) < 0.02
    shell = 4 / 3 * np.pi * (0.42**3 - 0.38**3)
    coarse = 4 * 16**3 * shell  # points that the complete level puts there
    assert near.sum() == pytest.approx(coarse * (1 + 8), rel=0.05)  # and the next level, eight times as dense


def test_unifi3d_boundary_leaves_out_walls_inside_the_solid(tmp_path):
    Union(Box((0.8, 0.5, 0.3)), Box((0.2, 0.2, 0.2))).mesh().export(tmp_path / "walled.ply")
    record = make_record(Source("walled", str(tmp_path / "walled.ply")), RECIPE)
    files = unifi3d_view.make(resolutions=(4,), depth=4).files(record)
    clouds = {name.split("/")[-1]: np.load(io.BytesIO(data)) for name, data in files.items() if "cloud" in name}
    inner = {name: (np.abs(data["points"]) < 0.11).all(axis=1).mean() for name, data in clouds.items()}
    areas = 24 * 0.2**2, 8 * (0.8 * 0.5 + 0.8 * 0.3 + 0.5 * 0.3)
    assert inner["pointcloud.npz"] == pytest.approx(areas[0] / sum(areas), abs=0.01)
    assert inner["pointcloud_boundary.npz"] == 0


def test_unifi3d_mesh_and_info(unifi3d, unifi3d_root):
    mesh = unifi3d[BLOCK]["mesh"]
    assert (mesh["vertices"].dtype, mesh["triangles"].dtype) == (np.float32, np.int32)
    np.testing.assert_allclose(np.ptp(mesh["vertices"], axis=0), [0.3, 0.5, 0.8], rtol=1e-5)
    info = json.loads((unifi3d_root / "03001627" / BLOCK / "info.json").read_text())
    assert info == {"text": "03001627", "file_path": "block.ply", "id": BLOCK}
