"""Folders with a manifest: made up ones, and the real collections."""

import pytest

from data_prep._table import present, run
from data_prep.shapes import RECIPE, find
from geomflow.errors import RecordError
from geomflow.prep.sources import find_sources

MANIFEST = """id,class,split,archive,member,up,yaw_to_front_z,license,creator,sha256
one,chair,train,,in/one.obj,y,90,CC0-1.0,Ann,aa
two,table,test,a.zip,two.obj,z,,CC-BY-3.0,"Bob, Inc.",
two,chair,test,,two.obj,,,,,
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    return tmp_path


def test_all_that_the_manifest_knows_is_kept(root):
    one, table, chair = find(root).items
    assert (one.id, one.path) == ("one", str(root.resolve() / "in" / "one.obj"))
    assert (one.class_name, one.split, one.up, one.yaw) == ("chair", "train", "y", 90.0)
    assert (one.license, one.creator, one.sha256) == ("CC0-1.0", "Ann", "aa")
    assert table.path == str(root.resolve() / "a.zip" / "two.obj")
    assert (table.up, table.yaw, table.creator) == ("z", None, "Bob, Inc.")
    assert (table.id, chair.id) == ("table-two", "chair-two"), "an id that two classes share gets the class"


def test_classes_and_licences_are_filters_and_terms_fill_gaps(root):
    assert [item.id for item in find(root, classes=["chair"]).items] == ["one", "two"]
    assert [item.id for item in find(root, licenses=["CC0-1.0"]).items] == ["one"]
    found = find(root, license="MIT", creator="Eve")
    assert [(item.license, item.creator) for item in found.items][1:] == [("CC-BY-3.0", "Bob, Inc."), ("MIT", "Eve")]
    assert find(root).notes == ("1 under CC-BY-3.0", "1 under CC0-1.0", "1 under unknown")


def test_wrong_filters_and_manifests_are_named(root):
    with pytest.raises(RecordError, match="no class sofa; there are chair, table"):
        find(root, classes=["sofa"])
    with pytest.raises(RecordError, match=r"no licence GPL; there are CC-BY-3\.0, CC0-1\.0$"):
        find(root, licenses=["GPL"])
    (root / "manifest.csv").write_text(MANIFEST.replace(",90,", ",left,"))
    with pytest.raises(RecordError, match=r"manifest\.csv: could not convert string to float: 'left'"):
        find(root)
    (root / "manifest.csv").write_text("id,class\n")
    with pytest.raises(RecordError, match="wanted columns id, class, split, archive, member; missing split, archive"):
        find(root)


@pytest.mark.parametrize(("collection", "count", "tests"), [("shapes", 1383, 225), ("shapes_procedural", 542, 76)])
def test_the_real_collections_are_whole(data_root, tmp_path, collection, count, tests):
    items = find(data_root / collection).items
    assert len(items) == len({item.id for item in items}) == count
    assert sum(item.split == "test" for item in items) == tests
    assert present(items) == items
    assert all(len(item.sha256) == 64 and item.up in ("y", "z") for item in items)


def test_prep_reads_what_is_written_of_the_real_data(data_root, tmp_path, capsys):
    out = tmp_path / "free.csv"
    run(RECIPE, [str(data_root / "shapes"), "--classes", "stool", "bench", "--licenses", "CC0-1.0", "--out", str(out)])
    sources = find_sources(out)
    assert f"shapes: {len(sources)} shapes\n" in capsys.readouterr().out
    assert {source.class_name for source in sources} == {"stool", "bench"}
    assert all(source.path.startswith(str((data_root / "shapes").resolve())) for source in sources)
