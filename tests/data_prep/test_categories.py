"""Categories: kinds are joined, small ones left out, and terms decide as for seats."""

from collections import Counter

from data_prep.categories import FEWEST, JOINED, find
from data_prep.seating import CREDITED, FREE

COLUMNS = "id,class,split,archive,member,up,yaw_to_front_z"


def test_kinds_are_joined_and_classes_of_too_few_training_shapes_left_out(tmp_path):
    for folder in ("shapes", "shapes_procedural"):
        (tmp_path / folder).mkdir()
    kinds = [("bar_chair", "train")] * (FEWEST - 1) + [("stool", "test")] + [("fish", "train")] * (FEWEST - 1)
    made = "".join(f"{i},{kind},{split},a.zip,{i}.ply,z,\n" for i, (kind, split) in enumerate(kinds))
    (tmp_path / "shapes_procedural" / "manifest.csv").write_text(f"{COLUMNS}\n{made}")
    found = [
        ("s0", "stool", "train", "CC0-1.0"),
        ("f0", "fish", "train", "CC-BY-3.0"),
        ("f1", "fish", "test", "CC0-1.0"),
    ]
    rows = "".join(f"{name},{kind},{split},b.zip,{name}.obj,y,0,{terms},Ann\n" for name, kind, split, terms in found)
    (tmp_path / "shapes" / "manifest.csv").write_text(f"{COLUMNS},license,creator\n{rows}")
    items = find(tmp_path).items
    assert {item.class_name for item in items} == {"stool"}
    assert Counter(item.split for item in items) == {"train": FEWEST, "test": 1}


def test_the_real_categories_are_those_that_the_models_were_trained_on(data_root):
    items = find(data_root).items
    assert Counter(item.split for item in items) == {"train": 1095, "test": 242}
    sizes = Counter(item.class_name for item in items if item.split == "train")
    assert len(sizes) == 15
    assert min(sizes.values()) >= FEWEST
    assert not set(sizes) & set(JOINED)
    assert {item.license for item in items if item.split == "train"} <= set(FREE)
    assert {item.license for item in items} <= {*FREE, *CREDITED}
