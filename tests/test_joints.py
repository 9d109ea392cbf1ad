"""Skeletal joints: rigs as data, prediction in the mesh's own frame, and meshes that no skeleton fits into."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from data_prep.procedural_rigs import rig
from geomflow import shelves
from geomflow.checkpoint import Checkpoint
from geomflow.cli import main
from geomflow.config import Item
from geomflow.errors import ConfigError, MeshDegenerate, RecordError
from geomflow.geometry.primitives import Box
from geomflow.geometry.rig import Rig
from geomflow.geometry.surface import sample_surface
from geomflow.geometry.write_rig import write_rig
from geomflow.metrics.joints import joint_chamfer
from geomflow.model import LatentModel, LatentScale
from geomflow.pipelines.joints import SEEN, JointPipeline, _largest_body
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare

TOKENS, POINTS = 24, 200
HEAD, FOOT = (0.0, 0.6, 0.0), (0.0, -0.6, 0.0)


def pole() -> trimesh.Trimesh:
    """A pole that stands: longest half extent 1 along y."""
    return Box((0.2, 1.0, 0.2)).mesh()


def rig_of(mesh: trimesh.Trimesh, joints: list, name: str) -> Rig:
    """A rig whose vertices all move with the joint that is nearest."""
    places = np.array(joints, dtype=np.float32)
    nearest = np.linalg.norm(mesh.vertices[:, None] - places, axis=2).argmin(1)
    skin = np.zeros((len(mesh.vertices), 4), dtype=np.int32)
    weights = np.zeros((len(mesh.vertices), 4), dtype=np.float32)
    skin[:, 0], weights[:, 0] = nearest, 1
    parents = np.array([-1, *range(len(joints) - 1)], dtype=np.int32)
    return Rig(places, parents, [f"{name}{i}" for i in range(len(joints))], skin, weights)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Five rigs of a cluster of poles and one of a cluster of boxes."""
    place = tmp_path_factory.mktemp("rigs")
    for i in range(5):
        (place / "pole" / "train").mkdir(parents=True, exist_ok=True)
        write_rig(pole(), rig_of(pole(), [HEAD, (0.0, 0.1 * i, 0.0), FOOT], "p"), place / f"pole/train/{i}.npz")
    (place / "box" / "train").mkdir(parents=True)
    box = Box((0.9, 0.5, 0.3)).mesh()
    write_rig(box, rig_of(box, [(0.8, 0.4, 0.2), (-0.8, -0.4, -0.2)], "b"), place / "box/train/0.npz")
    recipe = Recipe(resolution=0, surface_points=POINTS, volume_points=0, near_points=0, rig=True)
    prepare(place, place / "set", recipe, progress=False)
    return place / "set"


def dataset(folder, **options):
    encoder = shelves.load("encoders", "joint_set", tokens=TOKENS, points=POINTS)
    scale = LatentScale(encoder.latent_shape)
    return shelves.load("datasets", "joints", folder=str(folder), autoencoder=encoder, scale=scale, **options), scale


def test_every_cluster_is_seen_equally_often_and_every_joint_too(folder):
    data, scale = dataset(folder, turn=0.0, stretch=0.0, mirror=False)
    batch = data.batch(torch.zeros(400, dtype=torch.long), torch.Generator().manual_seed(0))
    points = scale.restore(batch["data"])
    wide = batch["surface"][:, :, 0].amax(1) > 0.5
    assert 150 < int(wide.sum()) < 250  # one rig of six, one cluster of two
    spread = points[wide][0].T
    ends = spread[:, 0] > 0
    assert int(ends.sum()) == TOKENS // 2
    torch.testing.assert_close(spread[ends].std(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert points.mean(dim=(0, 2)).abs().max() < 0.1


def test_joints_move_with_their_surface(folder):
    """The first box's joint lies a fixed share of the way along every axis of the box, however it is stretched."""
    data, scale = dataset(folder, turn=0.0, stretch=0.5, mirror=True)
    batch = data.batch(torch.zeros(60, dtype=torch.long), torch.Generator().manual_seed(1))
    points = scale.restore(batch["data"])
    surface = batch["surface"]
    half = surface[..., :3].amax(1)
    assert half.amax(1).sub(0.95).abs().max() < 1e-5
    boxes = half[:, 2] < 0.75 * half[:, 1]
    boxes &= half[:, 1] < 0.9 * half[:, 0]
    share = points[boxes].abs().mean(2) / half[boxes]
    torch.testing.assert_close(share, torch.tensor([0.8 / 0.9, 0.8, 2 / 3]).expand_as(share), atol=0.05, rtol=0)
    torch.testing.assert_close(surface[..., 3:].norm(dim=2), torch.ones(60, POINTS))
    outward = (surface[..., :3] * surface[..., 3:]).sum(2)
    assert (outward > 0).all()  # normals are mirrored and stretched as normals are


def test_joints_and_normals_move_as_the_surface_does(folder):
    """Joints that are surface points stay those points; normals stay orthogonal to what the tangents become."""
    data, _ = dataset(folder, turn=180.0, stretch=0.5, mirror=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        normals = torch.nn.functional.normalize(torch.randn(POINTS, 3, generator=generator), dim=1)
        points = 0.4 * normals + torch.tensor([0.3, -0.2, 0.1])  # a ball that is not in the middle
        joints, surface = data._moved(points[:9], torch.cat([points, normals], dim=1), generator)
        torch.testing.assert_close(joints, surface[:9, :3])
        homogeneous = torch.cat([points, torch.ones(POINTS, 1)], dim=1)
        matrix = torch.linalg.lstsq(homogeneous, surface[:, :3]).solution[:3]
        wanted = torch.nn.functional.normalize(normals @ torch.linalg.inv(matrix).T, dim=1)
        torch.testing.assert_close(surface[:, 3:], wanted, atol=1e-3, rtol=0)
        assert (matrix - matrix.diag().diag()).abs().max() > 0.05  # it was turned


def predicting(joints: list, tokens: int = TOKENS) -> JointPipeline:
    """A pipeline whose network always predicts these joints, in the unit frame."""
    values = np.resize(np.array(joints), (tokens, 3)).T.tolist()
    config = replace(
        shelves.load("presets", "joints"),
        encoder=Item("joint_set", {"tokens": tokens, "points": POINTS}),
        network=Item("tests.constant", {"values": values}),
        formulation=Item("x1_prediction"),
    )
    return JointPipeline(LatentModel(config).eval(), Checkpoint(config, {}, {}), "cpu")


@pytest.mark.parametrize("steps", [1, 3])
def test_joints_come_back_in_the_frame_of_the_mesh(steps):
    mesh = pole().apply_scale(7.0).apply_translation((3.0, -2.0, 1.0))
    inner = [(0.0, y, 0.0) for y in (0.6, 0.0, -0.6)]
    found = predicting(inner)(mesh, steps, seed=3)
    wanted = np.array(inner) / 0.95 * 7.0 + (3.0, -2.0, 1.0)
    order = found.joints[:, 1].argsort()[::-1]
    np.testing.assert_allclose(found.joints[order], wanted, atol=1e-3)
    assert found.parents[order[1]] == -1
    assert found.parents[order[[0, 2]]].tolist() == [order[1]] * 2
    assert found.spread.max() < 1e-3
    assert found.nfe == steps


def test_the_embedded_model_finds_the_joints_of_rigs_it_has_not_seen():
    """Nearer to a character's own joints than to another's, and than points of its surface are; in any frame."""
    rigs = {family: rig(family, 2000, resolution=48) for family in ("robot", "fish")}
    pipeline = JointPipeline.from_pretrained("joints")
    for family, (mesh, own) in rigs.items():
        moved = mesh.copy().apply_scale(3.0).apply_translation((5.0, -2.0, 1.0))
        found = (pipeline(moved, steps=5).joints - (5.0, -2.0, 1.0)) / 3.0
        away = {name: joint_chamfer(found, other.joints.astype(float)) for name, (_, other) in rigs.items()}
        assert min(away, key=away.__getitem__) == family
        surface = sample_surface(mesh, len(found), seed=0).points
        assert away[family] < 0.7 * joint_chamfer(surface, own.joints.astype(float))


def test_the_surface_is_read_once_for_all_steps():
    pipeline, calls = JointPipeline.from_pretrained("joints"), []
    reader = pipeline.model.flow_map.network.condition
    reader.register_forward_hook(lambda *_: calls.append(1))
    mesh = pole()
    assert pipeline(mesh, steps=3).nfe == 3
    assert len(calls) == 1
    auto = pipeline(mesh, steps="auto", tolerance=0.3)
    assert len(calls) == 3  # once to choose the steps, once to take them
    assert auto.nfe == auto.steps < 64


def test_meshes_without_a_volume_and_of_several_bodies_are_refused():
    pipeline = predicting([HEAD, FOOT])
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    with pytest.raises(MeshDegenerate, match="volume"):
        pipeline(sheet)
    with pytest.raises(MeshDegenerate, match=r"bodies apart from the largest, (49|50) % of the"):
        pipeline(balls(0.3, [(-0.6, 0, 0), (0.6, 0, 0)]))
    hat = trimesh.util.concatenate([Box((0.2, 0.8, 0.2)).mesh(), balls(0.1, [(0.0, 0.95, 0.0)])])
    assert len(pipeline(hat).joints) == 2  # near parts are one character


def balls(radius: float, places: list) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    return trimesh.util.concatenate([ball.copy().apply_translation(place) for place in places])


@pytest.mark.parametrize("seed", range(3))
def test_bodies_are_told_apart_however_points_fall(seed):
    cube = sample_surface(Box().mesh(), SEEN, seed).points  # one fat body: its points are as far apart as they can be
    assert _largest_body(cube) > 0.99
    many = balls(0.1, [(x, y, 0.0) for x in (-0.8, 0, 0.8) for y in (-0.4, 0.4)])
    assert _largest_body(sample_surface(many, SEEN, seed).points) < 0.25


def test_the_command_writes_json_and_a_picture(tmp_path, capsys):
    pipeline = predicting([HEAD, FOOT])
    weights = pipeline.model.state_dict()
    run = tmp_path / "run"
    JointPipeline(pipeline.model, Checkpoint(pipeline.saved.config, {}, weights), "cpu").save_pretrained(run)
    pole().export(tmp_path / "pole.ply")
    out, picture = tmp_path / "joints.json", tmp_path / "pole.png"
    assert main(["joints", str(run), str(tmp_path / "pole.ply"), "--out", str(out), "--picture", str(picture)]) == 0
    found = json.loads(out.read_text())
    assert len(found["joints"]) == len(found["parents"]) == 2
    assert found["parents"].count(-1) == 1
    assert sorted(round(joint[1], 2) for joint in found["joints"]) == [-0.63, 0.63]
    assert picture.stat().st_size > 1000
    assert main(["joints", str(run), str(tmp_path / "pole.ply"), "--out", str(tmp_path / "a.txt")]) == 2
    assert "--out must be a .json file" in capsys.readouterr().err
    assert main(["joints", str(run), str(tmp_path / "pole.ply"), "--out", str(out), "--picture", "a.jpg"]) == 2
    assert "--picture must be a .png file" in capsys.readouterr().err
    assert main(["joints", str(run), str(tmp_path / "pole.ply"), "--out", str(out), "--steps", "0"]) == 2
    assert "steps must be whole numbers of at least 1" in capsys.readouterr().err
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 1, 2]], process=False)
    sheet.export(tmp_path / "sheet.ply")
    assert main(["joints", str(run), str(tmp_path / "sheet.ply"), "--out", str(out)]) == 1
    assert "sheet.ply: wanted a mesh with a volume" in capsys.readouterr().err


def test_data_that_do_not_fit_are_named(folder, tmp_path):
    with pytest.raises(ConfigError, match="condition must be 'surface' for joints, given 'class'"):
        dataset(folder, condition="class")
    encoder = shelves.load("encoders", "joint_set", tokens=TOKENS, points=2 * POINTS)
    with pytest.raises(RecordError, match=f"wanted {2 * POINTS} surface points in every record, found {POINTS}"):
        shelves.load(
            "datasets", "joints", folder=str(folder), autoencoder=encoder, scale=LatentScale(encoder.latent_shape)
        )
    few = shelves.load("encoders", "joint_set", tokens=1, points=POINTS)
    with pytest.raises(ConfigError, match=r"at most as many joints as points in a set, 1, found 2; --encoder.tokens"):
        shelves.load("datasets", "joints", folder=str(folder), autoencoder=few, scale=LatentScale(few.latent_shape))
    (tmp_path / "a").mkdir()
    Box().mesh().export(tmp_path / "a" / "box.ply")
    prepare(tmp_path / "a", tmp_path / "set", Recipe(resolution=0, surface_points=POINTS), progress=False)
    with pytest.raises(RecordError, match="rig"):
        dataset(tmp_path / "set")
