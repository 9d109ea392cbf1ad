"""ModelNet's published layout, as folder and as zip, with the headers that its files have."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.modelnet import RECIPE, find
from geomflow.errors import RecordError
from geomflow.geometry import read_mesh
from geomflow.prep.sources import local_file

TETRAHEDRON = "4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
FILES = {
    "chair/train/chair_0001.off": f"OFF\n{TETRAHEDRON}",
    "chair/test/chair_0890.off": f"OFF{TETRAHEDRON}",
    "night_stand/train/night_stand_0001.off": f"OFF{TETRAHEDRON}",
}


@pytest.fixture(params=["folder", "zip"])
def root(request, tmp_path):
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "ModelNet10.zip", "w") as archive:
            for name, text in FILES.items():
                archive.writestr(f"ModelNet10/{name}", text)
                archive.writestr(f"__MACOSX/ModelNet10/{Path(name).parent}/._{Path(name).name}", "junk")
            archive.writestr("ModelNet10/README.txt", "")
        return tmp_path / "ModelNet10.zip"
    for name, text in FILES.items():
        file = tmp_path / "ModelNet10" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "ModelNet10"


def test_ids_classes_and_splits_are_those_of_the_layout(root):
    found = find(root)
    assert [(item.id, item.class_name, item.split) for item in found.items] == [
        ("chair_0001", "chair", "train"),
        ("chair_0890", "chair", "test"),
        ("night_stand_0001", "night_stand", "train"),
    ]
    assert {(item.up, item.yaw, item.license) for item in found.items} == {("z", None, "academic research only")}
    assert found.expected == 0, "two classes are neither of the published sets"


def test_both_kinds_of_header_are_read(root):
    for item in find(root).items:
        with local_file(item.path) as file:
            mesh = read_mesh(file)
        assert mesh.faces.shape == (4, 3)
        np.testing.assert_allclose(mesh.extents, 1)


def test_the_published_count_is_known_by_the_number_of_classes(tmp_path):
    for i in range(10):
        file = tmp_path / f"class{i}" / "train" / f"class{i}_0001.off"
        file.parent.mkdir(parents=True)
        file.touch()
    assert find(tmp_path).expected == 4899
    assert "academic research only" in RECIPE.terms


def test_another_layout_is_refused(tmp_path):
    (tmp_path / "chair_0001.off").touch()
    with pytest.raises(RecordError, match=r"wanted CLASS/train\|test/CLASS_0001.off, found no such file"):
        find(tmp_path)
    with pytest.raises(RecordError, match="nowhere: wanted a folder"):
        find(tmp_path / "nowhere")
