"""Exports continue where they were stopped, repeat byte for byte, and name what is wrong."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geomflow import shelves
from geomflow.errors import ConfigError, RecordError
from geomflow.geometry.primitives import Box
from geomflow.prep import Recipe, manifest, prepare
from geomflow.prep import export as exporting
from geomflow.prep.export import export
from geomflow.records import load_record
from geomflow.views import unifi3d
from geomflow.views._layout import npz
from geomflow.views._shape import Shape
from tests.conftest import prepared_solids

SMALL = {
    "vecset": {"surface_points": 200},
    "hunyuan": {"points": 50},
    "pointflow": {},
    "unifi3d": {"resolutions": (4,), "depth": 2},
}


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    """Unifi3D's counts are fixed; here the bytes matter and not how many."""
    for name, count in {"CLOUD": 40, "BOUNDARY_CLOUD": 40, "OCCUPANCY_POINTS": 80, "FULL_DEPTH": 1}.items():
        monkeypatch.setattr(unifi3d, name, count)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_view_is_exported_here():
    assert set(shelves.names("views")) == set(SMALL)


@pytest.mark.parametrize("to", SMALL)
def test_paths_are_those_of_the_files(dataset, to):
    view = shelves.load("views", to, **SMALL[to])
    entry = manifest.read(dataset)["03001627-knob"]
    assert list(view.files(load_record(dataset / entry.file))) == view.paths(entry)


@pytest.mark.parametrize("to", SMALL)
def test_an_interrupted_export_continues_to_the_same_bytes(dataset, tmp_path, to, monkeypatch):
    whole = export(dataset, tmp_path / "whole", to, progress=False, **SMALL[to])
    assert (whole.made, whole.kept) == (3, 0)
    real, calls = exporting._write, []

    def stop_after_one(out, files):
        if calls:
            raise KeyboardInterrupt
        calls.append(files)
        real(out, files)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_write", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            export(dataset, tmp_path / "parts", to, progress=False, **SMALL[to])
    assert len(contents(tmp_path / "parts")) < len(contents(tmp_path / "whole"))
    rest = export(dataset, tmp_path / "parts", to, progress=False, **SMALL[to])
    assert (rest.made, rest.kept, rest.lists) == (2, 1, whole.lists)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_what_is_missing_or_older_than_its_record_is_written_again(dataset, tmp_path):
    copy, out = tmp_path / "set", tmp_path / "out"
    shutil.copytree(dataset, copy)
    export(copy, out, "pointflow", progress=False)
    files = sorted(out.rglob("*.npy"))
    files[0].unlink()
    assert export(copy, out, "pointflow", progress=False).made == 1
    record = copy / manifest.read(copy)["ball-ball"].file
    later = max(file.stat().st_mtime_ns for file in out.rglob("*.npy")) + 10**9
    os.utime(record, ns=(later, later))
    assert export(copy, out, "pointflow", progress=False).made == 1


def test_a_folder_holds_one_layout_with_one_set_of_options(dataset, tmp_path):
    export(dataset, tmp_path, "pointflow", progress=False)
    with pytest.raises(RecordError, match=r'holds an export .*"pointflow".* wanted .*"front": "z".*another folder'):
        export(dataset, tmp_path, "pointflow", progress=False, front="z")


def test_archives_tell_no_time(monkeypatch):
    first = npz({"a": np.arange(3.0)})
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("time.localtime", lambda *_: (2030, 1, 1, 0, 0, 0, 0, 0, 0))
    assert npz({"a": np.arange(3.0)}) == first


def test_shapes_without_a_class_share_a_folder(tmp_path):
    dataset = prepared_solids(tmp_path, surface_points=10, volume_points=10, near_points=10)
    export(dataset, tmp_path / "out", "pointflow", progress=False)
    files = list((tmp_path / "out/ShapeNetCore.v2.PC15k/shapes/train").iterdir())
    assert len(files) == 4
    assert {np.load(file).shape for file in files} == {(15_000, 3)}  # more than the records hold


def test_classes_go_into_the_folders_given_for_them(dataset, tmp_path):
    folders = {"ball": "02958343"}
    export(dataset, tmp_path / "clouds", "pointflow", progress=False, folders=folders)
    assert (tmp_path / "clouds/ShapeNetCore.v2.PC15k/02958343/train/ball-ball.npy").is_file()
    export(dataset, tmp_path / "grids", "unifi3d", progress=False, folders=folders, **SMALL["unifi3d"])
    assert (tmp_path / "grids/02958343/ball-ball/mesh.npz").is_file()
    rows = (tmp_path / "grids/split.csv").read_text().splitlines()
    assert rows[0] == "id,split,category,synsetId"
    assert rows[3] == "ball-ball,train,ball,2958343"


def test_bad_input_is_named(dataset, tmp_path):
    with pytest.raises(ConfigError, match="unknown view 'voxels': the views are hunyuan, pointflow, unifi3d, vecset"):
        export(dataset, tmp_path / "out", "voxels", progress=False)
    with pytest.raises(ConfigError, match="view 'hunyuan' has no option 'resolution'"):
        export(dataset, tmp_path / "out", "hunyuan", progress=False, resolution=3)
    with pytest.raises(ConfigError, match="front must be one of z, -z, x, not 'y'"):
        export(dataset, tmp_path / "out", "pointflow", progress=False, front="y")
    with pytest.raises(ConfigError, match="depth must be at least 1, the level that is complete, not 0"):
        export(dataset, tmp_path / "out", "unifi3d", progress=False, depth=0)
    with pytest.raises(RecordError, match="not a dataset folder"):
        export(tmp_path, tmp_path / "out", "vecset", progress=False)
    (tmp_path / manifest.NAME).touch()
    with pytest.raises(RecordError, match="no records in it; make some with `geomflow prep`"):
        export(tmp_path, tmp_path / "out", "vecset", progress=False)


def test_a_record_that_lacks_what_the_layout_needs_is_named(tmp_path):
    poor = prepared_solids(tmp_path, volume_points=0, surface_points=10, near_points=10)
    with pytest.raises(RecordError, match=r"0\.safetensors: the layout 'vecset' needs vol_points, of which .* none"):
        export(poor, tmp_path / "out", "vecset", progress=False)


def test_sharp_points_of_the_record_are_used_where_it_has_enough(dataset):
    record = load_record(dataset / manifest.read(dataset)["03001627-block"].file)
    own = {"sharp_points": np.full((20, 3), 0.25, np.float32), "sharp_normals": np.tile(np.float32([0, 0, 1]), (20, 1))}
    shape = Shape(replace(record, **own), half_extent=0.5 * 0.95, front="x")
    points, normals = shape.sharp(20)
    np.testing.assert_allclose(points, np.tile([0.125, 0.125, -0.125], (20, 1)), rtol=1e-5)
    np.testing.assert_allclose(normals, np.tile([1, 0, 0], (20, 1)), atol=1e-7)
    assert np.ptp(shape.sharp(21).points) > 0.5  # too few: drawn from the mesh


def test_a_shape_that_changes_its_split_is_in_one_split_only(tmp_path):
    folder = tmp_path / "in" / "cube"
    (folder / "train").mkdir(parents=True)
    for name in "ab":
        Box().mesh().export(folder / "train" / f"{name}.ply")
    recipe = Recipe(resolution=0, surface_points=20, volume_points=20, near_points=20)
    prepare(tmp_path / "in", tmp_path / "set", recipe, progress=False)
    export(tmp_path / "set", tmp_path / "out", "pointflow", progress=False)
    (folder / "test").mkdir()
    (folder / "train" / "b.ply").rename(folder / "test" / "b.ply")
    prepare(tmp_path / "in", tmp_path / "set", recipe, progress=False)
    export(tmp_path / "set", tmp_path / "out", "pointflow", progress=False)
    found = {file.relative_to(tmp_path / "out").parts[-2:] for file in (tmp_path / "out").rglob("*.npy")}
    assert found == {("train", "cube-a.npy"), ("test", "cube-b.npy")}
