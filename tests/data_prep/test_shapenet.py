"""ShapeNetCore's two layouts: names, fronts, splits, and shapes that only one of folder and table has."""

import json

import numpy as np
import pytest
import trimesh

from data_prep._synsets import NAMES
from data_prep._table import report
from data_prep.shapenet import RECIPE, find
from geomflow.errors import RecordError
from geomflow.prep.job import upright

CHAIR, PLANE = "03001627", "02691156"
LAYOUTS = {"v1": "model.obj", "v2": "models/model_normalized.obj"}
FRONTS = {"v1": (1, 0, 0), "v2": (0, 0, -1)}


@pytest.fixture(params=LAYOUTS)
def version(request):
    return request.param


def make(root, version, *names):
    for name in names:
        file = root / name / LAYOUTS[version]
        file.parent.mkdir(parents=True)
        file.touch()


def test_both_layouts_give_ids_names_and_terms(tmp_path, version):
    make(tmp_path, version, f"{CHAIR}/1a2b", f"{PLANE}/77")
    (tmp_path / "not_a_synset").mkdir()
    found = find(tmp_path)
    assert [(item.id, item.class_name, item.split, item.up) for item in found.items] == [
        (f"{PLANE}-77", "airplane", "train", "y"),
        (f"{CHAIR}-1a2b", "chair", "train", "y"),
    ]
    assert found.items[1].path == str(tmp_path.resolve() / CHAIR / "1a2b" / LAYOUTS[version])
    assert all("non-commercial research" in item.license for item in found.items)
    assert found.notes == ("no all.csv, so all shapes are training data",)


def test_the_yaw_turns_the_front_of_the_release_to_z(tmp_path, version):
    make(tmp_path, version, f"{CHAIR}/1a2b")
    [item] = find(tmp_path).items
    marker = trimesh.Trimesh([FRONTS[version], (0, 1, 0), (0, 0, 0)], [[0, 1, 2]], process=False)
    turned = upright(marker, item.up, item.yaw).vertices
    np.testing.assert_allclose(turned, [(0, 0, 1), (0, 1, 0), (0, 0, 0)], atol=1e-12)


def test_names_come_from_the_taxonomy_where_it_is_there(tmp_path):
    make(tmp_path, "v2", f"{CHAIR}/1", "12345678/2")
    nodes = [{"synsetId": "12345678", "name": "magic carpet,rug", "children": [], "numInstances": 1}]
    (tmp_path / "taxonomy.json").write_text(json.dumps(nodes))
    assert [item.class_name for item in find(tmp_path).items] == ["chair", "magic_carpet"]
    (tmp_path / "taxonomy.json").write_text('[{"name": "rug"}]')
    with pytest.raises(RecordError, match=r"taxonomy\.json: wanted a list of objects with synsetId and name"):
        find(tmp_path)


def test_the_split_table_decides_and_both_kinds_of_absence_are_reported(tmp_path):
    make(tmp_path, "v2", f"{PLANE}/a", f"{PLANE}/b", f"{PLANE}/unlisted")
    rows = [(PLANE, "a", "train"), (PLANE.lstrip("0"), "b", "test"), (PLANE, "gone", "val"), (CHAIR, "far", "train")]
    lines = [f"{i:06},{synset},{synset},{model},{split}" for i, (synset, model, split) in enumerate(rows)]
    (tmp_path / "all.csv").write_text("\n".join(["id,synsetId,subSynsetId,modelId,split", *lines]))
    found = find(tmp_path)
    assert [(item.id, item.split) for item in found.items] == [
        (f"{PLANE}-a", "train"),
        (f"{PLANE}-b", "test"),
        (f"{PLANE}-gone", "val"),
    ], "a synset that is not in the folder is not missed"
    text = report(RECIPE, found)
    assert text.startswith("shapenet: 2 shapes (3 expected)\n")
    assert f"missing files: 1: {tmp_path.resolve() / PLANE / 'gone'}\n" in text
    assert f"note: 1 shapes are not in the split table and are left out: {PLANE}/unlisted\n" in text


def test_classes_are_chosen_by_name(tmp_path):
    make(tmp_path, "v1", f"{CHAIR}/1", f"{PLANE}/2")
    assert [item.id for item in find(tmp_path, ["chair"]).items] == [f"{CHAIR}-1"]
    with pytest.raises(RecordError, match="no class chairs; there are airplane, chair"):
        find(tmp_path, ["chairs"])


@pytest.mark.parametrize("name", [f"{CHAIR}/1/model.off", "chair/1/model.obj"])
def test_another_layout_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    with pytest.raises(RecordError, match=r"wanted SYNSET/MODEL folders with model\.obj or models/model_norm"):
        find(tmp_path)


def test_a_split_table_that_is_named_must_be_there(tmp_path):
    make(tmp_path, "v1", f"{CHAIR}/1")
    with pytest.raises(RecordError, match=r"mine\.csv: wanted a table with the columns synsetId, modelId, split"):
        find(tmp_path, splits=tmp_path / "mine.csv")


def test_the_55_categories_and_the_two_of_v1_have_names_of_their_own():
    assert len(NAMES) == len(set(NAMES.values())) == 57
    assert all(len(offset) == 8 and offset.isdigit() for offset in NAMES)
