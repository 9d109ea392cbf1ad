"""The shared command line: what it writes is what prep reads, and a dry run writes nothing."""

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import data_prep
from data_prep._table import COLUMNS, Found, Item, Recipe, present, read_table, report, run, write
from geomflow.errors import RecordError
from geomflow.prep.sources import find_sources

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(file.stem for file in (ROOT / "data_prep").glob("[!_]*.py"))


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "here.obj").touch()
    items = [
        Item("a", str(tmp_path / "here.obj"), "chair", "test", "z", 90.0, "CC0-1.0", "Ann", "ab" * 32),
        Item("b", str(tmp_path / "gone.obj"), "chair", "train"),
    ]
    return Recipe("made_up", "About.", "none at all.", lambda root: Found(items, 5, ("look out",)), prep="--clouds")


def test_a_run_says_what_is_there_and_writes_only_that(recipe, tmp_path, capsys):
    out = tmp_path / "new" / "table.csv"
    run(recipe, [str(tmp_path), "--out", str(out)])
    assert capsys.readouterr().out.splitlines() == [
        "made_up: 1 shapes (5 expected)",
        "  chair                    test        1",
        f"missing files: 1: {tmp_path / 'gone.obj'}",
        "note: look out",
        "terms: none at all.",
        f"wrote {out}",
        f"next: geomflow prep {out} {tmp_path / 'new' / 'table'} --clouds",
    ]
    [row] = read_table(out, COLUMNS)
    assert row == {
        "id": "a",
        "path": str(tmp_path / "here.obj"),
        "class": "chair",
        "split": "test",
        "up": "z",
        "yaw": "90",
        "license": "CC0-1.0",
        "creator": "Ann",
        "sha256": "ab" * 32,
    }


def test_prep_reads_the_table_and_takes_its_defaults_for_what_is_unknown(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.obj").touch()
    known = Item("one", str(tmp_path / "one.obj"), "chair", "test", "z", 287.5)
    write([known, Item("two", str(tmp_path / "two.obj"))], tmp_path / "table.csv")
    one, two = find_sources(tmp_path / "table.csv")
    assert (one.id, one.path, one.class_name) == ("one", str(tmp_path / "one.obj"), "chair")
    assert (one.split, one.up, one.yaw) == ("test", "z", 287.5)
    assert (two.class_name, two.split, two.up, two.yaw) == ("", "train", "y", 0.0)


def test_a_dry_run_writes_and_downloads_nothing(recipe, tmp_path, capsys):
    run(recipe, [str(tmp_path), "--out", str(tmp_path / "new.csv"), "--dry-run"])
    assert capsys.readouterr().out.endswith("terms: none at all.\ndry run: nothing is written\n")

    def download():
        raise AssertionError("a dry run downloads nothing")

    pending = Recipe("far", "", "t", lambda root: Found([Item("a"), Item("b")], download=download))
    run(pending, [str(tmp_path), "--out", str(tmp_path / "new.csv"), "--dry-run"])
    said = capsys.readouterr().out
    assert "far: 0 shapes\n" in said
    assert "to be made or downloaded: 2\n" in said
    assert "missing" not in said
    assert not (tmp_path / "new.csv").exists()


def test_what_a_download_does_not_bring_is_missing(recipe, tmp_path, capsys):
    got = [Item("a", str(tmp_path / "here.obj")), Item("b")]
    far = Recipe("far", "", "t", lambda root: Found([Item("a"), Item("b")], download=lambda: got))
    run(far, [str(tmp_path), "--out", str(tmp_path / "far.csv")])
    assert "missing files: 1: b\n" in capsys.readouterr().out
    assert [row["id"] for row in read_table(tmp_path / "far.csv", COLUMNS)] == ["a"]


def test_many_missing_files_are_counted_and_few_are_named():
    gone = Found([Item(name, f"/gone/{name}.obj") for name in "abcde"])
    text = report(Recipe("r", "", "t", lambda: gone), gone)
    assert "missing files: 5: /gone/a.obj, /gone/b.obj, /gone/c.obj, ...\n" in text


def test_members_of_an_archive_are_looked_up(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/one.obj", "")
    here, gone = (Item(name, str(tmp_path / "a.zip" / "in" / f"{name}.obj")) for name in ("one", "two"))
    assert present([here, gone, Item("no path")]) == [here]
    (tmp_path / "b.zip").write_bytes(b"no archive")
    with pytest.raises(RecordError, match=r"b\.zip: damaged, or not a zip archive"):
        present([Item("a", str(tmp_path / "b.zip" / "a.obj"))])


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda root: Found([]), "out.csv: not written, since no shape was found"),
        (lambda root: Found(read_table(root / "t.csv", ["id"])), "t.csv: wanted a table with the columns id, found n"),
        (lambda root: Found(read_table(root / "u.csv", ["id", "c"])), "u.csv: wanted columns id, c; missing c"),
    ],
)
def test_errors_end_the_program_with_one_line(find, message, tmp_path, capsys):
    (tmp_path / "u.csv").write_text("id,b\n1,2\n")
    with pytest.raises(SystemExit) as stopped:
        run(Recipe("r", "", "t", find), [str(tmp_path), "--out", str(tmp_path / "out.csv")])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("python -m data_prep.r: ")
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_explains_itself(name):
    module = importlib.import_module(f"data_prep.{name}")
    about = " ".join((module.__doc__ or "").split())
    assert f"python -m data_prep.{name} " in about
    if hasattr(module, "RECIPE"):
        assert module.RECIPE.name == name
        assert f"geomflow prep build/{name}.csv build/{name}" in about


def test_the_lists_of_recipes_name_what_is_there():
    listed = re.findall(r"^    (\w+)  ", data_prep.__doc__ or "", re.MULTILINE)
    documented = re.findall(r"^\| `data_prep\.(\w+)`", (ROOT / "docs" / "data_sources.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(documented)
    assert set(listed) <= set(NAMES)
    assert len(listed) > 10


def test_recipes_load_neither_torch_nor_the_packages_they_may_call():
    imports = ", ".join(f"data_prep.{name}" for name in NAMES)
    code = f"import sys, {imports}; sys.exit(' '.join({{'torch', 'objaverse', 'thingi10k'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-300:]
