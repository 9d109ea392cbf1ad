"""What lies on disk is drawn: every kind of file, folders in order, damaged ones by name."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image

from geomflow.cli import main
from geomflow.errors import MeshError, RecordError
from geomflow.geometry.grid import SdfGrid
from geomflow.geometry.primitives import Box
from geomflow.geometry.write_points import write_points
from geomflow.records import RecordHeader, ShapeRecord, save_record
from geomflow.viz.files import find, read_items

POINTS = np.random.default_rng(3).uniform(-1, 1, (50, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Four readable files, a damaged one, and one that is nothing to draw."""
    place = tmp_path / "shapes"
    place.mkdir()
    Box().mesh().export(place / "b.ply")
    np.save(place / "a.npy", POINTS)
    np.save(place / "d.npy", np.linspace(-1, 1, 4**3).reshape(4, 4, 4))
    (place / "c.obj").write_text("v 0 0\n")
    (place / "preview.png").touch()
    (place / "deeper").mkdir()
    Box().mesh().export(place / "deeper" / "e.stl")
    return place


def test_a_folder_is_a_gallery_in_the_order_of_names(folder):
    found = find(folder)
    assert found.titles == ["a.npy", "b.ply", "d.npy", "deeper/e.stl"]
    assert [type(item) for item in found.items] == [trimesh.PointCloud, trimesh.Trimesh, SdfGrid, trimesh.Trimesh]
    assert list(found.unreadable) == ["c.obj"]
    assert not found.unreadable["c.obj"].startswith(str(folder))


def test_points_that_were_sampled_with_normals_are_drawn_as_points(tmp_path):
    write_points([{"points": POINTS, "normals": POINTS}], tmp_path / "a.npy", len(POINTS), ["points", "normals"])
    np.testing.assert_array_equal(read_items(tmp_path / "a.npy")[0], POINTS)


def test_files_beyond_the_limit_are_counted(folder):
    found = find(folder, limit=2)
    assert found.titles == ["a.npy", "b.ply"]
    assert found.left_out == 3


def test_a_folder_of_nothing_that_can_be_read_is_refused_with_the_reasons(tmp_path):
    with pytest.raises(RecordError, match=r"found no file that can be drawn \(wanted \..*\.safetensors\)$"):
        find(tmp_path)
    (tmp_path / "a.obj").write_text("nonsense")
    (tmp_path / "b.safetensors").write_bytes(b"no")
    with pytest.raises(
        RecordError, match=r"found no file that can be drawn \(a\.obj: .*; b\.safetensors: not a readable"
    ):
        find(tmp_path)
    with pytest.raises(RecordError, match="found nothing of that name"):
        find(tmp_path / "missing")
    with pytest.raises(MeshError, match=r"a\.obj: "):
        find(tmp_path / "a.obj")
    with pytest.raises(ValueError, match="limit must be at least 1, given 0"):
        find(tmp_path, limit=0)


def test_colours_of_points_come_along(tmp_path):
    colors = np.linspace(0, 1, 150).reshape(50, 3)
    write_points([{"points": POINTS, "colors": colors}], tmp_path / "p.ply", 50, ("points", "colors"))
    (cloud,) = read_items(tmp_path / "p.ply")
    np.testing.assert_allclose(cloud.vertices, POINTS)
    np.testing.assert_array_equal(cloud.colors[:, :3], np.rint(255 * colors))


def test_colours_may_be_numbers_up_to_one(tmp_path):
    names = ("x", "y", "z", "red", "green", "blue")
    header = ["ply", "format ascii 1.0", "element vertex 2", *(f"property float {n}" for n in names), "end_header"]
    (tmp_path / "p.ply").write_text("\n".join([*header, "0 0 0 1 0 0.2", "1 1 1 0 1 0.4", ""]))
    (cloud,) = read_items(tmp_path / "p.ply")
    np.testing.assert_array_equal(cloud.colors[:, :3], [[255, 0, 51], [0, 255, 102]])


def test_an_array_of_clouds_is_a_gallery(tmp_path):
    clouds = np.stack([POINTS, POINTS + 1])
    np.save(tmp_path / "clouds.npy", clouds)
    found = find(tmp_path / "clouds.npy")
    np.testing.assert_array_equal(found.items, clouds)
    assert found.titles == ["clouds.npy 0", "clouds.npy 1"]


def test_a_record_is_its_surface_points_and_its_grid(tmp_path):
    none, no_rows, grid = np.zeros(0), np.zeros((0, 3)), np.linspace(-1, 1, 27).reshape(3, 3, 3).astype(np.float16)
    distances = {f"{kind}_{what}": none for kind in ("vol", "near") for what in ("sdf", "confidence")}
    rows = {"vol_points": no_rows, "near_points": no_rows, "vertices": no_rows, "faces": no_rows.astype(int)}
    frame = {"shifts": np.zeros(3), "scale": np.ones(1)}
    header = RecordHeader(id="a", source="a.ply", sha256="")
    record = ShapeRecord(header, POINTS, POINTS, sdf_grid=grid, **distances, **rows, **frame)
    save_record(record, tmp_path / "a.safetensors")
    save_record(replace(record, sdf_grid=None), tmp_path / "b.safetensors")
    points, found = read_items(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(points, POINTS)
    np.testing.assert_array_equal(found.values, grid)
    gallery = find(tmp_path)
    assert gallery.titles == ["a.safetensors", "b.safetensors"]
    np.testing.assert_array_equal(gallery.items, [POINTS, POINTS])


def test_the_verb_writes_a_page_of_a_folder_and_says_what_it_skipped(folder, tmp_path, capsys):
    pytest.importorskip("plotly")
    out = tmp_path / "page.html"
    assert main(["view", str(folder), "--out", str(out), "--limit", "4"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"skipped c\.obj: ", said)
    assert said.endswith(f"wrote {out}: 3 drawn, 1 more left out (--limit)\n")
    text = out.read_text()
    assert all(f'"text":"{name}"' in text for name in ("a.npy", "b.ply", "d.npy"))


def test_the_verb_writes_sheets_and_films(folder, tmp_path, monkeypatch):
    assert main(["view", str(folder), "--out", str(tmp_path / "sheet.png"), "--columns", "3"]) == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (640, 960, 3)
    assert all(sheet[:320, left : left + 320].std() > 1 for left in (0, 320, 640))
    drawn = SimpleNamespace()
    monkeypatch.setattr("geomflow.viz.turning.turntable", lambda mesh, path: setattr(drawn, "mesh", mesh))
    assert main(["view", str(folder / "b.ply"), "--out", str(tmp_path / "b.gif")]) == 0
    assert np.abs(drawn.mesh.bounds).max() == pytest.approx(0.95)


def test_the_verb_refuses_what_it_cannot_write(folder, tmp_path, capsys):
    assert main(["view", str(folder), "--out", str(tmp_path / "page.pdf")]) == 2
    assert "page.pdf: wanted a file ending in .html, .htm, .png, .gif, .mp4" in capsys.readouterr().err
    assert main(["view", str(folder), "--out", str(tmp_path / "film.gif")]) == 2
    assert "wanted one mesh for a film, found 4 things to draw" in capsys.readouterr().err
    assert main(["view", str(folder / "a.npy"), "--out", str(tmp_path / "film.gif")]) == 2
    assert "wanted a mesh for a film, found points; try .html or .png" in capsys.readouterr().err
    assert main(["view", str(folder), "--out", str(tmp_path / "a.png"), "--columns", "0"]) == 2
    assert "--columns must be at least 1, given 0" in capsys.readouterr().err
    assert main(["view", str(folder), "--out", str(tmp_path / "a.png"), "--backend", "pyvista"]) == 2
    assert "--backend draws pages (.html, .htm), given " in capsys.readouterr().err
    (tmp_path / "a.txt").touch()
    assert main(["view", str(tmp_path / "a.txt"), "--out", str(tmp_path / "a.png")]) == 1
    assert "a.txt: wanted a file ending in " in capsys.readouterr().err


def test_the_verb_hands_on_who_draws(folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("geomflow.viz.display.save_html", lambda items, out, backend, **options: asked.append(backend))
    for backend in ("plotly", "pyvista"):
        assert main(["view", str(folder / "b.ply"), "--out", str(tmp_path / "b.html"), "--backend", backend]) == 0
    assert asked == ["plotly", "pyvista"]


def test_a_sheet_shows_points_in_their_colours(tmp_path):
    colors = np.tile([[220, 30, 30, 255]], (len(POINTS), 1)).astype(np.uint8)
    trimesh.PointCloud(POINTS, colors=colors).export(tmp_path / "a.ply")
    assert main(["view", str(tmp_path / "a.ply"), "--out", str(tmp_path / "a.png")]) == 0
    red, green, _ = np.moveaxis(np.asarray(Image.open(tmp_path / "a.png")).astype(int), -1, 0)
    assert (red > green + 40).sum() > len(POINTS)
