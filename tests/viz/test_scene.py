"""What is described for drawing is what was given: positions, faces, values, and nothing that is not there."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from geomflow.generation import Generation, Shape
from geomflow.geometry.grid import SdfGrid
from geomflow.geometry.primitives import Box, Sphere
from geomflow.pipelines.joints import JointPrediction
from geomflow.pipelines.points import PointGeneration
from geomflow.viz import Trajectory, scene_of, show
from geomflow.viz.layers import Lines, Panel, Points, Scene, Slice, Surface, color_range

POINTS = np.random.default_rng(3).uniform(-1, 1, (50, 3))


def ball_grid(resolution: int = 33) -> SdfGrid:
    grid = SdfGrid(np.zeros((resolution,) * 3), np.full(3, -2.0), np.full(3, 2.0))
    return SdfGrid((np.linalg.norm(grid.points(), axis=1) - 1.2).reshape(grid.values.shape), grid.lower, grid.upper)


def only(x, **options):
    (panel,) = scene_of(x, **options).panels
    return panel.layers


def test_a_mesh_is_its_vertices_and_faces():
    mesh = Box((0.3, 0.5, 0.7)).mesh()
    (surface,) = only(mesh)
    np.testing.assert_array_equal(surface.vertices, mesh.vertices)
    np.testing.assert_array_equal(surface.faces, mesh.faces)
    assert surface.colors is None
    assert surface.opacity == 1


def test_a_mesh_keeps_the_colours_of_its_vertices_unless_numbers_are_given():
    mesh = Box().mesh()
    colors = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 3), dtype=np.uint8)
    painted = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False)
    np.testing.assert_allclose(only(painted)[0].colors, colors / 255)
    numbers = np.arange(len(mesh.vertices))
    (surface,) = only(painted, scalars=numbers)
    assert surface.colors is None
    np.testing.assert_array_equal(surface.values, numbers)


def test_points_come_from_arrays_tensors_clouds_and_generations():
    as_generation = PointGeneration(POINTS, steps=1, nfe=1, seed=0, seconds=0.0)
    for x in (POINTS, torch.from_numpy(POINTS), trimesh.PointCloud(POINTS), as_generation):
        (points,) = only(x)
        np.testing.assert_array_equal(points.points, POINTS)
    red = np.tile([255, 0, 0, 255], (50, 1)).astype(np.uint8)
    np.testing.assert_array_equal(only(trimesh.PointCloud(POINTS, colors=red))[0].colors, np.tile([1.0, 0, 0], (50, 1)))


def test_what_is_not_finite_is_left_out_with_all_that_hangs_on_it():
    points, scalars = POINTS.copy(), np.arange(50.0)
    points[3, 1], scalars[7] = np.nan, np.inf
    edges = np.array([[0, 1], [1, 3], [7, 8], [48, 49]])
    scene = scene_of(points, scalars=scalars, neighbours=edges)
    cloud, lines = scene.panels[0].layers
    kept = np.delete(np.arange(50), [3, 7])
    np.testing.assert_array_equal(cloud.points, points[kept])
    np.testing.assert_array_equal(cloud.values, kept)
    np.testing.assert_array_equal(lines.starts, points[[0, 48]])
    np.testing.assert_array_equal(lines.ends, points[[1, 49]])
    assert scene.panels[0].title == "48 of 50 points"


def test_a_mesh_loses_the_faces_at_vertices_that_are_not_finite():
    box = Box().mesh()
    vertices = np.array(box.vertices)
    vertices[0] = np.nan
    (surface,) = only(trimesh.Trimesh(vertices, box.faces, process=False))
    left = np.asarray(box.faces)[(np.asarray(box.faces) != 0).all(axis=1)]
    np.testing.assert_array_equal(surface.vertices[surface.faces], vertices[left])
    assert len(surface.vertices) == len(np.unique(left))


def test_normals_are_lines_of_a_share_of_the_diagonal():
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    _, lines = only(POINTS, normals=normals)
    diagonal = np.linalg.norm(np.ptp(POINTS, axis=0))
    np.testing.assert_allclose(lines.ends - lines.starts, 0.03 * diagonal * normals, atol=1e-12)


def test_slices_are_the_middle_planes_of_a_grid_and_its_surface_a_ball():
    grid = ball_grid()
    *slices, surface = only(grid)
    for axis, plane in enumerate(slices):
        assert isinstance(plane, Slice)
        np.testing.assert_array_equal(plane.values, grid.values.take(16, axis))
        np.testing.assert_allclose(plane.nodes[..., axis], 0, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(plane.nodes, axis=2) - 1.2, plane.values, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(surface.vertices, axis=1), 1.2, atol=2e-3)
    assert 0 < surface.opacity < 1


def test_slices_of_fine_grids_take_every_second_node():
    grid = ball_grid(161)
    plane = only(grid)[0]
    np.testing.assert_array_equal(plane.values, grid.values[80, ::2, ::2])
    np.testing.assert_allclose(np.linalg.norm(plane.nodes, axis=2) - 1.2, plane.values, atol=1e-6)


def test_a_grid_without_a_surface_is_its_slices():
    (panel,) = scene_of(SdfGrid(np.ones((4, 4, 4)))).panels
    assert [type(layer) for layer in panel.layers] == [Slice] * 3
    assert panel.title == "no surface"


def test_a_gallery_has_rows_columns_and_a_panel_for_every_item():
    clouds = np.random.default_rng(1).normal(size=(5, 20, 3))
    scene = scene_of(clouds, columns=3, titles=list("abcde"))
    assert scene.shape == (2, 3)
    assert [panel.title for panel in scene.panels] == list("abcde")
    for panel, cloud in zip(scene.panels, clouds, strict=True):
        np.testing.assert_array_equal(panel.layers[0].points, cloud)
    mixed = scene_of([Box().mesh(), [POINTS, ball_grid(9)]])
    assert [type(panel.layers[0]) for panel in mixed.panels] == [Surface, Points, Slice]
    assert mixed.shape == (1, 3)


def test_a_generation_is_a_gallery_that_says_which_shape_has_no_surface():
    shapes = [Shape(0, Sphere(0.5).mesh()), Shape(1, trimesh.Trimesh(), problem="no zero level")]
    scene = scene_of(Generation(shapes, steps=2, nfe=2, resolution=32, seconds={}, latents=torch.zeros(2, 1)))
    assert [panel.title for panel in scene.panels] == ["", "no surface"]
    assert scene.panels[1].layers == ()


def test_a_trajectory_follows_the_same_points_in_frames():
    steps = np.linspace(POINTS * 3, POINTS, 4)
    steps[2, 5] = np.nan
    scene = scene_of(Trajectory(steps), scalars=POINTS[:, 0])
    kept = np.delete(np.arange(50), 5)
    assert scene.frames
    for panel, step in zip(scene.panels, steps, strict=True):
        np.testing.assert_array_equal(panel.layers[0].points, step[kept])
        np.testing.assert_array_equal(panel.layers[0].values, POINTS[kept, 0])
    assert scene.panels[1].title == "step 1 of 3, 49 of 50 points"


def test_many_points_are_thinned_to_random_ones_always_the_same():
    points = np.random.default_rng(0).normal(size=(3000, 3))
    scene = scene_of(points, max_points=400, scalars=np.arange(3000.0))
    cloud = scene.panels[0].layers[0]
    np.testing.assert_array_equal(cloud.points, points[cloud.values.astype(int)])
    assert len(np.unique(cloud.values)) == 400
    assert abs(cloud.values.mean() - 1500) < 5 * 3000 / np.sqrt(12 * 400)
    np.testing.assert_array_equal(only(points, max_points=400)[0].points, cloud.points)
    assert scene.panels[0].title == "400 of 3,000 points"
    assert [len(panel.layers[0].points) for panel in scene_of([points, points], max_points=400).panels] == [200, 200]


def test_a_large_mesh_becomes_coarser_and_stays_where_it_is():
    ball = trimesh.creation.icosphere(5, 0.8)
    scene = scene_of(ball, max_faces=3000, scalars=np.asarray(ball.vertices)[:, 1])
    surface = scene.panels[0].layers[0]
    assert 1000 < len(surface.faces) <= 3000
    thinned = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert thinned.volume == pytest.approx(ball.volume, rel=0.05)
    assert np.linalg.norm(surface.vertices, axis=1).min() > 0.75
    np.testing.assert_allclose(surface.values, surface.vertices[:, 1], atol=1e-12)
    assert scene.panels[0].title == f"{len(surface.faces):,} of {len(ball.faces):,} triangles"


def test_a_page_of_a_huge_mesh_or_cloud_stays_small():
    ball = trimesh.creation.icosphere(7, 0.8)
    assert len(ball.faces) > 300_000
    assert len(scene_of(ball).panels[0].layers[0].faces) <= 300_000
    assert len(scene_of(np.zeros((200_000, 3)) + np.arange(200_000)[:, None]).panels[0].layers[0].places()) == 100_000


@pytest.mark.usefixtures("unchecked_shapes")
def test_steps_of_no_points_are_refused():
    with pytest.raises(ValueError, match=r"points must be of shape \(steps, n, 3\), given \(4, 3\)"):
        Trajectory(np.zeros((4, 3)))


def test_images_are_sent_to_their_own_sheet():
    with pytest.raises(TypeError, match=r"given images: geomflow\.viz\.image_sheet\(x\.pictures\) draws them"):
        scene_of(SimpleNamespace(pictures=[np.zeros((2, 2))]))


def predicted(parents: list[int]) -> JointPrediction:
    joints = POINTS[: len(parents)] + 3.0
    return JointPrediction(joints, np.array(parents), np.zeros(len(parents)), POINTS, 1, 1, 0, {})


def test_predicted_joints_are_their_points_and_the_bones():
    made = predicted([1, -1, 1, 0])
    cloud, bones = only(made, scalars=POINTS[:, 2])
    np.testing.assert_array_equal(cloud.points, POINTS)
    np.testing.assert_array_equal(cloud.values, POINTS[:, 2])
    np.testing.assert_array_equal(bones.starts, made.joints[[0, 2, 3]])
    np.testing.assert_array_equal(bones.ends, made.joints[[1, 1, 0]])
    panels = scene_of([made, Box().mesh()]).panels
    assert [type(layer) for panel in panels for layer in panel.layers] == [Points, Lines, Surface]


def test_layers_of_nothing_are_left_out():
    assert [type(layer) for layer in only(predicted([-1]))] == [Points]
    assert len(only(POINTS, neighbours=np.zeros((0, 2), dtype=int))) == 1
    assert len(only(POINTS, normals=np.full((50, 3), np.nan))) == 1


def test_a_scene_of_nothing_is_refused():
    with pytest.raises(ValueError, match="there is nothing to draw: no panels"):
        Scene(())
    with pytest.raises(ValueError, match="there is nothing to draw: empty"):
        Scene((Panel((), "empty"), Panel(())))
    assert Scene((Panel(()), Panel((Points(POINTS),)))).shape == (1, 2)


def test_options_of_a_scene_that_is_made_already_are_refused():
    with pytest.raises(ValueError, match="options are for scene_of, and x is a scene already, given columns"):
        show(scene_of(POINTS), columns=2)


def test_numbers_of_both_signs_are_white_at_zero():
    assert color_range(np.array([-1.0, 3.0])) == ("RdBu", -3.0, 3.0)
    assert color_range(np.array([1.0, 3.0])) == ("viridis", 1.0, 3.0)


@pytest.mark.parametrize("x", ["a name", 3, np.zeros((4, 2)), np.zeros((2, 3, 4, 3)), {"a": 1}, torch.zeros(4, 2)])
def test_what_cannot_be_drawn_is_refused_with_what_can(x):
    with pytest.raises(TypeError, match=r"wanted a trimesh.Trimesh or PointCloud, an array \(n, 3\) or \(b, n, 3\)"):
        scene_of(x)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.full((3, 3), np.nan), {}, "there is nothing to draw: no finite point"),
        (trimesh.Trimesh(), {}, "there is nothing to draw: no surface"),
        ([], {}, "given nothing to draw"),
        (POINTS, {"scalars": np.zeros(3)}, "scalars must be as many as points, given 3 for 50"),
        (POINTS, {"scalars": np.zeros((50, 1))}, r"scalars must be numbers of shape \('n',\)"),
        (POINTS, {"normals": np.zeros((49, 3))}, "normals must be as many as points, given 49 for 50"),
        (POINTS, {"neighbours": np.array([[0, 50]])}, "neighbours must be indices of 50 points, given 50"),
        (POINTS, {"neighbours": np.array([[0, 1.5]])}, "neighbours must be numbers"),
        ([POINTS, POINTS], {"scalars": np.zeros(50)}, "scalars go with one mesh or cloud, given a gallery or a grid"),
        ([POINTS, POINTS], {"titles": ["one"]}, "titles must be as many as panels, given 1 for 2"),
        (POINTS, {"columns": 0}, "columns must be at least 1, given 0"),
        (POINTS, {"max_points": 0}, "max_points must be at least 1, given 0"),
    ],
)
def test_options_that_do_not_fit_are_named(x, options, message):
    with pytest.raises(ValueError, match=message):
        scene_of(x, **options)


def test_lines_know_their_box():
    scene = scene_of(POINTS, neighbours=np.array([[0, 1]]))
    assert isinstance(scene.panels[0].layers[1], Lines)
    np.testing.assert_array_equal(scene.bounds(), [POINTS.min(axis=0), POINTS.max(axis=0)])
