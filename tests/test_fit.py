"""Fitting one shape: what is learned, that it resumes, and one clear error for everything that cannot be fitted."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from geomflow import checkpoint, config, shelves
from geomflow.cli import main
from geomflow.errors import CheckpointError, ConfigError, MeshDegenerate, MeshLacksAttribute, MeshNotFinite
from geomflow.fit import fit
from geomflow.geometry.primitives import Torus
from geomflow.geometry.read import read_mesh
from geomflow.geometry.write_points import write_points
from geomflow.metrics.judge_points import PointJudge
from geomflow.pipeline import Pipeline
from geomflow.pipelines.points import PointPipeline
from geomflow.train import SCORES, steps_in_time, train
from geomflow.train.loop import SPENT_ON_STEPS
from geomflow.train.run import Run
from tests.conftest import without_shape_checks

SMALL = {"network.width": "64", "network.depth": "2", "optimization.batch_size": "64", "optimization.save_every": "100"}
QUICK = {
    **SMALL,
    "optimization.batch_size": "16",
    "optimization.steps": "6",
    "optimization.save_every": "3",
    "dataset.neighbours": "8",
}
"""A run of six steps."""


@pytest.fixture(scope="module", autouse=True)
def small_fits() -> Iterator[None]:
    """Few points to judge by, small pools of neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geomflow.assemble.PointJudge", partial(PointJudge, count=2000))
        patch.setattr("geomflow.datasets._expectation.SIZES", (1 << 14, 1 << 12))
        yield


@pytest.fixture(scope="module")
def torus(tmp_path_factory):
    file = tmp_path_factory.mktemp("shapes") / "torus.ply"
    Torus().mesh().export(file)
    return file


@pytest.fixture(scope="module")
def run_folder(torus, tmp_path_factory) -> Path:
    settings = {**SMALL, "optimization.steps": "400", "optimization.save_every": "200", "optimization.ema": "0.99"}
    with without_shape_checks():
        out = tmp_path_factory.mktemp("runs") / "torus"
        return fit(torus, out, attributes=["normals"], settings=settings, progress=False)


@pytest.fixture(scope="module")
def short_run(torus, tmp_path_factory) -> Path:
    """A fit of no more than six steps."""
    return fit(torus, tmp_path_factory.mktemp("runs") / "short", settings=QUICK, progress=False)


@pytest.fixture(scope="module")
def fitted(run_folder) -> PointPipeline:
    return PointPipeline.from_pretrained(run_folder)


def test_few_steps_land_on_the_surface_with_its_normals(fitted):
    """After seconds of training: in one and four calls nearer to the torus (0.25 thick) than its ODE gets in five."""
    few, ode = fitted(4000, steps=4), fitted(4000, steps=3, ode=True)
    off = {name: np.abs(Torus()(one.points)).mean() for name, one in (("four", few), ("ode", ode))}
    one = np.abs(Torus()(fitted(4000, steps=1).points)).mean()
    assert off["four"] < min(0.08, off["ode"])
    assert one < 0.09
    centre = few.points * [1, 1, 0]
    centre *= 0.6 / np.linalg.norm(centre, axis=1, keepdims=True)
    outward = few.points - centre
    cosine = (few.normals * outward / np.linalg.norm(outward, axis=1, keepdims=True)).sum(axis=1)
    assert cosine.mean() > 0.85
    np.testing.assert_allclose(np.linalg.norm(few.normals, axis=1), 1, atol=1e-5)


def test_scores_are_kept_and_the_best_weights_are_the_model(run_folder, fitted):
    rows = [json.loads(line) for line in (run_folder / SCORES).read_text().splitlines()]
    assert [row["step"] for row in rows] == [200, 400]
    assert fitted.saved.facts["step"] == min(rows, key=lambda row: row["chamfer-over-floor-4"])["step"]
    assert fitted.saved.facts["chamfer-over-floor-4"] < 7


@pytest.mark.parametrize(
    ("formulation", "objective"), [("x1_prediction", "eulerian"), ("u_prediction", "lagrangian"), ("ddim", "eulerian")]
)
def test_every_formulation_goes_with_every_objective(formulation, objective, torus, tmp_path):
    settings = {**QUICK, "times.warm_up": "0.0", "times.full_span": "0.0"}
    fit(torus, tmp_path / "run", formulation=formulation, objective=objective, settings=settings, progress=False)
    points = Pipeline.from_pretrained(tmp_path / "run")(100, steps=2).points
    assert np.isfinite(points).all()


def test_normals_on_the_sphere_are_unit_vectors_that_nothing_has_to_normalise(torus, tmp_path):
    """Before the pipeline touches them, after six steps of training and any number of jumps."""
    command = ["fit", str(torus), "--out", str(tmp_path / "run"), "--attributes", "normals"]
    settings = [f"--{name}={value}" for name, value in {**QUICK, "manifolds.normals": "sphere"}.items()]
    assert main([*command, *settings]) == 0
    pipeline = PointPipeline.from_pretrained(tmp_path / "run")
    assert torch.equal(pipeline.model.scale.std[3:], torch.ones(3))
    assert torch.equal(pipeline.model.scale.mean[3:], torch.zeros(3))
    assert float(pipeline.model.scale.std[0]) == pytest.approx(np.sqrt((0.6**2 + 1.5 * 0.25**2) / 2), abs=0.005)
    for steps, ode in ((1, False), (4, False), (3, True)):
        rows = torch.cat(list(pipeline.model.draw(2000, steps, 0, ode)))
        assert (rows[:, 3:].norm(dim=1) - 1).abs().max() < 1e-6
    kept = pipeline.to_noise(rows[:50].numpy())
    assert abs(np.linalg.norm(kept[:, 3:], axis=1) - 1).max() < 1e-6


def test_parts_that_are_not_there_lie_on_no_manifold(torus, tmp_path):
    settings = {**QUICK, "manifolds.colors": "sphere"}
    with pytest.raises(ConfigError, match=r"manifolds\.colors: points have no colors, but points, normals"):
        fit(torus, tmp_path / "run", attributes=["normals"], settings=settings, progress=False)
    settings = {**QUICK, "manifolds.normals": "torus"}
    with pytest.raises(ConfigError, match=r"unknown manifold 'torus': the manifolds are euclidean, .*sphere"):
        fit(torus, tmp_path / "run", attributes=["normals"], settings=settings, progress=False)


@pytest.mark.parametrize("noise", ["box", "sphere", "mesh"])
def test_a_fit_stopped_and_resumed_is_the_same_fit(noise, torus, tmp_path, monkeypatch):
    noise = str(torus) if noise == "mesh" else noise
    options = {"noise": noise, "settings": {**QUICK, "times.warm_up": "0.2", "times.full_span": "0.2"}}
    fit(torus, tmp_path / "whole", progress=False, **options)
    advance = Run.advance

    def stopped(run):
        advance(run)
        if run.step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit(torus, tmp_path / "parts", progress=False, **options)
    monkeypatch.setattr(Run, "advance", advance)
    assert checkpoint.load_state(tmp_path / "parts")["step"] == 3  # killed within an interval of checkpoints
    fit(torus, tmp_path / "parts", resume=True, progress=False)
    whole, parts = (checkpoint.load(tmp_path / name).weights for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (tmp_path / "whole" / SCORES).read_text() == (tmp_path / "parts" / SCORES).read_text()


def test_saving_by_the_clock_changes_no_score(torus, short_run, tmp_path):
    """The last of five steps is no checkpoint of its own, and is judged all the same."""
    config = checkpoint.load(short_run).config
    config = replace(config, optimization=replace(config.optimization, steps=5))
    for name, minutes in (("plain", None), ("clock", 0.0)):
        train(config, torus, tmp_path / name, save_minutes=minutes, progress=False)
    plain, clock = ((tmp_path / name / SCORES).read_text() for name in ("plain", "clock"))
    assert [json.loads(line)["step"] for line in plain.splitlines()] == [3, 5]
    assert clock == plain


def test_stop_at_stops_early_and_targets_stay_those_of_the_first_stage(torus, tmp_path):
    """A second stage from 0.35 on begins before the fourth of six steps."""
    fit(torus, tmp_path / "first", stop_at=1e6, settings=QUICK, progress=False)
    fit(torus, tmp_path / "both", settings=QUICK, progress=False)
    first, both = (checkpoint.load_state(tmp_path / name) for name in ("first", "both"))
    assert (first["step"], both["step"]) == (3, 6)
    for name, average in first["ema"].items():
        assert torch.equal(both["loss"][f"target_map.{name}"], average)
    assert not all(torch.equal(both["ema"][name], average) for name, average in first["ema"].items())


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_the_time_decides_on_the_steps(seconds, torus, tmp_path, monkeypatch):
    """By a clock that only steps move: of ten minutes the trial takes five steps and a twentieth."""
    clock = [0.0]

    def change(run, progress):
        clock[0] += seconds

    monkeypatch.setattr("geomflow.train.loop.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("geomflow.train.run.Run.change", change)
    run = config.override(shelves.load("presets", "geometry_distribution"), SMALL)
    left = 600 - 5 * seconds - 0.05 * 600
    assert steps_in_time(run, torus, tmp_path / "none", 10.0) == int(SPENT_ON_STEPS * left / seconds)


def test_what_is_not_given_follows_from_what_is(torus, tmp_path):
    """A checkpoint after each eighth; one stage for jumps that learn from jumps; the settings of a run that goes on."""
    few = {name: text for name, text in QUICK.items() if name != "optimization.save_every"}
    fit(torus, tmp_path / "run", settings={**few, "optimization.steps": "9"}, progress=False)
    saved = checkpoint.load(tmp_path / "run").config
    assert (saved.optimization.save_every, saved.optimization.second_stage) == (2, 0.35)
    fit(torus, tmp_path / "parts", settings={**few, "objective.split": "midpoint"}, progress=False)
    assert checkpoint.load(tmp_path / "parts").config.optimization.second_stage == 0
    with pytest.raises(CheckpointError, match=r"another configuration: network\.depth was 2, is 3"):
        fit(torus, tmp_path / "run", settings={"network.depth": "3"}, resume=True, progress=False)


def fit_in_two_parts(torus: Path, out: Path, **options: object) -> None:
    """A fit, interrupted after four of six steps, and gone on with."""
    advance = Run.advance

    def pressed(run: Run) -> None:
        advance(run)
        if run.step == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "advance", pressed)
        with pytest.raises(KeyboardInterrupt):
            fit(torus, out, settings=QUICK, progress=False, **options)
    assert checkpoint.load_state(out)["step"] == 4
    fit(torus, out, resume=True, settings=QUICK, progress=False, **options)


@pytest.mark.cuda
def test_a_fit_goes_on_on_a_gpu(torus, tmp_path):
    fit_in_two_parts(torus, tmp_path / "run", device="cuda")
    assert np.isfinite(PointPipeline.from_pretrained(tmp_path / "run", "cuda")(100).points).all()


def test_an_interrupted_run_is_scored_like_another(torus, tmp_path):
    fit(torus, tmp_path / "whole", settings=QUICK, progress=False)
    fit_in_two_parts(torus, tmp_path / "parts")
    whole, parts = (checkpoint.load(tmp_path / name).weights for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (tmp_path / "whole" / SCORES).read_text() == (tmp_path / "parts" / SCORES).read_text()


@pytest.mark.slow
def test_a_cloud_is_fitted_by_its_points(tmp_path, unchecked_shapes):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 3)).astype(np.float32) * [1, 2, 3]
    cloud = {"points": points, "colors": (points > 0).astype(float), "labels": 4 + 3 * (points[:, 0] > 0)}
    write_points([cloud], tmp_path / "cloud.ply", 3000, cloud)
    settings = {**SMALL, "optimization.steps": "600", "optimization.save_every": "600", "optimization.ema": "0.99"}
    fit(tmp_path / "cloud.ply", tmp_path / "run", attributes=["colors", "labels"], settings=settings, progress=False)
    found = PointPipeline.from_pretrained(tmp_path / "run")(4000, steps=4)
    np.testing.assert_allclose(found.points.std(axis=0), [1, 2, 3], rtol=0.25)
    assert set(np.unique(found.labels)) == {4, 7}
    assert (found.labels == np.where(found.points[:, 0] > 0, 7, 4)).mean() > 0.85
    assert ((found.colors[:, 1] > 0.5) == (found.points[:, 1] > 0)).mean() > 0.85


def bad_files(folder):
    """Files that cannot be fitted, with the error that says why."""
    (folder / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    (folder / "nan.obj").write_text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (folder / "plain.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    return [
        ("line.obj", "", MeshDegenerate, r"line\.obj: wanted a surface, found 1 faces without area"),
        ("nan.obj", "", MeshNotFinite, r"nan\.obj: wanted finite coordinates"),
        ("plain.obj", "colors", MeshLacksAttribute, r"plain\.obj: wanted colors, found normals"),
    ]


def test_bad_shapes_get_one_clear_error(tmp_path):
    for name, attribute, error, message in bad_files(tmp_path):
        with pytest.raises(error, match=message):
            fit(tmp_path / name, tmp_path / "run", attributes=[attribute] if attribute else [], settings=QUICK)
        assert not (tmp_path / "run").exists()


def test_one_triangle_is_a_shape(tmp_path):
    bad_files(tmp_path)
    fit(tmp_path / "plain.obj", tmp_path / "run", settings=QUICK, progress=False)
    assert np.isfinite(PointPipeline.from_pretrained(tmp_path / "run")(50).points).all()


def test_a_run_is_not_overwritten_nor_gone_on_with_another_shape(torus, short_run, tmp_path):
    with pytest.raises(CheckpointError, match="holds a run already; go on with --resume"):
        fit(torus, short_run, settings=QUICK)
    with pytest.raises(CheckpointError, match="holds a run already"):
        fit(torus, short_run, minutes=0.01)
    other = tmp_path / "other.ply"
    trimesh.creation.box().export(other)
    with pytest.raises(CheckpointError, match=r"was fitted to another file than .*other\.ply: torus\.ply"):
        fit(other, short_run, resume=True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fit", "torus.ply", "--out", "run", "--minutes", "0"), 2, "minutes must be a positive number, given 0"),
        (
            ("fit", "torus.ply", "--out", "run", "--attributes", "smell"),
            2,
            "attributes must be some of normals, colors",
        ),
        (("fit", "torus.ply", "--out", "run", "--formulation", "x2"), 2, "unknown formulation 'x2'"),
        (("fit", "torus.ply", "--out", "run", "--noise", "pink"), 2, "unknown noise 'pink'"),
        (("fit", "torus.ply", "--out", "run", "--dataset.neighbours", "5000"), 2, "neighbours must be from 0 to 1024"),
        (("fit", "torus.ply", "--out", "run", "--optimization.second_stage", "1.5"), 2, "second_stage must lie in"),
        (("fit", "nothing.ply", "--out", "run"), 1, "nothing.ply: wanted a file"),
        (("sample", "nowhere", "--out", "a.ply"), 1, "nowhere: neither a checkpoint folder"),
        (("sample", "chairs", "--out", "a.ply"), 1, "chairs: wanted a model that makes points of one shape"),
        (("sample", "fitted", "--out", "a.xyz"), 2, "a.xyz: wanted one of .ply, .npy"),
        (("sample", "fitted", "--out", "a.npy", "--points", "0"), 2, "points and steps must be whole numbers"),
        (("sample", "fitted", "--out", "a.npy", "--points", "1000000000000000"), 1, "a.npy: wanted room for"),
        (("generate", "fitted"), 1, "wanted a model that makes whole shapes or images, found one of points"),
    ],
)
def test_mistakes_get_one_line(arguments, code, message, short_run, torus, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"torus.ply": str(torus), "fitted": str(short_run)}
    assert main([names.get(word, word) for word in arguments]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_commands_of_the_readme(torus, tmp_path, capsys):
    quick = [word for name, value in QUICK.items() for word in (f"--{name}", value)]
    run, cloud = tmp_path / "run", tmp_path / "points.ply"
    assert main(["fit", str(torus), "--out", str(run), "--attributes", "normals", *quick]) == 0
    options = ["--points", "1000", "--steps", "1", "--seed", "7", "--from-mesh", str(torus)]
    assert main(["sample", str(run), *options, "--out", str(cloud)]) == 0
    assert len(read_mesh(cloud).vertices) == 1000
    assert "wrote 1000 points in 1 steps" in capsys.readouterr().out
