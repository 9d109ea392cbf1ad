"""Figures hold the scene's arrays; pages are whole, offline and show the shape; what is missing is named."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from PIL import Image

from geomflow.errors import LibraryMissing
from geomflow.geometry.grid import SdfGrid
from geomflow.geometry.primitives import Box
from geomflow.pipelines.joints import JointPrediction
from geomflow.viz import Trajectory, save_html, scene_of, show, turntable
from geomflow.viz.backends import pyvista as opengl
from tests.viz.browser import screenshot

BALL = trimesh.creation.icosphere(3, 0.7)
POINTS = np.asarray(BALL.vertices)
RED = trimesh.Trimesh(
    BALL.vertices, BALL.faces, vertex_colors=np.tile([220, 30, 30, 255], (len(POINTS), 1)), process=False
)
GRID = SdfGrid(np.linspace(-1, 1, 5**3).reshape(5, 5, 5))


def reddish(picture: np.ndarray) -> float:
    """Share of a picture that is red."""
    red, green, blue = np.moveaxis(np.asarray(picture)[..., :3].astype(int), -1, 0)
    return float(((red > green + 40) & (red > blue + 40)).mean())


def in_notebook(figure) -> np.ndarray:
    """What a notebook shows of a matplotlib figure."""
    return np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("RGB")).astype(int)


def test_plotly_holds_the_mesh():
    pytest.importorskip("plotly")
    (trace,) = show(BALL).data
    np.testing.assert_allclose(np.column_stack([trace.x, trace.y, trace.z]), BALL.vertices, atol=1e-6)
    np.testing.assert_array_equal(np.column_stack([trace.i, trace.j, trace.k]), BALL.faces)
    np.testing.assert_array_equal(show(RED).data[0].vertexcolor, np.tile([220, 30, 30], (len(POINTS), 1)))


def test_plotly_looks_with_y_up_in_true_proportions():
    pytest.importorskip("plotly")
    space = show(BALL).layout.scene
    assert space.aspectmode == "data"
    assert (space.camera.up.x, space.camera.up.y, space.camera.up.z) == (0, 1, 0)
    eye = np.array([space.camera.eye.x, space.camera.eye.y, space.camera.eye.z])
    assert np.degrees(np.arcsin(eye[1] / np.linalg.norm(eye))) == pytest.approx(18)
    assert np.degrees(np.arctan2(eye[0], eye[2])) == pytest.approx(35)


def test_plotly_holds_points_their_numbers_and_lines():
    pytest.importorskip("plotly")
    numbers, edges = POINTS[:, 1], np.array([[0, 5], [7, 2]])
    cloud, lines = show(POINTS, scalars=numbers, neighbours=edges).data
    np.testing.assert_allclose(cloud.marker.color, numbers)
    assert min(cloud.marker.size, lines.line.width) > 0
    assert (cloud.marker.cmin, cloud.marker.cmax) == pytest.approx((-0.7, 0.7))
    path = np.column_stack([lines.x, lines.y, lines.z]).reshape(2, 3, 3)
    np.testing.assert_allclose(path[:, :2], POINTS[edges], atol=1e-6)
    assert np.isnan(path[:, 2]).all()


def test_plotly_holds_the_values_of_slices():
    pytest.importorskip("plotly")
    *slices, _ = show(GRID).data
    for axis, trace in enumerate(slices):
        np.testing.assert_allclose(trace.surfacecolor, GRID.values.take(2, axis), atol=1e-6)
        assert np.all((trace.x, trace.y, trace.z)[axis] == 0)


def test_plotly_places_a_gallery_in_rows_and_columns():
    pytest.importorskip("plotly")
    figure = show([BALL, POINTS, BALL], columns=2, titles=["a", "b", "c"])
    middle = [
        (np.mean(figure.layout[name].domain.x), np.mean(figure.layout[name].domain.y))
        for name in ("scene", "scene2", "scene3")
    ]
    assert middle[0][0] == middle[2][0] < middle[1][0]
    assert middle[0][1] == middle[1][1] > middle[2][1]
    assert [trace.scene for trace in figure.data] == ["scene", "scene2", "scene3"]
    assert [note.text for note in figure.layout.annotations] == ["a", "b", "c"]


def test_plotly_has_a_frame_and_a_stop_of_the_slider_for_every_step():
    pytest.importorskip("plotly")
    steps = np.linspace(3 * POINTS, POINTS, 3)
    figure = show(Trajectory(steps))
    for frame, step in zip(figure.frames, steps, strict=True):
        np.testing.assert_allclose(np.column_stack([frame.data[0][a] for a in "xyz"]), step, atol=1e-6)
    stops = [stop.args[0][0] for stop in figure.layout.sliders[0].steps]
    assert stops == [frame.name for frame in figure.frames] == ["0", "1", "2"]
    assert [stop.label for stop in figure.layout.sliders[0].steps] == ["step 0 of 2", "step 1 of 2", "step 2 of 2"]
    assert figure.layout.scene.yaxis.range == pytest.approx((-2.1, 2.1))


def test_a_page_of_plotly_loads_nothing(tmp_path):
    pytest.importorskip("plotly")
    save_html([BALL, POINTS], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    scripts = re.findall(r"<script[^>]*>", text)
    assert scripts
    assert not [tag for tag in scripts if "src=" in tag]
    assert not re.findall(r"<link[^>]*href=[\"']?(?:https?:)?//", text)
    assert len(re.findall(r"plotly\.js v\d", text[:200_000])) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_matplotlib_shows_a_ball_as_a_disc_in_the_middle():
    pytest.importorskip("matplotlib")
    picture = in_notebook(show(RED, "matplotlib", height=200))
    assert picture.shape == (200, 200, 3)
    rows, columns = np.nonzero(picture[..., 0] > picture[..., 1] + 40)
    assert abs(np.mean(columns) - 100) < 6
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.05)
    assert len(rows) == pytest.approx(np.pi / 4 * np.ptp(rows) * np.ptp(columns), rel=0.05)
    assert 0.2 < reddish(picture) < 0.8
    middle = picture[:, 100, 0][picture[:, 100, 0] > picture[:, 100, 1] + 40]
    assert middle[: len(middle) // 4].mean() > middle[-(len(middle) // 4) :].mean() + 20  # the light is above


def test_matplotlib_has_y_up_and_x_to_the_right():
    pytest.importorskip("matplotlib")
    spot = np.tile([[0.9, 0.9, 0.0]], (50, 1))
    cloud = np.concatenate([spot, [[-0.9, -0.9, 0.0]]])
    dark = in_notebook(show(cloud, "matplotlib", height=200))[..., 0] < 120
    rows, columns = np.nonzero(dark)
    assert rows.mean() < 100 < columns.mean()


def test_matplotlib_draws_every_kind_of_layer():
    pytest.importorskip("matplotlib")
    figure = show([GRID, POINTS], "matplotlib", height=100)
    grid, cloud = figure.axes
    assert len(grid.collections) == 4
    np.testing.assert_allclose(np.column_stack(cloud.collections[0]._offsets3d), POINTS)


def plotly_segments(x) -> np.ndarray:
    trace = show(x).data[-1]
    return np.column_stack([trace.x, trace.y, trace.z]).reshape(-1, 3, 3)[:, :2]


def matplotlib_segments(x) -> np.ndarray:
    return np.asarray(show(x, "matplotlib", height=100).axes[0].collections[-1]._segments3d)


def pyvista_segments(x) -> np.ndarray:
    with opengl._plotter(scene_of(x)) as plotter:
        drawn = list(plotter.actors.values())[-1].mapper.dataset
        return np.asarray(drawn.points)[drawn.lines.reshape(-1, 3)[:, 1:]]


@pytest.mark.parametrize("segments_of", [plotly_segments, matplotlib_segments, pyvista_segments])
def test_bones_run_from_each_joint_to_its_parent_and_nowhere_else(monkeypatch, segments_of):
    pytest.importorskip(segments_of.__name__.removesuffix("_segments"))
    monkeypatch.setattr(opengl, "check_rendering", lambda: None)  # nothing is rendered here
    joints, parents = 2 * POINTS[:6], np.array([1, -1, 1, 0, -1, 4])
    made = JointPrediction(joints, parents, np.zeros(6), POINTS, steps=1, nfe=1, seed=0, seconds={})
    wanted = joints[[(0, 1), (2, 1), (3, 0), (5, 4)]]
    np.testing.assert_allclose(segments_of(made), wanted, atol=1e-6)


def test_where_rendering_crashes_the_missing_library_is_named(monkeypatch):
    pytest.importorskip("pyvista")
    monkeypatch.setattr(opengl, "PROBE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(opengl.ctypes.util, "find_library", lambda name: None if name == "EGL" else name)
    opengl._failure.cache_clear()
    with pytest.raises(LibraryMissing, match=r"cannot render on this machine: .*: apt-get install libegl1$"):
        show(BALL, "pyvista")
    monkeypatch.setattr(opengl.ctypes.util, "find_library", lambda name: name)
    opengl._failure.cache_clear()
    with pytest.raises(LibraryMissing, match=r"a trial ended with exit code -11: .* apt-get install libegl1 libgl1"):
        show(BALL, "pyvista")
    opengl._failure.cache_clear()


@pytest.mark.parametrize("backend", ["plotly", "pyvista", "matplotlib"])
def test_a_missing_backend_is_named_with_its_pip_line(monkeypatch, backend):
    for name in [name for name in sys.modules if name.split(".")[0] == backend]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent(backend), *sys.meta_path])
    with pytest.raises(LibraryMissing, match=rf"needs {backend}: pip install 'geomflow\[viz\]'"):
        show(BALL, backend)


class _Absent:
    """Finds no module of a library, as if it were not installed."""

    def __init__(self, library: str) -> None:
        self.library = library

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_page_or_film_without_its_library_is_named(monkeypatch, tmp_path):
    finders = [_Absent("trame_pyvista"), _Absent("imageio_ffmpeg"), *sys.meta_path]
    for name in [name for name in sys.modules if name.split(".")[0] in ("trame_pyvista", "imageio_ffmpeg")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", finders)
    with pytest.raises(LibraryMissing, match="a page of pyvista needs trame_pyvista: pip install 'trame-pyvista'"):
        save_html(BALL, tmp_path / "a.html", "pyvista")
    with pytest.raises(LibraryMissing, match=r"imageio"):
        turntable(BALL, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_wrong_backends_and_paths_are_named(tmp_path):
    with pytest.raises(ValueError, match="backend must be one of plotly, pyvista, matplotlib, given 'opengl'"):
        show(BALL, "opengl")
    with pytest.raises(ValueError, match="backend must be one of plotly, pyvista, given 'matplotlib'"):
        save_html(BALL, tmp_path / "a.html", "matplotlib")
    with pytest.raises(ValueError, match=r"a\.txt: wanted a file ending in \.html, \.htm"):
        save_html(BALL, tmp_path / "a.txt")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ValueError, match=r"folder\.html: wanted a file, found a folder"):
        save_html(BALL, tmp_path / "folder.html")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"wanted a folder at .*file, found a file"):
        save_html(BALL, tmp_path / "file" / "a.html")
    with pytest.raises(ValueError, match=r"given 0 and 320"):
        turntable(BALL, tmp_path / "a.gif", frames=0)


def test_a_turntable_turns_once(tmp_path):
    """An arm along +x: right in front of the camera at 0 degrees, towards it at 90, left at 180."""
    arm = Box((0.4, 0.1, 0.1)).mesh().apply_translation([0.4, 0, 0])
    turntable(arm, tmp_path / "arm.gif", frames=4, size=48)
    film = Image.open(tmp_path / "arm.gif")
    assert film.n_frames == 4
    assert film.info["loop"] == 0
    middle, milliseconds = [], 0
    for i in range(4):
        film.seek(i)
        milliseconds += film.info["duration"]
        picture = np.asarray(film.convert("RGB")).astype(int)
        middle.append(np.nonzero(picture[..., 2] - picture[..., 0] > 30)[1].mean() - 23.5)
    assert middle[0] > 5
    assert middle[2] < -5
    assert abs(middle[1]) < 1.5
    assert abs(middle[3]) < 1.5
    assert milliseconds == pytest.approx(3000, abs=40)


def test_a_scene_can_be_drawn_as_well():
    pytest.importorskip("plotly")
    assert show(scene_of(BALL)).to_json() == show(BALL).to_json()


@pytest.mark.slow
def test_pyvista_shows_a_ball_as_a_disc():
    pytest.importorskip("pyvista")
    picture = np.asarray(show(RED, "pyvista", height=200))
    assert picture.shape == (200, 200, 3)
    assert 0.2 < reddish(picture) < 0.8


@pytest.mark.slow
def test_a_film_has_its_frames(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    imageio = pytest.importorskip("imageio.v2")
    turntable(RED, tmp_path / "ball.mp4", frames=6, size=64)
    frames = imageio.mimread(tmp_path / "ball.mp4", memtest=False)
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 6


@pytest.mark.slow
def test_a_browser_shows_the_page_of_plotly(tmp_path):
    pytest.importorskip("plotly")
    save_html([RED, RED], tmp_path / "page.html")
    picture = screenshot(tmp_path / "page.html", tmp_path / "page.png")
    halves = picture[:, :600], picture[:, 600:]
    assert all(0.03 < reddish(half) < 0.5 for half in halves)


@pytest.mark.slow
def test_a_browser_shows_the_page_of_pyvista(tmp_path):
    pytest.importorskip("trame_pyvista")
    save_html(RED, tmp_path / "page.html", "pyvista")
    assert not re.findall(r"<script[^>]*src=", (tmp_path / "page.html").read_text())
    assert 0.1 < reddish(screenshot(tmp_path / "page.html", tmp_path / "page.png")) < 0.8


MAKE_A_PAGE = """
import os, socket, sys
import trame_vtklocal.module.wasm as wasm
from trimesh.creation import box
from geomflow.viz import save_html

def refuse(self, address):
    asked.append(address)
    raise OSError("no net here")

asked = []
wasm.has_required_files = lambda *_: False  # as if they had never been fetched
socket.getaddrinfo = lambda host, port, *_, **__: refuse(None, (host, port))
socket.socket.connect = refuse
save_html(box(), sys.argv[1], "pyvista")
print(asked, os.environ.get("VTK_WASM_DIR_OVERRIDE"))
"""


@pytest.mark.slow
def test_a_page_of_pyvista_is_made_without_the_net(tmp_path):
    """In a process of its own, as a server of trame is started once in each."""
    pytest.importorskip("trame_vtklocal")
    pytest.importorskip("trame_pyvista")
    done = subprocess.run(
        [sys.executable, "-c", MAKE_A_PAGE, str(tmp_path / "page.html")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[] None\n", done.stderr
    assert (tmp_path / "page.html").stat().st_size > 100_000
