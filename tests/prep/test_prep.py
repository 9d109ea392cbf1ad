"""Preprocessing: any layout in, the same bytes out, resumable, and one bad mesh costs one mesh."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geomflow.errors import MeshHasNoFaces, RecordError
from geomflow.geometry.primitives import Box, Sphere, Torus
from geomflow.prep import manifest
from geomflow.prep.job import make_record, upright
from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import prepare, reasons
from geomflow.prep.sources import Source, find_sources
from geomflow.records import load_record

SMALL = Recipe(resolution=16, surface_points=50, volume_points=50, near_points=50)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, mesh in {
        "toys/train/box": Box().mesh(),
        "toys/test/torus": Torus().mesh(),
        "balls/ball": Sphere().mesh(),
    }.items():
        file = tmp_path / "in" / f"{name}.ply"
        file.parent.mkdir(parents=True, exist_ok=True)
        mesh.export(file)
    return tmp_path / "in"


def test_layout_gives_class_split_and_id(folder):
    found = {source.id: (source.class_name, source.split) for source in find_sources(folder)}
    assert found == {"toys-box": ("toys", "train"), "toys-torus": ("toys", "test"), "balls-ball": ("balls", "train")}


def test_equal_names_get_the_whole_path_for_an_id(tmp_path):
    for name in ("chair/train/1.ply", "chair/test/1.ply", "chair/validation/2.ply", "chair/train/._3.ply"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {source.id: (source.class_name, source.split) for source in find_sources(tmp_path)}
    expected = {"chair-train-1_ply": "train", "chair-test-1_ply": "test", "chair-2": "val"}
    assert found == {name: ("chair", split) for name, split in expected.items()}


def test_a_gltf_in_a_zip_finds_its_buffer(tmp_path):
    Box().mesh().export(tmp_path / "box.gltf")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        for part in (tmp_path / "box.gltf", *tmp_path.glob("*.bin")):
            file.write(part, f"deep/{part.name}")
    (source,) = find_sources(tmp_path / "in.zip")
    assert len(make_record(source, SMALL).faces) == 12


def test_folder_zip_and_csv_give_the_same_bytes(folder, tmp_path):
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for mesh in folder.rglob("*.ply"):
            file.write(mesh, mesh.relative_to(folder))
    table = tmp_path / "in.csv"
    rows = [f"{s.path},{s.class_name},{s.split}" for s in find_sources(folder)]
    table.write_text("\n".join(["path,class,split", *rows]) + "\n")
    for name, source in {"folder": folder, "zip": archive, "csv": table}.items():
        summary = prepare(source, tmp_path / name, SMALL, workers=2, progress=False)
        assert (summary.made, summary.kept, summary.failed) == (3, 0, 0)
    contents = [
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.safetensors")}
        for name in ("folder", "zip", "csv")
    ]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 3


def test_a_second_run_continues_and_another_recipe_starts_over(folder, tmp_path):
    out = tmp_path / "out"
    prepare(folder, out, SMALL, progress=False)
    victim = next(out.rglob("*.safetensors"))
    before = victim.read_bytes()
    victim.unlink()
    with (out / manifest.NAME).open("a") as file:
        file.write('{"id": "half a li')  # as a killed run leaves it
    summary = prepare(folder, out, SMALL, progress=False)
    assert (summary.made, summary.kept) == (1, 2)
    assert victim.read_bytes() == before
    assert prepare(folder, out, SMALL, progress=False).kept == 3
    (folder / "toys/train/box.ply").rename(folder / "toys/test/box.ply")
    assert prepare(folder, out, SMALL, progress=False).made == 1
    assert manifest.read(out)["toys-box"].split == "test"
    assert prepare(folder, out, Recipe(resolution=0, surface_points=9), progress=False).made == 3


def test_bad_meshes_are_listed_with_reasons_and_cost_only_themselves(folder, tmp_path):
    (folder / "broken.ply").write_bytes(b"not a mesh")
    (folder / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    summary = prepare(folder, tmp_path / "out", SMALL, workers=2, progress=False)
    assert (summary.made, summary.failed) == (3, 2)
    assert "MeshHasNoFaces" in summary.reasons["points"]
    assert "broken.ply" in summary.reasons["broken"]
    assert sum(reasons(summary).values()) == 2
    assert {e.id for e in manifest.read(tmp_path / "out").values() if e.status == "failed"} == {"broken", "points"}


def test_a_mesh_that_takes_too_long_is_given_up(folder, tmp_path):
    endless = replace(SMALL, volume_points=20_000_000)
    summary = prepare(folder, tmp_path / "out", endless, workers=2, timeout=0.3, progress=False)
    assert summary.failed == 3
    assert all(reason.startswith("Timeout") for reason in summary.reasons.values())


def test_axes_are_turned_up_and_to_the_front():
    mesh = Box().mesh()
    mesh.vertices = np.zeros((8, 3))
    mesh.vertices[:3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    from_z = np.asarray(upright(mesh, "z", 0.0).vertices)[:3]
    np.testing.assert_allclose(from_z, [[0, 1, 0], [1, 0, 0], [0, 0, -1]], atol=1e-12)
    front_was_minus_x = np.asarray(upright(mesh, "y", 270.0).vertices)[1]
    np.testing.assert_allclose(front_was_minus_x, [0, 0, 1], atol=1e-12)
    with pytest.raises(ValueError, match="up must be"):
        upright(mesh, "x", 0.0)


def test_header_says_what_was_done(folder):
    source = next(s for s in find_sources(folder) if s.id == "toys-torus")
    header = make_record(source, SMALL).header
    assert (header.source, header.split, header.frame) == ("torus.ply", "test", "box")
    assert header.recipe_hash == SMALL.hash != Recipe().hash
    expected = {"faces": len(Torus().mesh().faces), "bodies": 1, "watertight": True, "winding_consistent": True}
    assert header.quality == {
        **expected,
        "open": 0.0,
        "nonmanifold": 0.0,
        "degenerate": 0,
        "doubt": 0.0,
        "inside": header.quality["inside"],
    }


def test_real_chairs_become_records(data_root):
    chair = Source("stool", f"{data_root}/shapes/stool.zip/{stool_member(data_root)}", "stool", "train")
    recipe = replace(SMALL, volume_points=5000)
    record = make_record(chair, recipe)
    assert np.abs(record.vertices).max() == pytest.approx(0.95, abs=1e-4)
    assert (record.vol_sdf < 0).mean() > 0.001
    assert np.median(record.vol_confidence) > 0.9
    np.testing.assert_array_equal(make_record(chair, recipe).vol_sdf, record.vol_sdf)


def stool_member(data_root: Path) -> str:
    names = zipfile.ZipFile(data_root / "shapes" / "stool.zip").namelist()
    return sorted(name for name in names if name.endswith((".obj", ".glb")))[0]


def test_bad_input_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere: wanted a folder, a .zip or a .csv"):
        find_sources(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="no mesh files"):
        find_sources(tmp_path)
    (tmp_path / "a.csv").write_text("path,class\nx.ply,a\n")
    with pytest.raises(RecordError, match="missing split"):
        find_sources(tmp_path / "a.csv")
    for rows, message in {
        "x.ply,a,train,one,0\ny/x.ply,a,train,one,0": "share the id 'one'",
        ",a,train,,0": r"b.csv, line 2: wanted a path",
        "x.ply,a,train,,left": r"b.csv, line 2: yaw must be a number of degrees, not 'left'",
        "x.ply,a,train,../../x,0": r"names of files and folders, which '../../x' cannot be",
    }.items():
        (tmp_path / "b.csv").write_text(f"path,class,split,id,yaw\n{rows}\n")
        with pytest.raises(RecordError, match=message):
            find_sources(tmp_path / "b.csv")
    (tmp_path / "c.zip").write_bytes(b"PK but no archive")
    with pytest.raises(RecordError, match=r"c.zip: damaged, or not a zip"):
        find_sources(tmp_path / "c.zip")
    with pytest.raises(ValueError, match="workers must be at least 1"):
        prepare(tmp_path, tmp_path / "out", workers=0)
    with pytest.raises(RecordError, match="not a dataset folder"):
        manifest.read(tmp_path)
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(MeshHasNoFaces, match="2 points only"):
        make_record(Source("p", str(tmp_path / "points.obj")), SMALL)
    with pytest.raises(RecordError, match="no such shape record"):
        load_record(tmp_path / "none.safetensors")
