"""The embedded model: same seed same shape, alone or in a batch; solids; files that are whole."""

import copy
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from geomflow.generation import UPRIGHT, Generation, Shape, save_generation
from geomflow.geometry import Similarity, solid_report
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.primitives import Box, Moved, Union
from geomflow.geometry.read import read_mesh
from geomflow.metrics import volumetric_iou
from geomflow.pipeline import Clock, Pipeline, pretrained_names
from geomflow.pipelines._meshing import Meshing


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.from_pretrained("chairs")


@pytest.fixture(scope="module")
def result(pipeline) -> Generation:
    return pipeline(count=3, steps=2, seed=10, resolution=64)


def stool() -> trimesh.Trimesh:
    """A plain seat on four legs: nothing the model was trained on."""
    solid = Moved(Box((0.5, 0.06, 0.5)), (0.0, 0.1, 0.0))
    for x in (-0.42, 0.42):
        for z in (-0.42, 0.42):
            solid = Union(solid, Moved(Box((0.07, 0.45, 0.07)), (x, -0.35, z)))
    return solid.mesh()


def test_the_default_model_is_there():
    assert "chairs" in pretrained_names()


def test_a_shape_depends_on_its_seed_alone(pipeline, result):
    alone = pipeline(count=1, steps=2, seed=12, resolution=64)
    np.testing.assert_allclose(alone.latents[0], result.latents[2], atol=1e-4)
    assert alone.shapes[0].seed == result.shapes[2].seed == 12
    assert alone.meshes[0].volume == pytest.approx(result.meshes[2].volume, rel=1e-3)
    assert not np.allclose(result.latents[0], result.latents[1], atol=0.1)


def test_shapes_are_closed_bodies_inside_the_frame(result):
    for shape in result.shapes:
        assert shape.report is not None
        assert shape.report.watertight
        assert shape.report.volume > 0
        assert np.abs(shape.mesh.bounds).max() < 1.05
        assert shape.as_dict()["passes"] == (not shape.report.reasons())


def test_steps_is_an_argument_of_the_same_weights(pipeline, result):
    one, four = (pipeline.sample_latents(3, steps=steps, seed=10) for steps in (1, 4))
    reference = pipeline.sample_latents(3, steps=32, seed=10, ode=True)
    spread = reference.std()
    assert (one - result.latents).square().mean().sqrt() < spread  # the same shapes, not three unrelated ones
    assert (four - reference).square().mean() < (one.roll(1, 0) - reference).square().mean()


def test_reconstruction_keeps_a_stool_in_its_own_frame(pipeline):
    mesh = stool().apply_scale(7.0).apply_translation((3.0, -2.0, 1.0))
    found = pipeline.reconstruct(mesh, resolution=64)
    np.testing.assert_allclose(found.bounds, mesh.bounds, atol=0.5)
    undo = lambda points: points * 7.0 / 1.0 + np.array([3.0, -2.0, 1.0])  # noqa: E731
    inside = [SignedDistanceField(body) for body in (mesh, found)]
    iou = volumetric_iou(*(lambda points, body=body: body(undo(points)).distance for body in inside), resolution=48)
    assert iou > 0.6


def test_files_are_written_whole(result, tmp_path):
    save_generation(result, tmp_path / "out", "ply")
    about = json.loads((tmp_path / "out" / "generation.json").read_text())
    assert (about["count"], about["steps"], about["nfe"]) == (3, 2, 2)
    assert [shape["seed"] for shape in about["shapes"]] == [10, 11, 12]
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["0000.ply", "0001.ply", "0002.ply", "generation.json", "preview.png"]
    mesh = read_mesh(tmp_path / "out" / "0001.ply")
    assert mesh.volume == pytest.approx(result.meshes[1].volume, rel=1e-4)


def test_a_smaller_generation_leaves_nothing_of_a_larger_one(result, tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "2024.ply").touch()
    save_generation(result, tmp_path, "ply")
    save_generation(replace(result, shapes=result.shapes[:1]), tmp_path, "stl")
    assert {file.name for file in tmp_path.iterdir()} == {
        "0000.stl",
        "generation.json",
        "preview.png",
        "notes.txt",
        "2024.ply",
    }


@pytest.mark.parametrize("file_format", ["obj", "glb", "stl"])
def test_every_format_reads_back(result, tmp_path, file_format):
    save_generation(result, tmp_path, file_format)
    mesh = read_mesh(tmp_path / f"0000.{file_format}")
    assert mesh.area == pytest.approx(result.meshes[0].area, rel=1e-4)


def test_a_full_disk_leaves_nothing_half_written(result, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geomflow.viz.save_png", full)
    with pytest.raises(OSError, match=rf"No space left on device: .{tmp_path}/out.$"):
        save_generation(result, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_shape_without_surface_is_listed_with_its_reason(tmp_path):
    empty = Generation([Shape(0, trimesh.Trimesh(), problem="no surface")], 2, 2, 64, {}, torch.zeros(1))
    save_generation(empty, tmp_path)
    entry = json.loads((tmp_path / "generation.json").read_text())["shapes"][0]
    assert (entry["passes"], entry["reasons"], entry["file"]) == (False, ["no surface"], "")


def test_bad_counts_are_named(pipeline):
    with pytest.raises(ValueError, match="count and steps must be whole numbers of at least 1, given 0 and 2"):
        pipeline(count=0)


def test_files_are_as_large_and_as_upright_as_they_are_asked_to_be(result, tmp_path):
    for before in result.shapes:
        after = before.placed(up="z", size=900.0)
        factor = 900.0 / before.mesh.extents.max()
        x, y, z = before.mesh.vertices.T
        np.testing.assert_allclose(after.mesh.vertices, factor * np.stack([x, -z, y], axis=1), rtol=1e-6)
        assert after.mesh.volume == pytest.approx(after.report.volume, rel=1e-6)
        assert after.report.area == pytest.approx(factor**2 * before.report.area)
        assert before.placed().mesh.bounds == pytest.approx(before.mesh.bounds)
    for name, place in {"here": {}, "there": {"up": "z", "size": 900.0}}.items():
        save_generation(result, tmp_path / name, "stl", **place)
    assert read_mesh(tmp_path / "there" / "0000.stl").extents.max() == pytest.approx(900.0, rel=1e-5)
    here, there = ((tmp_path / name / "preview.png").read_bytes() for name in ("here", "there"))
    assert here == there
    with pytest.raises(ValueError, match="size must be positive and finite, given 0"):
        save_generation(result, tmp_path / "none", size=0.0)


def test_a_preview_shows_shapes_that_are_elsewhere(tmp_path):
    box = Box((0.6, 0.95, 0.4)).mesh()
    far = box.copy().apply_transform(np.diag([7.0, 7.0, 7.0, 1.0])).apply_translation((90.0, 0.0, 0.0))
    for name, mesh in {"here": box, "far": far}.items():
        made = Generation([Shape(0, mesh, solid_report(mesh))], 1, 1, 8, {}, torch.zeros(1, 1))
        save_generation(made, tmp_path / name)
    here, there = ((tmp_path / name / "preview.png").read_bytes() for name in ("here", "far"))
    assert here == there


def test_normals_of_the_field_stay_with_a_mesh(pipeline, tmp_path):
    shape = pipeline(1, seed=12, resolution=32, refine=1).shapes[0]
    normals = shape.mesh.vertex_normals
    placed = shape.placed(up="z", size=3.0).mesh
    np.testing.assert_allclose(placed.vertex_normals, normals @ UPRIGHT["z"][:3, :3].T, atol=1e-6)
    assert "vertex_normals" in placed._cache
    moved = shape.moved(Similarity(np.array([1.0, 2.0, 3.0]), 0.5)).mesh
    np.testing.assert_allclose(moved.vertex_normals, normals, atol=1e-6)
    assert "vertex_normals" in moved._cache
    assert "vertex_normals" in pipeline.reconstruct(stool(), resolution=32, refine=1)._cache


def test_every_stage_has_its_own_time(result, tmp_path):
    assert set(result.seconds) == {"network", "decode", "extraction", "report"}
    save_generation(result, tmp_path, "ply")
    seconds = json.loads((tmp_path / "generation.json").read_text())["seconds"]
    assert set(seconds) == {*result.seconds, "export"}


def test_a_clock_counts_inner_stages_once():
    clock = Clock()
    start = time.perf_counter()
    with clock.stage("outer"):
        time.sleep(0.02)
        clock.timed("inner", time.sleep)(0.05)
        with clock.stage("outer"):
            time.sleep(0.01)
    assert clock.seconds["inner"] >= 0.05
    assert 0.03 <= clock.seconds["outer"] <= time.perf_counter() - start - clock.seconds["inner"] + 1e-3


def test_bodies_beside_the_largest_go_or_stay(pipeline):
    """Two balls, one of a hundredth of the other's volume, as a decoded field."""

    def field(points: np.ndarray) -> np.ndarray:
        small = np.linalg.norm(points - np.array([0.7, 0.0, 0.0]), axis=1) - 0.1
        return np.minimum(np.linalg.norm(points - np.array([-0.3, 0.0, 0.0]), axis=1) - 0.46, small)

    pipeline = copy.copy(pipeline)
    pipeline.field = lambda latent: field
    latent = torch.zeros(pipeline.model.autoencoder.latent_shape)
    policies = ("keep", "specks", "largest")
    found = {policy: pipeline.shape(latent, meshing=Meshing(32, floaters=policy)) for policy in policies}
    assert [(s.dropped, s.report.outer_components) for s in found.values()] == [(0, 2), (1, 1), (1, 1)]
    assert not found["keep"].as_dict()["passes"]
    repaired = pipeline.shape(latent, meshing=Meshing(48, floaters="keep", repair="remesh"))
    assert (repaired.repaired, repaired.report.outer_components) == ("none", 2)  # 0.44 apart is no gap


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("wrong", [{"floaters": "some"}, {"repair": "glue"}])
def test_policies_that_do_not_exist_are_named(pipeline, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} must be one of .*, given {value!r}"):
        pipeline(1, **wrong)
