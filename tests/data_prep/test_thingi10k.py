"""Thingi10K from a folder of its archive, and through a stand-in for its package."""

import sys

import pytest

from data_prep._table import Item, report
from data_prep.thingi10k import RECIPE, find
from geomflow.errors import GeomflowError, RecordError

SUMMARY = """ID,Thing ID,License,Link,No duplicated faces
32770,10367,Creative Commons - Attribution - Share Alike,https://example.org/Octocat-v1.stl,TRUE
37385,11705,GNU - GPL,https://example.org/squirrel.off,TRUE
40000,12976,unknown_license,https://example.org/tube.stl,TRUE
"""
CONTEXT = """Thing ID,Date,Category,Sub-category,Name,Author,License
10367,2011-07-26T09:23:59,None,None,Octocat ,BrianEnigma,Creative Commons - Attribution - Share Alike
11705,2011-09-19T13:56:55,models,animals,Squirrel ,MBCook,GNU - GPL
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "raw_meshes").mkdir()
    for name in ("32770.stl", "37385.off", "40000.STL", "40001.stl", "40002.wrl", "notes.obj"):
        (tmp_path / "raw_meshes" / name).touch()
    return tmp_path


def test_a_folder_with_the_tables_gives_each_file_its_terms(folder):
    (folder / "metadata").mkdir()
    (folder / "metadata" / "input_summary.csv").write_text(SUMMARY)
    (folder / "metadata" / "contextual_data.csv").write_text(CONTEXT)
    found = find(folder)
    path = folder.resolve() / "raw_meshes"
    share_alike = "Creative Commons - Attribution - Share Alike"
    assert found.items == [
        Item("32770", str(path / "32770.stl"), "", up="z", license=share_alike, creator="BrianEnigma"),
        Item("37385", str(path / "37385.off"), "models", up="z", license="GNU - GPL", creator="MBCook"),
        Item("40000", str(path / "40000.STL"), "", up="z"),
        Item("40001", str(path / "40001.stl"), "", up="z"),
    ]
    text = report(RECIPE, found)
    assert text.startswith("thingi10k: 4 shapes (10000 expected)\n")
    assert "note: 2 files of unknown licence\n" in text


def test_a_folder_without_the_tables_has_unknown_terms(folder):
    found = find(folder)
    assert {(item.license, item.creator, item.class_name) for item in found.items} == {("", "", "")}
    assert found.notes == ("4 files of unknown licence",)


class Package:
    """The two functions of the package that the recipe calls."""

    def __init__(self):
        self.variants = []

    def init(self, variant):
        self.variants.append(variant)

    def dataset(self):
        assert self.variants == ["raw"], "prep reads the original files, not the package's arrays"
        about = {"thing_id": 11705, "author": "MBCook", "license": "GNU - GPL", "category": "models"}
        yield {"file_id": 37385, "file_path": "/cache/raw_meshes/37385.off", **about}
        yield {"file_id": 1, "file_path": "/cache/1.stl", "author": "unknown", "license": "unknown", "category": "None"}


def test_the_package_downloads_and_says_the_terms():
    package = Package()
    found = find(library=package)
    assert (found.items, found.expected, package.variants) == ([], 9996, [])
    assert found.download() == [
        Item("37385", "/cache/raw_meshes/37385.off", "models", up="z", license="GNU - GPL", creator="MBCook"),
        Item("1", "/cache/1.stl", up="z"),
    ]


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(RecordError, match="gone: wanted a folder of Thingi10K's files, found nothing"):
        find(tmp_path / "gone")
    with pytest.raises(RecordError, match=r"wanted files like 32770\.stl, found none"):
        find(tmp_path)
    monkeypatch.setitem(sys.modules, "thingi10k", None)
    with pytest.raises(GeomflowError, match="pip install thingi10k, or name a folder of its files"):
        find()
