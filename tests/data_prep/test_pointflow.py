"""PointFlow's layout of point clouds."""

import pytest

from data_prep._table import run
from data_prep.pointflow import RECIPE, find
from geomflow.errors import RecordError

CHAIR, MUG = "03001627", "03797390"


@pytest.fixture
def root(tmp_path):
    for name in (f"{CHAIR}/train/a", f"{CHAIR}/val/b", f"{MUG}/test/c", f"{MUG}/other/d", "mug/test/e"):
        file = tmp_path / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def test_ids_classes_splits_and_axes_are_those_of_the_layout(root):
    items = find(root).items
    assert [(item.id, item.class_name, item.split) for item in items] == [
        (f"{CHAIR}-a", "chair", "train"),
        (f"{CHAIR}-b", "chair", "val"),
        (f"{MUG}-c", "mug", "test"),
    ]
    assert {(item.up, item.yaw) for item in items} == {("y", 180.0)}
    assert items[0].path == str(root.resolve() / CHAIR / "train" / "a.npy")
    assert "non-commercial research" in items[0].license


def test_the_next_command_prepares_clouds(root, capsys):
    run(RECIPE, [str(root), "--classes", "mug", "--out", str(root / "mugs.csv")])
    said = capsys.readouterr().out
    assert "pointflow: 1 shapes\n" in said
    assert "https://shapenet.org/terms" in said
    assert said.endswith(f"next: geomflow prep {root / 'mugs.csv'} {root / 'mugs'} --clouds\n")


def test_another_layout_is_refused(tmp_path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(RecordError, match=r"wanted SYNSET/train\|val\|test/MODEL\.npy, found no such file"):
        find(tmp_path)
    with pytest.raises(RecordError, match="gone: wanted a folder, found nothing"):
        find(tmp_path / "gone")
