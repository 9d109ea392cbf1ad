"""Which files of a folder, an archive or a manifest have a rig, and what is known of them."""

import hashlib
import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_prep import rigs
from data_prep._table import present, run, write
from data_prep.procedural_rigs import rig
from geomflow.errors import RecordError
from geomflow.geometry import read_rig, write_rig
from geomflow.prep.sources import find_sources, local_file

RIGGED = json.dumps({"nodes": [{"mesh": 0, "skin": 0}]})
BARE = json.dumps({"nodes": [{"mesh": 0}]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with and without a rig, and one that is neither."""
    for name, text in {
        "fish/train/carp.gltf": RIGGED,
        "fish/test/pike.GLTF": RIGGED,
        "fish/test/stone.gltf": BARE,
        "broken.glb": "glTF",
        "box.obj": "v 0 0 0",
    }.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(text)
    return tmp_path / "set"


def test_only_rigged_files_of_a_folder_are_listed_and_the_others_counted(folder: Path):
    found = rigs.find(folder, license="CC0-1.0", creator="Ann")
    assert [(item.id, item.class_name, item.split) for item in found.items] == [
        ("fish-carp", "fish", "train"),
        ("fish-pike", "fish", "test"),
    ]
    assert {(item.license, item.creator) for item in found.items} == {("CC0-1.0", "Ann")}
    assert [item.path for item in found.items] == [
        str(folder.resolve() / "fish" / name) for name in ("train/carp.gltf", "test/pike.GLTF")
    ]
    assert set(found.notes) == {"1 files are left out: no rig", "1 files are left out: not readable"}


def test_a_zip_is_looked_through_like_a_folder(folder: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    listed = rigs.find(tmp_path / "set.zip")
    assert [item.id for item in listed.items] == ["fish-carp", "fish-pike"]
    assert present(listed.items) == listed.items
    assert listed.notes == rigs.find(folder).notes


def test_a_folder_without_rigs_is_an_error(tmp_path: Path):
    (tmp_path / "stone.gltf").write_text(BARE)
    with pytest.raises(RecordError, match=r"with a rig, found none; 1 files are left out: no rig"):
        rigs.find(tmp_path)


def test_a_manifest_says_all(tmp_path: Path):
    lines = [
        ",".join(rigs.COLUMNS),
        "carp,train,a.zip,carp.npz,rig-1,CC0-1.0,Ann,ab",
        "cow,test,b.zip,cow.npz,rig-2,,,",
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    carp, cow = rigs.find(tmp_path).items
    assert carp.path == str(tmp_path.resolve() / "a.zip" / "carp.npz")
    assert (carp.class_name, carp.split, carp.up, carp.yaw) == ("rig-1", "train", "y", None)
    assert (carp.license, carp.creator, carp.sha256) == ("CC0-1.0", "Ann", "ab")
    assert (cow.id, cow.split, cow.class_name) == ("cow", "test", "rig-2")
    (tmp_path / "manifest.csv").write_text("id,split\ncarp,train\n")
    with pytest.raises(RecordError, match="missing archive, member"):
        rigs.find(tmp_path)


def test_archives_of_arrays_in_a_folder_are_rigs_if_they_have_all_of_them(tmp_path: Path):
    mesh, skeleton = rig("fish", 0, resolution=16)
    write_rig(mesh, skeleton, tmp_path / "carp.npz")
    np.savez(tmp_path / "stone.npz", vertices=mesh.vertices)
    found = rigs.find(tmp_path)
    assert [item.id for item in found.items] == ["carp"]
    assert found.notes == ("1 files are left out: no rig",)
    with pytest.raises(RecordError, match="no mesh files"):
        find_sources(tmp_path)


def test_a_dry_run_says_what_is_there_and_writes_nothing(folder: Path, tmp_path: Path, capsys):
    out = tmp_path / "rigs.csv"
    run(rigs.RECIPE, [str(folder), "--out", str(out), "--dry-run"])
    said = capsys.readouterr().out
    assert "rigs: 2 shapes" in said
    assert "no rig" in said
    assert not out.exists()
    run(rigs.RECIPE, [str(folder), "--out", str(out)])
    assert [source.id for source in find_sources(out)] == ["fish-carp", "fish-pike"]


def test_the_real_rigs_are_there_as_their_hashes_say_and_can_be_read(data_root: Path, tmp_path: Path):
    if not (data_root / "rigs" / "manifest.csv").is_file():
        pytest.skip("no rigs in the data")
    found = rigs.find(data_root / "rigs")
    assert present(found.items) == found.items
    assert Counter(item.split for item in found.items) == {"train": 83, "test": 9}
    assert not {i.class_name for i in found.items if i.split == "test"} & {
        i.class_name for i in found.items if i.split == "train"
    }
    write(found.items, tmp_path / "rigs.csv")
    hashes = {item.id: item.sha256 for item in found.items}
    for source in find_sources(tmp_path / "rigs.csv")[::10]:
        with local_file(source.path) as file:
            assert hashlib.sha256(file.read_bytes()).hexdigest() == hashes[source.id]
            assert read_rig(file)[1].deforming.sum() >= 4
