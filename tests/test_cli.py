"""The command line as a user meets it: exit codes, one-line errors, and each verb's result."""

import json
import subprocess
import sys

import numpy as np
import pytest

from geomflow import shelves
from geomflow.cli import VERBS, main
from geomflow.geometry.grid import dense
from geomflow.geometry.primitives import Box, Sphere, Torus
from geomflow.geometry.read import read_mesh


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert f"usage: geomflow {verb}" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Expected one of {generate, fit, sample, prep"),
        (("generate", "--cont", "3"), 2, "Unrecognized options: --cont"),
        (("generate", "--count", "few"), 2, "Error parsing --count"),
        (("generate", "--what.ever", "3"), 2, "unknown option --what.ever"),
        (("generate", "--count", "0"), 2, "count and steps must be whole numbers of at least 1"),
        (("generate", "no-such-model"), 1, "no-such-model: neither a checkpoint folder nor an embedded model"),
        (("list", "cupboards"), 2, "invalid choice 'cupboards'"),
        (("train", "nothing", "--data", "x", "--out", "y"), 2, "unknown preset 'nothing': the presets are geometry"),
        (("train", "sdf_autoencoder", "--data", "nowhere", "--out", "nowhere/run"), 1, "nowhere: not a dataset folder"),
        (("train", "sdf_autoencoder", "--data", "x", "--out", "y", "--optimization.steps", "?"), 2, "must be int"),
        (("train", "sdf_flow_map", "--data", "x", "--out", "y", "--pretrained_encoder", "1"), 2, "must be a folder"),
        (("train", "sdf_flow_map", "--data", "x", "--out", "y", "--optimization", "5"), 2, "must be a table"),
        (("train", "sdf_flow_map", "--data", "x", "--out", "y", "--times.foo"), 2, "--times.foo wants a value"),
        (("prep", "nowhere", "out"), 1, "nowhere: wanted a folder"),
        (("prep", "nowhere", "out", "--workers", "0"), 2, "workers must be at least 1"),
        (("prep", "nowhere", "out", "--engine", "ray"), 2, "invalid choice 'ray'"),
        (("pack", "nowhere", "out"), 1, "nowhere: not a dataset folder"),
        (("export", "nowhere", "out", "--to", "vecset"), 1, "nowhere: not a dataset folder"),
        (("export", "nowhere", "out", "--to", "obj"), 2, "unknown view 'obj': the views are hunyuan, pointflow"),
        (("extract", "nowhere.npy", "--out", "a.xyz"), 2, "a.xyz: wanted one of"),
        (("extract", "nowhere.npy", "--out", "a.ply"), 1, "nowhere.npy"),
        (("evaluate", "nowhere", "elsewhere"), 1, "nowhere: wanted a folder"),
        (("evaluate", "nowhere", "elsewhere", "--protocol", "fid"), 2, "unknown protocol 'fid': the protocols are"),
        (("evaluate", "nowhere"), 2, "protocol 'pointflow' compares with a reference, given none"),
        (("compare", "a.json"), 1, "wanted at least two evaluations to compare, given 1"),
        (("compare", "a.json", "b.json"), 1, "a.json: cannot be read (No such file or directory)"),
        (("reconstruct", "chairs", "nowhere.ply", "--out", "a.ply"), 1, "nowhere.ply"),
    ],
)
def test_mistakes_get_one_line_and_the_right_exit_code(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, _, err = run(capsys, *arguments)
    assert found == code
    assert message in err
    assert err.startswith("geomflow: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_generated(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(mode=0o555)
    monkeypatch.setattr("geomflow.pipeline.Pipeline.from_pretrained", lambda *_: pytest.fail("a model was read"))
    monkeypatch.setattr("os.access", lambda place, _: place.name != "closed")  # root may write anywhere
    for place, there in (("file", "file"), ("file/out", "file"), ("closed/a/b", "closed")):
        code, _, err = run(capsys, "generate", "--out", str(tmp_path / place))
        wanted = f"{tmp_path / place}: wanted a folder that can be written, and {tmp_path / there} is none"
        assert (code, err) == (2, f"geomflow: {wanted}\n")
    assert [path.name for path in (tmp_path / "closed").iterdir()] == []


def test_the_package_runs_as_a_module():
    """As launchers of several processes start it; exit codes come through."""
    command = [sys.executable, "-m", "geomflow", "list"]
    done = [
        subprocess.run([*command, shelf], capture_output=True, text=True, check=False) for shelf in ("presets", "x")
    ]
    assert [one.returncode for one in done] == [0, 2]
    assert done[0].stdout.split() == shelves.names("presets")


@pytest.mark.parametrize("shelf", shelves.SHELVES)
def test_list_names_the_files_of_a_shelf(shelf, capsys):
    code, out, _ = run(capsys, "list", shelf)
    assert code == 0
    assert out.split() == shelves.names(shelf)


def test_extract_reads_arrays_and_writes_meshes(capsys, tmp_path):
    np.save(tmp_path / "ball.npy", dense(Sphere(0.7), 48).values)
    code, _, _ = run(capsys, "extract", str(tmp_path / "ball.npy"), "--out", str(tmp_path / "ball.obj"))
    assert code == 0
    mesh = read_mesh(tmp_path / "ball.obj")
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=5e-3)
    np.save(tmp_path / "empty.npy", np.ones((8, 8, 8)))
    code, _, err = run(capsys, "extract", str(tmp_path / "empty.npy"), "--out", str(tmp_path / "no.ply"))
    assert (code, "no surface at level 0.0" in err) == (1, True)
    assert not (tmp_path / "no.ply").exists()


def test_the_river_from_meshes_to_meshes(capsys, tmp_path, monkeypatch, unchecked_shapes):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meshes").mkdir()
    for i, solid in enumerate((Box(), Sphere(), Torus(), Box((0.3, 0.6, 0.7)))):
        solid.mesh().export(f"meshes/{i}.ply")
    assert run(capsys, "prep", "meshes", "set", "--resolution", "16")[0] == 0
    tiny = ["--encoder.resolution", "16", "--encoder.widths", "[16, 16, 16]", "--encoder.latent_channels", "2"]
    base = ["--data", "set", "--optimization.batch_size", "2", "--optimization.precision", "float32"]
    tiny += ["--optimization.steps", "100", "--optimization.warmup", "10"]
    code, out, _ = run(capsys, "train", "sdf_autoencoder", "--out", "ae", *base, *tiny)
    assert (code, "try: geomflow reconstruct ae MESH" in out) == (0, True)
    small = ["--network.width", "32", "--network.depth", "1", "--network.heads", "2", "--optimization.steps", "20"]
    assert run(capsys, "train", "sdf_flow_map", "--out", "fm", "--pretrained_encoder", "ae", *base, *small)[0] == 0
    assert json.loads((tmp_path / "fm" / "config.json").read_text())["config"]["encoder"]["resolution"] == 16
    code, out, _ = run(capsys, "generate", "fm", "--count", "2", "--resolution", "32", "--out", "made")
    assert code == 0
    assert "2 shapes in 2 steps" in out
    about = json.loads((tmp_path / "made" / "generation.json").read_text())
    assert about["model"] == "fm"
    assert len(about["shapes"]) == 2


def test_reconstruct_writes_the_mesh_in_its_own_frame(capsys, tmp_path):
    mesh = Box((0.5, 0.4, 0.45)).mesh().apply_scale(10).apply_translation((5, 0, 0))
    mesh.export(tmp_path / "box.ply")
    code, _, _ = run(
        capsys,
        "reconstruct",
        "chairs",
        str(tmp_path / "box.ply"),
        "--out",
        str(tmp_path / "out.stl"),
        "--resolution",
        "48",
    )
    assert code == 0
    np.testing.assert_allclose(read_mesh(tmp_path / "out.stl").bounds, mesh.bounds, atol=1.0)


def test_prep_that_lost_a_mesh_says_so(capsys, tmp_path):
    (tmp_path / "in").mkdir()
    Box().mesh().export(tmp_path / "in" / "box.ply")
    (tmp_path / "in" / "bad.ply").write_text("no")
    code, out, err = run(capsys, "prep", str(tmp_path / "in"), str(tmp_path / "out"), "--resolution", "0")
    assert code == 1
    assert "1 records made, 0 kept from before, 1 failed" in out
    assert "1 meshes failed" in err


def test_a_dataset_is_planned_made_retried_packed_and_exported(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "block" / "train").mkdir(parents=True)
    Box().mesh().export(tmp_path / "in" / "block" / "train" / "a.ply")
    (tmp_path / "in" / "bad.obj").write_text("v 0 0 0\n")
    small = ("--resolution", "0", "--volume-points", "30", "--near-points", "30", "--workers", "1")
    prep = ("prep", "in", "set", *small)
    assert run(capsys, *prep, "--dry-run")[:2] == (0, "2 meshes to do, 0 done, 0 failed before\n")
    assert not (tmp_path / "set").exists()
    code, out, err = run(capsys, *prep)
    assert (code, "1 records made, 0 kept from before, 1 failed" in out, "MeshDegenerate" in out) == (1, True, True)
    assert "set/quarantine.csv says why" in err
    assert run(capsys, *prep, "--dry-run")[1] == "0 meshes to do, 1 done, 1 failed before\n"
    assert run(capsys, *prep, "--dry-run", "--retry")[1] == "1 meshes to do, 1 done, 0 failed before\n"
    assert "1 shapes in 1 shards" in run(capsys, "pack", "set", "shards")[1]
    assert (tmp_path / "shards" / "train-000000.tar").is_file()
    assert "1 shapes written, 0 kept" in run(capsys, "export", "set", "clouds", "--to", "pointflow")[1]
    (cloud,) = tmp_path.glob("clouds/*/block/train/block-a.npy")
    assert np.load(cloud).shape == (15000, 3)


def test_sets_are_evaluated_and_results_compared(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b", "reference"):
        np.save(f"{name}.npy", rng.normal(size=(6, 40, 3)) * rng.uniform(0.5, 1, (6, 1, 3)))
    options = ("--points", "40", "--draws", "20", "--cache", "kept")
    code, out, _ = run(capsys, "evaluate", "a.npy", "reference.npy", *options, "--out", "a.json")
    assert (code, "| generated | 1-nna-emd |" in out, "wrote a.json" in out) == (0, True, True)
    assert 0 <= json.loads((tmp_path / "a.json").read_text())["results"]["1-nna-emd"] <= 1
    assert run(capsys, "evaluate", "b.npy", "reference.npy", *options, "--out", "b.json")[0] == 0
    code, out, _ = run(capsys, "compare", "a.json", "b.json")
    assert (code, "| mmd-chamfer |" in out) == (0, True)
    box = ("--protocol", "lion-box", "--distances", "chamfer")
    assert run(capsys, "evaluate", "b.npy", "reference.npy", *options, *box, "--out", "c.json")[0] == 0
    code, _, err = run(capsys, "compare", "a.json", "c.json")
    assert (code, "they differ in protocol" in err) == (1, True)
