"""Shapes to evaluate: what is read from where, how points are drawn, and what is refused."""

import json

import numpy as np
import pytest
import torch
import trimesh

from geomflow.errors import EvaluationError, MeshHasNoFaces, RecordError
from geomflow.geometry.primitives import Box, Sphere
from geomflow.metrics import open_shapes
from geomflow.metrics.inputs import in_pairs
from tests.conftest import prepared_solids


@pytest.fixture
def meshes(tmp_path):
    """A folder with a sphere and a box."""
    folder = tmp_path / "meshes"
    folder.mkdir()
    Sphere(0.5).mesh().export(folder / "ball.ply")
    Box((0.5, 0.4, 0.3)).mesh().export(folder / "box.obj")
    return folder


def test_meshes_are_sampled_by_area_and_clouds_are_subsets(meshes):
    cloud = np.random.default_rng(0).random((50, 3))
    np.save(meshes / "cloud.npy", cloud)
    shapes = open_shapes(meshes)
    assert [shape.id for shape in shapes.shapes] == ["ball", "box", "cloud"]
    radii = np.linalg.norm(shapes.shapes[0].cloud(1000, "generated"), axis=1)
    np.testing.assert_allclose(radii, 0.5, atol=2e-3)
    chosen = shapes.shapes[2].cloud(20, "generated")
    assert len(np.unique(chosen, axis=0)) == 20
    assert {tuple(p) for p in chosen} <= {tuple(p) for p in cloud}
    with pytest.raises(EvaluationError, match=r"cloud.npy: wanted at least 51 points, found 50"):
        shapes.shapes[2].cloud(51, "generated")
    with pytest.raises(MeshHasNoFaces, match=r"cloud.npy: wanted a mesh with faces, found 50 points only"):
        shapes.shapes[2].mesh()


def test_points_depend_on_content_role_and_seed_and_on_nothing_else(meshes, tmp_path):
    ball = open_shapes(meshes).shapes[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "renamed.ply").write_bytes((meshes / "ball.ply").read_bytes())
    again = open_shapes(tmp_path / "other").shapes[0]
    assert (ball.cloud(30, "generated") == again.cloud(30, "generated")).all()
    assert not (ball.cloud(30, "generated") == ball.cloud(30, "reference")).any()
    assert not (ball.cloud(30, "generated") == ball.cloud(30, "generated", seed=1)).any()


@pytest.mark.parametrize("suffix", ["npy", "pt"])
def test_arrays_of_clouds_and_of_one_cloud(tmp_path, suffix):
    array = np.random.default_rng(0).random((3, 8, 3)).astype(np.float32)
    file, one = tmp_path / f"many.{suffix}", tmp_path / f"one.{suffix}"
    for path, content in ((file, array), (one, array[0])):
        np.save(path, content) if suffix == "npy" else torch.save(torch.from_numpy(content), path)
    shapes = open_shapes(file)
    assert len(shapes) == 3
    assert sorted(map(tuple, shapes.shapes[1].cloud(8, "generated"))) == sorted(map(tuple, array[1].astype(float)))
    assert len(open_shapes(one)) == 1


def test_a_dataset_gives_its_test_split_or_the_one_that_is_asked_for(tmp_path):
    dataset = prepared_solids(tmp_path)
    shapes = open_shapes(dataset)
    assert (len(shapes), shapes.split) == (4, "train")
    record = shapes.shapes[0]
    assert record.mesh().is_watertight
    assert np.abs(record.cloud(100, "reference")).max() <= 0.95 + 1e-6
    with pytest.raises(RecordError, match="no shape in split 'test'; there are train"):
        open_shapes(dataset, "test")


def test_roles_take_other_points_of_a_file_as_far_as_there_are_enough(tmp_path):
    points = np.random.default_rng(0).random((300, 3))
    np.save(tmp_path / "cloud.npy", points)
    shape = open_shapes(tmp_path / "cloud.npy").shapes[0]
    drawn = [{tuple(p) for p in shape.cloud(100, role)} for role in ("generated", "reference", "training")]
    assert len(drawn[0] | drawn[1] | drawn[2]) == 300
    assert shape.cloud(300, "reference").shape == (300, 3)


def test_splits_of_a_table_are_kept_apart_and_shapes_are_turned_upright(tmp_path):
    Box((0.5, 0.4, 0.3)).mesh().export(tmp_path / "a.ply")
    Sphere(0.5).mesh().export(tmp_path / "b.ply")
    (tmp_path / "all.csv").write_text("path,class,split,up\na.ply,x,train,z\nb.ply,x,test,y\n")
    assert [shape.id for shape in open_shapes(tmp_path / "all.csv").shapes] == ["x-b"]
    train = open_shapes(tmp_path / "all.csv", "train")
    np.testing.assert_allclose(train.shapes[0].mesh().extents, (1, 0.6, 0.8), atol=1e-6)
    with pytest.raises(EvaluationError, match="no shape in split 'val'; there are test, train"):
        open_shapes(tmp_path / "all.csv", "val")


def test_a_generation_without_any_surface_is_all_missing(tmp_path):
    (tmp_path / "generation.json").write_text(json.dumps({"shapes": [{"file": ""}] * 8}))
    found = open_shapes(tmp_path)
    assert (len(found), found.missing) == (0, 8)


def test_the_hash_of_a_gltf_holds_its_buffers(tmp_path):
    Sphere(0.5).mesh().export(tmp_path / "ball.gltf")
    before = open_shapes(tmp_path / "ball.gltf").sha256()
    buffer = next(tmp_path.glob("*.bin"))
    buffer.write_bytes(buffer.read_bytes()[:-4] + b"\0\0\0\0")
    assert open_shapes(tmp_path / "ball.gltf").sha256() != before


def test_a_set_is_known_by_its_contents(meshes):
    before = open_shapes(meshes).sha256()
    (meshes / "box.obj").rename(meshes / "a.obj")
    assert open_shapes(meshes).sha256() == before
    Box((0.5, 0.4, 0.2)).mesh().export(meshes / "a.obj")
    assert open_shapes(meshes).sha256() != before


def test_shapes_that_a_generation_failed_to_make_are_not_forgotten(meshes):
    files = [{"file": "ball.ply"}, {"file": ""}, {"file": ""}]
    (meshes / "generation.json").write_text(json.dumps({"shapes": files}))
    assert open_shapes(meshes).missing == 2


def test_pairs_are_found_by_name_and_none_is_left_out(meshes, tmp_path):
    reference = open_shapes(meshes)
    assert [one.id for one, _ in in_pairs(reference, reference)] == ["ball", "box"]
    (meshes / "box.obj").unlink()
    with pytest.raises(EvaluationError, match=r"1 of the 2 shapes of .* no counterpart of their name here \(box\)"):
        in_pairs(open_shapes(meshes), reference)
    Sphere(0.5).mesh().export(tmp_path / "fitted.ply")
    assert len(in_pairs(open_shapes(tmp_path / "fitted.ply"), open_shapes(meshes))) == 1


def test_bad_places_are_named(meshes, tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((4, 5, 2)))
    with pytest.raises(
        EvaluationError, match=r"flat.npy: wanted clouds \(shapes, points, 3\), found shape \(4, 5, 2\)"
    ):
        open_shapes(tmp_path / "flat.npy")
    np.save(tmp_path / "nan.npy", np.where(np.arange(2)[:, None, None] == 1, np.nan, np.ones((2, 4, 3))))
    with pytest.raises(EvaluationError, match=r"nan.npy: wanted finite coordinates, found NaN or infinity in shape 1"):
        open_shapes(tmp_path / "nan.npy")
    (tmp_path / "no.npy").write_bytes(b"nothing")
    with pytest.raises(EvaluationError, match=r"no.npy: not an array of numbers"):
        open_shapes(tmp_path / "no.npy")
    with pytest.raises(RecordError, match="nowhere: wanted a folder"):
        open_shapes(tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match="no shape in split 'test'; there are train"):
        open_shapes(meshes, "test")
    (meshes / "bad.ply").write_text("no")
    bad = next(shape for shape in open_shapes(meshes).shapes if shape.id == "bad")
    with pytest.raises(ValueError, match=r"bad.ply"):
        bad.cloud(5, "generated")


def test_a_mesh_of_points_only_is_a_cloud(tmp_path):
    trimesh.PointCloud(np.random.default_rng(0).random((9, 3))).export(tmp_path / "points.ply")
    assert open_shapes(tmp_path / "points.ply").shapes[0].cloud(9, "generated").shape == (9, 3)
