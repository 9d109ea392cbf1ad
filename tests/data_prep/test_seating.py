"""Which meshes may be trained on is decided by their terms."""

import csv

from data_prep.seating import rows, write

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
    assert [(row["id"], row["split"]) for row in rows(tmp_path)] == [
        ("made", "train"),
        ("free", "train"),
        ("tested", "test"),
    ]
    assert write(tmp_path, tmp_path / "out" / "seating.csv")["chair", "train"] == 1
    with (tmp_path / "out" / "seating.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first["path"] == str(tmp_path.resolve() / "shapes_procedural" / "a.zip" / "1.ply")
    assert (first["up"], first["yaw"], first["creator"]) == ("z", "90", "Infinigen 1.15.5")
