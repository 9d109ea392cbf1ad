"""Objaverse through a stand-in for its package: the licence filter, credit, classes and what is left out."""

import sys

import pytest

from data_prep._table import report
from data_prep.objaverse import LICENSES, RECIPE, find
from geomflow.errors import GeomflowError, RecordError

ANNOTATIONS = {
    "u1": {"uid": "u1", "name": "Chair", "license": "by", "user": {"username": "ann1", "displayName": "Ann"}},
    "u2": {"uid": "u2", "name": "Rock", "license": "cc0", "user": {"username": "bob"}},
    "u3": {"uid": "u3", "name": "Car", "license": "by-nc", "user": {"username": "eve"}},
    "u4": {"uid": "u4", "name": "Car", "license": "by-nc", "user": None},
}


class Package:
    """The functions of the package that the recipe calls, on a few models, one of which never arrives."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []

    def load_uids(self):
        return list(ANNOTATIONS)

    def load_annotations(self, uids):
        return {uid: ANNOTATIONS[uid] for uid in uids}

    def load_lvis_annotations(self):
        return {"chair": ["u1", "u9"], "cab_(taxi)": ["u3"]}

    def load_objects(self, uids):
        self.asked += uids
        return {uid: str(self.folder / f"{uid}.glb") for uid in uids if uid != "u2"}


@pytest.fixture
def uids(tmp_path):
    (tmp_path / "uids.txt").write_text("u1\nu2\nu3\nu4\nu1\nu8\n")
    return tmp_path / "uids.txt"


def test_by_default_only_by_and_cc0_are_kept_and_nothing_is_downloaded(uids, tmp_path):
    package = Package(tmp_path)
    found = find(uids, library=package)
    assert [(item.id, item.class_name, item.license, item.creator, item.up) for item in found.items] == [
        ("u1", "chair", "CC-BY-4.0", "Ann", "y"),
        ("u2", "", "CC0-1.0", "bob", "y"),
    ]
    assert not package.asked
    text = report(RECIPE, found)
    assert "to be made or downloaded: 2\nnote: 2 left out: licence by-nc\nnote: 1 uids are not in Objaverse\n" in text


def test_only_kept_models_are_downloaded(uids, tmp_path):
    package = Package(tmp_path)
    items = find(uids, library=package).download()
    assert package.asked == ["u1", "u2"]
    assert [item.path for item in items] == [str(tmp_path / "u1.glb"), ""]


def test_other_licences_are_kept_when_asked_for(uids, tmp_path):
    items = find(uids, ["by-nc"], Package(tmp_path)).items
    assert [(item.id, item.class_name, item.license, item.creator) for item in items] == [
        ("u3", "cab_(taxi)", "CC-BY-NC-4.0", "eve"),
        ("u4", "", "CC-BY-NC-4.0", ""),
    ]
    everything = find(uids, list(LICENSES), Package(tmp_path))
    assert [item.id for item in everything.items] == ["u1", "u2", "u3", "u4"]
    assert everything.notes == ("1 uids are not in Objaverse",)


def test_bad_arguments_are_named(uids, tmp_path, monkeypatch):
    with pytest.raises(RecordError, match="no licence by-nd; there are by, by-nc, by-nc-sa, by-sa, cc0"):
        find(uids, ["by-nd"], Package(tmp_path))
    with pytest.raises(RecordError, match=r"none\.txt: wanted a text file with one uid per line, found nothing"):
        find(tmp_path / "none.txt", library=Package(tmp_path))
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(RecordError, match=r"empty\.txt: wanted one uid per line, found none"):
        find(tmp_path / "empty.txt", library=Package(tmp_path))
    monkeypatch.setitem(sys.modules, "objaverse", None)
    with pytest.raises(GeomflowError, match="through the package objaverse: pip install objaverse"):
        find(uids)
