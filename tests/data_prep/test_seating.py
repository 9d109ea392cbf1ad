"""Which meshes may be trained on is decided by their terms."""

from collections import Counter

import pytest

from data_prep.seating import CREDITED, FREE, find
from geomflow.errors import RecordError

COLUMNS = "id,class,split,archive,member,up,yaw_to_front_z"


def test_only_free_meshes_are_trained_on_and_unknown_terms_are_left_out(tmp_path):
    for folder in ("shapes", "shapes_procedural"):
        (tmp_path / folder).mkdir()
    procedural = f"{COLUMNS}\nmade,chair,train,a.zip,1.ply,z,90\n"
    (tmp_path / "shapes_procedural" / "manifest.csv").write_text(procedural)
    found = "".join(
        f"{name},{kind},{split},b.zip,{name}.obj,y,0,{terms},Ann\n"
        for name, kind, split, terms in [
            ("free", "stool", "train", "CC0-1.0"),
            ("credited", "chair", "train", "CC-BY-3.0"),
            ("tested", "chair", "test", "CC-BY-3.0"),
            ("unknown", "chair", "train", ""),
            ("copyleft", "bench", "test", "GPL-2.0"),
            ("table", "table", "train", "CC0-1.0"),
        ]
    )
    (tmp_path / "shapes" / "manifest.csv").write_text(f"{COLUMNS},license,creator\n{found}")
    items = find(tmp_path).items
    assert [(item.id, item.split) for item in items] == [("made", "train"), ("free", "train"), ("tested", "test")]
    assert items[0].path == str(tmp_path.resolve() / "shapes_procedural" / "a.zip" / "1.ply")
    assert (items[0].up, items[0].yaw, items[0].creator) == ("z", 90.0, "Infinigen 1.15.5")


def test_a_missing_collection_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"shapes_procedural/manifest\.csv: wanted a table"):
        find(tmp_path)


def test_the_real_seats_are_those_of_the_embedded_models(data_root):
    items = find(data_root).items
    assert Counter(item.split for item in items) == {"train": 438, "test": 78}
    assert {item.license for item in items if item.split == "train"} <= set(FREE)
    assert {item.license for item in items} <= {*FREE, *CREDITED}
