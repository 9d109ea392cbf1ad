"""Runs lose nothing: a crash, a hang, hunger or an error costs one mesh, and a killed run continues where it was."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import trimesh

from geomflow.errors import ConfigError, GeomflowError, RecordError
from geomflow.geometry.primitives import Box
from geomflow.prep import manifest
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import QUARANTINE, make_plan, prepare
from geomflow.prep.sources import Source
from geomflow.records import load_record, parse_record
from geomflow.storage import open_folder
from tests.prep import faulty

SMALL = Recipe(resolution=8, surface_points=20, volume_points=20, near_points=20, sharp_points=5)
PLANTED = {
    "segfault": "Crash: the process died 2 times, with exit code -11",
    "hang": "Timeout: not done after 2 s",
    "eat": "OutOfMemory: wanted more than 1 GiB",
    "raise": "RuntimeError: of its own making",
    "twice": "TwoArguments: wanted one, found two",
    "network": "TimeoutError: the file server does not answer",
}


def boxes(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Box((0.1 + i / 100, 0.5, 0.3)).mesh().export(folder / f"{name}.ply")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """All files but the manifest, whose lines have times."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != manifest.NAME)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def outcome(folder: Path) -> dict[str, tuple[str, str, str]]:
    """What the manifest says in the end, times left out."""
    return {name: (entry.status, entry.error, entry.file) for name, entry in manifest.read(folder).items()}


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_six_ways_to_fail_cost_six_of_fifty(tmp_path, engine):
    if engine == "dask":
        pytest.importorskip("distributed")
    folder = boxes(tmp_path / "in", [f"box{i:02}" for i in range(43)] + ["flaky", *PLANTED])
    options = {"workers": 2, "timeout": 2.0, "memory": 1.0, "engine": engine, "make": faulty.make, "progress": False}
    summary = prepare(folder, tmp_path / "out", SMALL, **options)
    assert (summary.made, summary.failed) == (44, 6)
    assert summary.reasons == PLANTED
    with (tmp_path / "out" / QUARANTINE).open(newline="") as file:
        listed = {row["id"]: (row["path"], row["reason"]) for row in csv.DictReader(file)}
    assert listed == {name: (str(folder / f"{name}.ply"), why) for name, why in PLANTED.items()}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "44 records, 6 failures" in page
    assert all(why.split(":")[0] in page for why in PLANTED.values())


def test_engines_and_workers_give_the_same_bytes(tmp_path):
    pytest.importorskip("distributed")
    folder = boxes(tmp_path / "in", ["a", "b", "c"])
    runs = {"one": {"workers": 1}, "two": {"workers": 2}, "dask": {"workers": 1, "engine": "dask"}}
    for name, options in runs.items():
        prepare(folder, tmp_path / name, SMALL, progress=False, **options)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "dask")


@pytest.mark.slow
def test_a_running_scheduler_is_used_and_its_workers_need_no_setting(tmp_path):
    distributed = pytest.importorskip("distributed")
    folder = boxes(tmp_path / "in", ["a", "b"])
    prepare(folder, tmp_path / "local", SMALL, progress=False)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        summary = prepare(folder, tmp_path / "out", SMALL, engine="dask", scheduler=address, progress=False)
    assert summary.reasons == {}
    assert tree(tmp_path / "out") == tree(tmp_path / "local")


def test_ctrl_c_ends_a_run_at_once_and_loses_nothing(tmp_path):
    folder, out = boxes(tmp_path / "in", ["a", "b", "hang1", "hang2", "z"]), tmp_path / "out"
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from geomflow.prep import Recipe, prepare; from tests.prep import faulty; "
        "prepare(sys.argv[1], sys.argv[2], Recipe(resolution=8), workers=2, progress=False, make=faulty.make)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(folder), str(out)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (out / manifest.NAME).is_file() or len(manifest.read(out)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, complaint = run.communicate(timeout=20)
    assert b"KeyboardInterrupt" in complaint
    assert {name: entry.status for name, entry in manifest.read(out).items()} == {"a": "done", "b": "done"}


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    folder, out = boxes(tmp_path / "in", ["a"]), tmp_path / "out"
    with manifest.appending(open_folder(out)), pytest.raises(RecordError, match="another run is writing"):
        prepare(folder, out, SMALL, progress=False)
    assert prepare(folder, out, SMALL, progress=False).made == 1


def killed(folder: Path, out: Path, seconds: float) -> None:
    """Start a run and kill it, workers and all, after a while; as a power cut would."""
    code = (
        "import sys; from geomflow.prep import Recipe, prepare; "
        "recipe = Recipe(resolution=8, surface_points=20, volume_points=20, near_points=20, sharp_points=5); "
        "prepare(sys.argv[1], sys.argv[2], recipe, workers=2, progress=False)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(folder), str(out)], start_new_session=True)
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def kill_and_resume(source: Path, folder: Path, kills: int) -> None:
    """A run that was killed at random moments ends with the tree of one that was not."""
    start = time.perf_counter()
    whole = prepare(source, folder / "whole", SMALL, workers=2, progress=False)
    duration = time.perf_counter() - start
    moments = random.Random(0)
    for _ in range(kills):
        killed(source, folder / "killed", 1.0 + moments.random() * duration / 2)
    done = manifest.read(folder / "killed")
    summary = prepare(source, folder / "killed", SMALL, workers=2, progress=False)
    assert summary.made + summary.kept == whole.made
    assert summary.kept + summary.failed >= len(done) - 1
    assert tree(folder / "killed") == tree(folder / "whole")
    assert outcome(folder / "killed") == outcome(folder / "whole")


def test_a_killed_run_continues_to_the_same_tree(tmp_path):
    folder = boxes(tmp_path / "in", [f"box{i:03}" for i in range(60)])
    (folder / "broken.ply").write_bytes(b"not a mesh")
    kill_and_resume(folder, tmp_path, kills=2)


@pytest.mark.slow
def test_ten_kills_among_two_hundred_real_meshes(tmp_path, data_root):
    with (data_root / "shapes" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::6][:200]
    lines = [f"{data_root}/shapes/{row['archive']}/{row['member']},{row['class']},{row['split']}" for row in rows]
    (tmp_path / "in.csv").write_text("\n".join(["path,class,split", *lines]))
    kill_and_resume(tmp_path / "in.csv", tmp_path, kills=10)


def test_halves_of_files_are_swept_away_and_records_not_in_the_manifest_are_made_again(tmp_path):
    folder, out = boxes(tmp_path / "in", ["a", "b"]), tmp_path / "out"
    prepare(folder, out, SMALL, progress=False)
    before = tree(out)
    lines = (out / manifest.NAME).read_text().splitlines(keepends=True)
    (out / manifest.NAME).write_text(lines[0] + lines[1][:20])
    (out / "records" / ".b.safetensors.123.partial").write_bytes(b"half")
    summary = prepare(folder, out, SMALL, progress=False)
    assert (summary.made, summary.kept) == (1, 1)
    assert tree(out) == before


def test_what_failed_is_left_alone_until_it_changes_or_a_retry_is_asked_for(tmp_path):
    folder, out = boxes(tmp_path / "in", ["good"]), tmp_path / "out"
    (folder / "bad.ply").write_bytes(b"not a mesh")
    prepare(folder, out, SMALL, progress=False)
    again = prepare(folder, out, SMALL, progress=False)
    assert (again.made, again.kept, again.failed) == (0, 1, 1)
    assert len((out / manifest.NAME).read_text().splitlines()) == 2
    assert [source.id for source, _ in make_plan(folder, out, SMALL, retry=True).todo] == ["bad"]
    assert [source.id for source, _ in make_plan(folder, out, SMALL, resume=False).todo] == ["bad", "good"]
    Box().mesh().export(folder / "bad.ply")
    mended = prepare(folder, out, SMALL, progress=False)
    assert (mended.made, mended.kept, mended.failed) == (1, 1, 0)
    assert (out / QUARANTINE).read_text() == "id,path,reason\n"


def test_a_url_is_as_good_as_a_folder(tmp_path):
    folder = boxes(tmp_path / "in", ["a", "b"])
    prepare(folder, tmp_path / "out", SMALL, progress=False)
    url = f"memory://{uuid.uuid4()}/set"
    for made in (2, 0):
        assert prepare(folder, url, SMALL, progress=False).made == made
    remote = open_folder(url)
    content = {name: remote.read(name) for name in remote.names() if name != manifest.NAME}
    assert content == tree(tmp_path / "out")
    assert manifest.read(url).keys() == {"a", "b"}
    local = f"file://{tmp_path / 'again'}"
    prepare(folder, local, SMALL, workers=2, progress=False)
    assert tree(tmp_path / "again") == content


def test_meshes_can_come_from_a_url(tmp_path):
    import fsspec

    root, system = f"/{uuid.uuid4()}", fsspec.filesystem("memory")
    system.pipe_file(f"{root}/toys/test/box.ply", bytes(Box().mesh().export(file_type="ply")))
    assert prepare(f"memory:/{root}", tmp_path / "out", SMALL, progress=False).made == 1
    entry = manifest.read(tmp_path / "out")["toys-box"]
    assert (entry.class_name, entry.split) == ("toys", "test")
    missing = Source("gone", f"memory:/{root}/gone.ply")
    with pytest.raises(GeomflowError, match=r"gone.ply: wanted a file, found nothing"):
        faulty.make(missing, SMALL, "cpu")


def test_zips_in_a_folder_and_foreign_formats_are_seen(tmp_path):
    import zipfile

    folder = boxes(tmp_path / "in" / "chair" / "train", ["a"])
    with zipfile.ZipFile(tmp_path / "in" / "table.zip", "w") as file:
        file.write(folder / "a.ply", "table/test/b.ply")
    (tmp_path / "in" / "c.fbx").write_bytes(b"Kaydara FBX Binary")
    (tmp_path / "in" / "textures.zip").write_bytes(b"PK but no archive")
    (tmp_path / "in" / "notes.txt").write_text("no mesh")
    summary = prepare(tmp_path / "in", tmp_path / "out", SMALL, progress=False)
    found = {name: (entry.class_name, entry.split) for name, entry in manifest.read(tmp_path / "out").items()}
    assert found == {
        "chair-a": ("chair", "train"),
        "table-b": ("table", "test"),
        "c": ("", "train"),
        "textures": ("", "train"),
    }
    assert all("wanted one of .glb" in summary.reasons[name] for name in ("c", "textures"))


def test_a_file_that_is_not_the_one_it_should_be_is_refused(tmp_path):
    folder = boxes(tmp_path / "in", ["a", "b"])
    right = __import__("hashlib").sha256((folder / "a.ply").read_bytes()).hexdigest()
    rows = [f"a.ply,box,train,CC0-1.0,Ann,{right}", f"b.ply,box,train,,,{right}"]
    table = "\n".join(["path,class,split,license,creator,sha256", *rows])
    (folder / "t.csv").write_text(table, encoding="utf-8-sig")  # as spreadsheets write it
    summary = prepare(folder / "t.csv", tmp_path / "out", SMALL, progress=False)
    assert summary.made == 1
    assert "MeshChanged" in summary.reasons["box-b"]
    header = load_record(tmp_path / "out/records/box/box-a.safetensors").header
    assert (header.license, header.creator, header.sha256) == ("CC0-1.0", "Ann", right)


def test_clouds_become_records_of_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(300, 3)) + 5
    (tmp_path / "in" / "val").mkdir(parents=True)
    np.save(tmp_path / "in" / "val" / "cloud.npy", points)
    with pytest.raises(RecordError, match="no mesh files"):
        prepare(tmp_path / "in", tmp_path / "out", SMALL, progress=False)
    recipe = Recipe(clouds=True, surface_points=500)
    assert prepare(tmp_path / "in", tmp_path / "out", recipe, progress=False).made == 1
    record = load_record(tmp_path / "out" / "records" / "cloud.safetensors")
    assert (record.header.split, record.header.sign_method) == ("val", "none")
    back = record.surface_points / record.scale + record.shifts
    order, wanted = np.lexsort(back.T), np.lexsort(points.T)
    np.testing.assert_allclose(back[order], points[wanted], atol=1e-5)
    assert np.abs(record.surface_points).max() == pytest.approx(0.95, abs=1e-6)
    assert not np.allclose(back, points, atol=0.1)  # in random order
    assert len(record.vol_sdf) == len(record.faces) == 0


def test_sharp_points_lie_on_the_edges_of_the_unit_box(tmp_path):
    folder = boxes(tmp_path / "in", ["box"])
    prepare(folder, tmp_path / "out", Recipe(resolution=0, sharp_points=400), progress=False)
    record = parse_record((tmp_path / "out" / "records" / "box.safetensors").read_bytes())
    half = record.vertices.max(axis=0)
    assert record.sharp_points is not None
    on_face = np.isclose(np.abs(record.sharp_points), half, atol=1e-6)
    assert (on_face.sum(axis=1) >= 2).all()
    round_ = Recipe(resolution=0, surface_points=9, volume_points=9, near_points=9)
    trimesh.creation.icosphere(4).export(tmp_path / "ball.ply")
    assert faulty.make(Source("ball", str(tmp_path / "ball.ply")), round_, "cpu").sharp_points.shape == (0, 3)


def test_rigs_keep_their_joints_in_the_frame_of_the_vertices(data_root):
    archive, member = data_root / "rigs" / "rigs_test_glb.zip", "cyberpunk__character.glb"
    recipe = Recipe(resolution=0, surface_points=9, volume_points=9, near_points=9, rig=True)
    record = faulty.make(Source("rig", f"{archive}/{member}"), recipe, "cpu")
    assert record.joints is not None
    assert record.skin_weights is not None
    assert len(record.header.joint_names) == len(record.joints) == len(record.joint_parents)
    sums = record.skin_weights.sum(axis=1)
    np.testing.assert_allclose(sums[sums > 0], 1, atol=1e-6)
    assert len(record.skin_joints) == len(record.vertices)
    assert np.abs(record.joints).max() < 0.95  # inside the body's box


def test_bad_options_are_named(tmp_path, unchecked_shapes, monkeypatch):
    folder = boxes(tmp_path / "in", ["a"])
    with pytest.raises(ValueError, match="engine must be local or dask, not 'ray'"):
        prepare(folder, tmp_path / "out", engine="ray")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="memory positive"):
        prepare(folder, tmp_path / "out", memory=0)
    with pytest.raises(ValueError, match="scheduler needs engine dask"):
        prepare(folder, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    for options, message in {
        ("margin", 2.0): r"margin must be in \(0, 1\], not 2.0",
        ("resolution", 1): "resolution must be 0 or at least 2, not 1",
        ("band", 0.0): "band must be positive",
        ("near_points", -1): "at least 0, not -1",
        ("near_sigma", ()): "near_sigma must be positive numbers",
        ("frame", "cube"): "frame must be box or sphere, not 'cube'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            Recipe(**dict([options]))
    with pytest.raises(ValueError, match="nowhere"):
        open_folder("nowhere://x")
    pytest.importorskip("distributed")
    monkeypatch.setattr("geomflow.prep.executors.ANSWER_SECONDS", 1)
    with pytest.raises(GeomflowError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there"):
        prepare(folder, tmp_path / "out", SMALL, engine="dask", scheduler="tcp://127.0.0.1:9", progress=False)
