"""Pictures: the shape is where the camera says, lit from above, the same every time."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from geomflow.geometry.primitives import Box, Moved, Sphere
from geomflow.viz import contact_sheet, render, render_points, render_skeleton, save_png

RED = (0.8, 0.2, 0.2)


def red(picture: np.ndarray) -> np.ndarray:
    """Pixels that show the shape and not the grey ground."""
    return picture[..., 0].astype(int) - picture[..., 2] > 30


def test_a_ball_is_a_disc_in_the_middle_of_its_right_size():
    mask = red(render(trimesh.creation.icosphere(4, 0.6), size=96, elevation=0.0, color=RED))
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - 47.5) < 1
    assert abs(columns.mean() - 47.5) < 1
    angle = np.tan(np.arcsin(0.6 / 5.2)) / 0.28  # radius on the picture in half widths, seen from 5.2 away
    assert np.sqrt(mask.sum() / np.pi) == pytest.approx(48 * angle, rel=0.05)


def test_what_is_up_is_drawn_above_and_the_camera_goes_round():
    above = red(render(Moved(Box((0.2, 0.2, 0.2)), (0.0, 0.6, 0.0)).mesh(), size=64, color=RED))
    assert np.nonzero(above)[0].mean() < 32
    right = Moved(Box((0.2, 0.2, 0.2)), (0.6, 0.0, 0.0)).mesh()
    assert np.nonzero(red(render(right, size=64, azimuth=0.0, color=RED)))[1].mean() > 32
    assert np.nonzero(red(render(right, size=64, azimuth=180.0, color=RED)))[1].mean() < 32


def test_the_top_is_brighter_than_the_underside_and_a_shadow_falls():
    picture = render(Box((0.5, 0.5, 0.5)).mesh(), size=96, azimuth=45.0, elevation=25.0, color=RED)
    rows = np.nonzero(red(picture))[0]
    top, bottom = picture[rows.min() + 4, 48, 0], picture[rows.max() - 4, 48, 0]
    assert int(top) > int(bottom) + 40
    assert picture[~red(picture)].min() < 200 < picture[0, 0].min()


def test_the_same_mesh_gives_the_same_picture():
    np.testing.assert_array_equal(render(Box().mesh(), size=48), render(Box().mesh(), size=48))


def test_a_sheet_has_rows_columns_and_labels(tmp_path):
    meshes = [Box().mesh(), trimesh.creation.icosphere(3), Box().mesh()]
    sheet = contact_sheet(meshes, columns=2, size=40, labels=["a", "b", "c"])
    assert sheet.shape == (80, 80, 3)
    assert (sheet[40:, 40:] == sheet[79, 79]).all()
    save_png(sheet, tmp_path / "sheet.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), sheet)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="must have faces to be drawn"):
        render(trimesh.Trimesh())
    with pytest.raises(ValueError, match=r"largest coordinate is 50: draw normalize\(mesh\)\.mesh"):
        render(trimesh.creation.icosphere(1, 50.0))
    with pytest.raises(ValueError, match="size must be at least 1 pixel"):
        render(Sphere().mesh(), size=0)
    with pytest.raises(ValueError, match="given 0 and 4"):
        contact_sheet([])
    with pytest.raises(ValueError, match="given 1 for 2"):
        contact_sheet([Box().mesh()] * 2, labels=["only one"])


def test_points_lie_where_the_same_mesh_is_drawn():
    mesh = trimesh.creation.icosphere(4, 1.0)
    points = np.asarray(mesh.sample(40_000))
    drawn = render_points(points, 96, azimuth=0.0, elevation=0.0, colors=np.tile(RED, (40_000, 1)))
    same = red(render(mesh, 96, azimuth=0.0, elevation=0.0, color=RED)), red(drawn)
    assert (same[0] & same[1]).sum() > 0.95 * (same[0] | same[1]).sum()
    far, near = np.array([[0.0, 0.0, -0.9]]), np.array([[0.0, 0.0, 0.9]])
    both = np.concatenate([near, far])
    picture = render_points(both, 32, 0.0, 0.0, colors=np.array([[1.0, 0, 0], [0, 0, 1.0]]), frame=points, radius=3)
    assert red(picture)[16, 16]


def test_of_two_points_the_nearer_is_darker():
    """Left the far one, right the near one, seen from the front."""
    points = np.array([[-0.5, 0.0, -0.8], [0.5, 0.0, 0.8]])
    picture = render_points(points, 64, 0.0, 0.0, frame=np.array([[-1.0] * 3, [1.0] * 3]), radius=3).astype(int)
    assert picture[:, 32:].min() < picture[:, :32].min() - 20


def test_a_skeleton_shows_through_its_surface():
    """From the front: joints inside the box are red where they project, a black bone joins them."""
    joints, parents = np.array([[-0.4, 0.0, 0.0], [0.4, 0.0, 0.0]]), np.array([-1, 0])
    box = Box((0.8, 0.4, 0.4)).mesh()
    picture = render_skeleton(box, joints, parents, 120, azimuth=0.0, elevation=0.0).astype(int)
    middle = picture[60]
    shown = np.flatnonzero(middle[:, 0] - middle[:, 2] > 80)
    across = 60 + 60 * 0.4 / (0.28 * 5.2)  # seen from 5.2 away
    assert shown[shown > 60].mean() == pytest.approx(across, abs=1.5)
    assert shown[shown < 60].mean() == pytest.approx(120 - across, abs=1.5)
    assert picture[60, 60].max() < 100
    assert (picture[52, 60] == render(box, 120, 0.0, 0.0)[52, 60]).all()


def test_bones_are_those_of_the_parents():
    """A corner: the last joint hangs on the first, so no bone runs from the second one to it."""
    joints = np.array([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [-0.5, 0.5, 0.0]])
    box = Box((0.8, 0.8, 0.1)).mesh()
    drawn, bare = render_skeleton(box, joints, np.array([-1, 0, 0]), 120, 0.0, 0.0), render(box, 120, 0.0, 0.0)
    near = 60 - round(60 * 0.5 / (0.28 * 5.2))  # the column of the first and the last, seen from 5.2 away
    assert drawn[60, near - 1 : near + 2].max(axis=1).min() < 130
    assert (drawn[58:63, 58:63] == bare[58:63, 58:63]).all()


def test_points_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="wanted points to draw on at least 1 pixel, given 0 finite ones"):
        render_points(np.full((3, 3), np.nan))
