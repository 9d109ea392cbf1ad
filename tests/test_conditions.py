"""Shapes on request: latent sets of a trained autoencoder, flow maps that are told a class or points of a surface."""

import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from geomflow import checkpoint, shelves
from geomflow.cli import main
from geomflow.config import Item, Optimization, RunConfig
from geomflow.errors import ConfigError
from geomflow.geometry import read_mesh, sample_surface, write_mesh
from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.frame import SPARSE_MARGIN, sparse_similarity
from geomflow.geometry.primitives import Box, Sphere, Torus
from geomflow.metrics import volumetric_iou
from geomflow.pipeline import Pipeline
from geomflow.pipelines._condition import POINTS as CONDITION_POINTS
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare
from geomflow.train import train
from tests.conftest import without_shape_checks
from tests.encoders.test_set_autoencoder import shrunk

NETWORK = Item("diffusion_transformer", {"width": 32, "depth": 2, "heads": 2})
SHAPES = {"box": [Box(), Box((0.4, 0.8, 0.6))], "ring": [Torus()], "ball": [Sphere()]}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Four exact solids of three classes."""
    folder = tmp_path_factory.mktemp("meshes")
    rows = []
    for name, solids in SHAPES.items():
        for i, solid in enumerate(solids):
            write_mesh(solid.mesh(), folder / f"{name}{i}.ply")
            rows.append({"path": f"{name}{i}.ply", "class": name, "split": "train"})
    with (folder / "list.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    recipe = Recipe(resolution=16, surface_points=500, volume_points=300, near_points=300)
    prepare(folder / "list.csv", folder / "set", recipe, progress=False)
    return folder / "set"


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    """A run of the preset, shrunk, long enough to have learned its four shapes."""
    config = shrunk(
        Optimization(steps=100, batch_size=4, optimizer="muon", learning_rate=4e-3, warmup=10, ema=0.9),
        fewest_tokens=20,
    )
    with without_shape_checks():
        return train(config, data, tmp_path_factory.mktemp("runs") / "sets", progress=False)


@pytest.fixture(scope="module")
def completion(run, data, tmp_path_factory) -> Pipeline:
    """Hardly trained, which is enough to see what it is told."""
    config = flow_map("sdf_completion", run, encoder=Item("set_autoencoder", {"tokens": 16}))
    config = replace(config, dataset=Item("latents", {"variants": 2}))
    with without_shape_checks():
        return Pipeline.from_pretrained(train(config, data, tmp_path_factory.mktemp("runs") / "it", progress=False))


@pytest.fixture(scope="module")
def by_class(run, data, tmp_path_factory) -> Pipeline:
    with without_shape_checks():
        config = flow_map("sdf_class_flow_map", run)
        return Pipeline.from_pretrained(train(config, data, tmp_path_factory.mktemp("runs") / "it", progress=False))


def flow_map(preset: str, encoder_run: Path, **changes) -> RunConfig:
    config = shelves.load("presets", preset)
    quick = Optimization(steps=12, batch_size=8, optimizer="muon", learning_rate=3e-3, warmup=2, ema=0.5)
    return replace(config, network=NETWORK, pretrained_encoder=str(encoder_run), optimization=quick, **changes)


def cloud(count: int = CONDITION_POINTS) -> np.ndarray:
    return sample_surface(Box((0.4, 0.8, 0.6)).mesh(), count, seed=0).points


def test_a_trained_one_reconstructs_with_all_tokens_and_with_half(run):
    pipeline = Pipeline.from_pretrained(run)
    mesh = Box((0.4, 0.8, 0.6)).mesh().apply_scale(5.0).apply_translation((2.0, 0.0, -1.0))
    found = pipeline.reconstruct(mesh, resolution=32)
    few = pipeline.reconstruct(mesh, resolution=32, tokens=24)
    undo = np.array([2.0, 0.0, -1.0])
    fields = [SignedDistanceField(body) for body in (mesh, found, few)]
    ious = [
        volumetric_iou(*(lambda p, f=f: f(p * 5.0 + undo).distance for f in (fields[0], field)), resolution=32)
        for field in fields[1:]
    ]
    assert min(ious) > 0.6, ious
    assert checkpoint.load(run).config.reconstruction["fewest_tokens"] == 20


def test_a_flow_map_takes_fewer_tokens_than_its_autoencoder_was_trained_with(completion):
    assert completion.sample_latents(2, condition=cloud()).shape == (2, 7, 16)
    assert completion.saved.config.encoder.options["tokens"] == 16


def test_completions_follow_the_points_wherever_they_are_and_in_whatever_unit(completion):
    points, shift = cloud(), np.array([10.0, -20.0, 5.0])
    here = completion(2, steps=1, condition=points, resolution=24)
    there = completion(2, steps=1, condition=7.0 * points + shift, resolution=24)
    for one, other in zip(here.shapes, there.shapes, strict=True):
        assert len(one.mesh.faces)
        np.testing.assert_allclose(other.mesh.vertices, 7.0 * one.mesh.vertices + shift, atol=1e-3)
        assert other.report.volume == pytest.approx(343 * one.report.volume, rel=1e-3)


def test_the_order_and_copies_of_points_do_not_count_but_the_points_do(completion, caplog):
    points = cloud()
    latent = completion.sample_latents(1, condition=points)
    with caplog.at_level(logging.WARNING, logger="geomflow"):
        same = completion.sample_latents(1, condition=np.concatenate([points[::-1], points[:5]]))
    torch.testing.assert_close(same, latent)
    assert "5 of 69 condition points are duplicates" in caplog.text
    other = sample_surface(Torus().mesh(), CONDITION_POINTS, seed=0).points
    assert (completion.sample_latents(1, condition=other) - latent).abs().max() > 1e-3
    assert completion.sample_latents(1, condition=cloud(500)).isfinite().all()


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (np.zeros((0, 3)), "at least 3 distinct ones, given 0 of 0"),
        (np.ones((64, 3)), "at least 3 distinct ones, given 1 of 64"),
        (np.zeros((4, 2)), r"shape \(n, 3\), given \(4, 2\)"),
        (np.full((4, 3), np.nan), "must be finite"),
        ("chair", "condition must be points of a surface, given the name of a class"),
        (None, "condition must be points of a surface, given None"),
    ],
)
def test_conditions_that_are_no_points_are_refused(completion, condition, message):
    with pytest.raises(ValueError, match=message):
        completion(condition=condition)


def test_classes_are_known_by_name(by_class):
    assert by_class.classes == ["ball", "box", "ring"]
    latents = {name: by_class.sample_latents(2, condition=name) for name in by_class.classes}
    assert (latents["ball"] - latents["ring"]).abs().max() > 1e-3
    assert by_class.sample_latents(2).isfinite().all()  # of no class in particular
    with pytest.raises(ValueError, match="no class 'chair': the model knows ball, box, ring"):
        by_class(condition="chair")
    with pytest.raises(ValueError, match=r"condition must be the name of a class \(ball, box, ring\), given points"):
        by_class(condition=cloud())
    with pytest.raises(ValueError, match="condition must be None"):
        Pipeline.from_pretrained("chairs")(condition="chair")


def test_every_latent_has_the_class_and_the_points_of_its_shape(run, data):
    model = Pipeline.from_pretrained(run).model.autoencoder
    scale = Pipeline.from_pretrained("chairs").model.scale
    scale.fit = lambda mean, variance: (setattr(scale, "mean", torch.zeros(1)), setattr(scale, "std", torch.ones(1)))
    made = shelves.load(
        "datasets",
        "latents",
        folder=str(data),
        autoencoder=model,
        scale=scale,
        condition="class",
        classes=["ring", "ball", "box"],
        variants=2,
    )
    assert made.condition["class"].tolist() == [1] * 4 + [2] * 8 + [0] * 4
    assert not torch.equal(made.mean[0], made.mean[1]), "each variant sees other points of the surface"
    made = shelves.load(
        "datasets",
        "latents",
        folder=str(data),
        autoencoder=model,
        scale=scale,
        condition="points",
        points=40,
        variants=3,
    )
    batch = made.batch(torch.arange(4 * 2 * 3), torch.Generator().manual_seed(0))
    assert batch["points"].shape == (24, 40, 3)
    torch.testing.assert_close(batch["points"].abs().amax(dim=(1, 2)), torch.full((24,), SPARSE_MARGIN))
    places = made.mean[:, :3].transpose(1, 2)  # of tokens, on the same surface in the same frame
    assert torch.cdist(batch["points"], places).amin(dim=2).mean() < 0.25
    assert torch.cdist(batch["points"].roll(6, 0), places).amin(dim=2).mean() > 0.25


def test_conditions_that_do_not_fit_the_run_are_named(run, data, tmp_path):
    for changes, message in (
        ({"condition": "colour"}, "condition must be 'class', 'points', 'surface', 'image' or ''"),
        ({"condition": ""}, "wants a condition"),
        ({"guidance": {"strength": 2.0}}, "no option 'strength'"),
        ({"dataset": Item("latents", {"variants": 0})}, "variants must be at least 1, given 0"),
        ({"guidance": {"scale": [1.0, 2.0]}}, "scale must be a number"),
        ({"encoder": Item("point_autoencoder", {"points": 9})}, "holds 'set_autoencoder'"),
    ):
        with pytest.raises((ConfigError, ValueError), match=message):
            train(flow_map("sdf_class_flow_map", run, **changes), data, tmp_path / "run", progress=False)


def test_the_command_completes_a_point_file(completion, tmp_path, capsys):
    completion.save_pretrained(tmp_path / "model")
    points = 100.0 * cloud()
    np.save(tmp_path / "points.npy", points)
    arguments = ["complete", str(tmp_path / "model"), str(tmp_path / "points.npy"), "--resolution", "24"]
    assert main([*arguments, "--steps", "1", "--seed", "3", "--out", str(tmp_path / "whole.stl")]) == 0
    assert "from 64 points in 1 steps" in capsys.readouterr().out
    wanted = completion(1, steps=1, seed=3, resolution=24, condition=points).meshes[0]
    np.testing.assert_allclose(read_mesh(tmp_path / "whole.stl").bounds, wanted.bounds, rtol=1e-5)
    np.save(tmp_path / "points.npy", points[:2])
    assert main([*arguments, "--out", str(tmp_path / "none.ply")]) == 1
    assert "points.npy: condition points must be at least 3 distinct ones" in capsys.readouterr().err
    assert not (tmp_path / "none.ply").exists()


def test_the_command_generates_a_class(by_class, tmp_path, capsys):
    by_class.save_pretrained(tmp_path / "model")
    arguments = [
        "generate",
        str(tmp_path / "model"),
        "--count",
        "1",
        "--resolution",
        "24",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*arguments, "--class", "ring"]) == 0
    assert main([*arguments, "--class", "chair"]) == 2
    assert "no class 'chair': the model knows ball, box, ring" in capsys.readouterr().err


def test_of_several_candidates_the_one_nearest_to_the_points_is_meshed(completion):
    points = cloud()
    generation = completion(2, steps=1, seed=5, resolution=24, condition=points, candidates=3)
    assert generation.nfe == 3
    chosen = generation.latents
    assert torch.equal(chosen, completion.sample_latents(2, 1, seed=5, condition=points, candidates=3))
    latents = completion.sample_latents(6, 1, seed=5, condition=points)
    own = sparse_similarity(points).apply(points)
    misfit = [np.abs(completion.field(latent)(own)).mean() for latent in latents]
    for shape, first in zip(chosen, (0, 3), strict=True):
        torch.testing.assert_close(shape, latents[first + int(np.argmin(misfit[first : first + 3]))])
    with pytest.raises(ValueError, match="candidates must be 1 without condition points"):
        Pipeline.from_pretrained("chairs")(candidates=2)
    with pytest.raises(ValueError, match="at least 1 with them, given 0"):
        completion(condition=points, candidates=0)
