"""Attributes: what a file carries is what is drawn, from vertices, textures and clouds; what it lacks is said."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from geomflow.errors import MeshDegenerate, MeshLacksAttribute, MeshNotFinite
from geomflow.geometry.attributes import point_source
from geomflow.geometry.primitives import Sphere
from geomflow.geometry.write_points import write_points


def drawn(file, *attributes: str, count: int = 4000) -> tuple[np.ndarray, ...]:
    source = point_source(file, attributes)
    rows = source.draw(count, np.random.default_rng(0))
    assert rows.shape == (count, sum(source.channels().values()))
    return tuple(np.split(rows, np.cumsum(list(source.channels().values()))[:-1], axis=1))


def linear_colors(points: np.ndarray) -> np.ndarray:
    """Red, green and blue that are x, y and z of the cube [-1, 1]^3."""
    return (points + 1) / 2


def test_points_are_uniform_by_area_and_normals_are_the_faces(tmp_path):
    Sphere().mesh().export(tmp_path / "ball.ply")
    points, normals = drawn(tmp_path / "ball.ply", "normals")
    np.testing.assert_allclose(normals, points / np.linalg.norm(points, axis=1, keepdims=True), atol=0.05)
    octants = np.bincount((points > 0) @ [1, 2, 4], minlength=8)
    assert abs(octants / 4000 - 1 / 8).max() < 4 * np.sqrt(1 / 8 * 7 / 8 / 4000)


@pytest.mark.parametrize("suffix", ["ply", "obj", "glb"])
def test_vertex_colours_are_mixed_by_the_place_in_the_face(tmp_path, suffix):
    mesh = trimesh.creation.box((2, 2, 2))
    mesh.visual.vertex_colors = np.rint(255 * linear_colors(np.asarray(mesh.vertices))).astype(np.uint8)
    mesh.export(tmp_path / f"cube.{suffix}")
    points, colors = drawn(tmp_path / f"cube.{suffix}", "colors")
    np.testing.assert_allclose(colors, linear_colors(points), atol=0.01)


def test_textures_are_looked_up_part_by_part(tmp_path):
    """Two squares: one with a texture black on the left and white on the right, one of one colour."""
    image = Image.fromarray(np.repeat(np.array([[[0] * 3] * 8 + [[255] * 3] * 8], np.uint8), 16, axis=0))
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
    textured = trimesh.Trimesh(*square, process=False)
    textured.visual = trimesh.visual.TextureVisuals(uv=square[0][:, :2], image=image)
    plain = trimesh.Trimesh(square[0] + [5, 0, 0], square[1], process=False)
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255])
    plain.visual = trimesh.visual.TextureVisuals(uv=square[0][:, :2], material=material)
    trimesh.Scene([textured, plain]).export(tmp_path / "two.glb")
    points, colors = drawn(tmp_path / "two.glb", "colors")
    left, right, red = points[:, 0] < 0.45, (points[:, 0] > 0.55) & (points[:, 0] < 2), points[:, 0] > 2
    assert red.mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(colors[left], 0, atol=0.02)
    np.testing.assert_allclose(colors[right], 1, atol=0.02)
    np.testing.assert_allclose(colors[red], np.broadcast_to([1, 0, 0], (red.sum(), 3)), atol=0.02)


def test_a_real_textured_scene_has_its_colours(data_root):
    points, colors = drawn(data_root / "classics" / "cesium_milk_truck.glb", "colors")
    assert np.ptp(points, axis=0) == pytest.approx([4.87, 2.58, 2.79], rel=0.05)
    assert colors.min() >= 0
    assert colors.std(axis=0).min() > 0.1


def test_labels_are_those_of_the_nearest_corner(tmp_path):
    """Vertices of a strip labelled 7 on its left and 3 on its right."""
    corners = np.array([[0, 0, 0], [0, 1, 0], [4, 0, 0], [4, 1, 0]], dtype=np.float32)
    lines = [f"{x} {y} {z} {7 if x < 2 else 3}" for x, y, z in corners]
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    header += "property int label\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "strip.ply").write_text(header + "\n".join(lines) + "\n3 0 2 1\n3 1 2 3\n")
    source = point_source(tmp_path / "strip.ply", ["labels"])
    assert source.labels == (3, 7)
    rows = source.draw(2000, np.random.default_rng(0))
    assert set(np.unique(rows[:, 3:])) == {0.0, 1.0}
    right = rows[:, 0] > 3  # beyond every border between nearest corners
    assert (rows[right, 3] == 1).all()
    assert (rows[rows[:, 0] < 1, 4] == 1).all()


def test_a_cloud_gives_its_own_points(tmp_path):
    rng = np.random.default_rng(0)
    cloud = {"points": rng.normal(size=(500, 3)).astype(np.float32), "colors": rng.integers(0, 256, (500, 3)) / 255}
    write_points([cloud], tmp_path / "cloud.ply", 500, cloud)
    points, colors = drawn(tmp_path / "cloud.ply", "colors")
    rows = {tuple(row) for row in np.concatenate([cloud["points"], cloud["colors"]], axis=1).round(5)}
    assert {tuple(row) for row in np.concatenate([points, colors], axis=1).round(5)} <= rows


def test_what_a_file_lacks_is_said(tmp_path):
    Sphere().mesh().export(tmp_path / "ball.ply")
    np.save(tmp_path / "cloud.npy", np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(MeshLacksAttribute, match=r"ball\.ply: wanted colors, found normals"):
        point_source(tmp_path / "ball.ply", ["colors"])
    with pytest.raises(MeshLacksAttribute, match=r"cloud\.npy: wanted normals, found none of these"):
        point_source(tmp_path / "cloud.npy", ["normals"])
    with pytest.raises(ValueError, match="attributes must be some of normals, colors, labels, each once, given smell"):
        point_source(tmp_path / "ball.ply", ["smell"])


def test_broken_attributes_are_refused(tmp_path):
    cloud = {"points": np.eye(3, dtype=np.float32), "normals": np.zeros((3, 3))}
    write_points([cloud], tmp_path / "zero.ply", 3, cloud)
    with pytest.raises(MeshNotFinite, match=r"zero\.ply: wanted normals of a direction"):
        point_source(tmp_path / "zero.ply", ["normals"])


def test_columns_have_one_order_whatever_was_asked_first(tmp_path):
    cloud = {"points": np.eye(3), "normals": np.eye(3), "colors": np.eye(3), "labels": np.arange(3)}
    write_points([cloud], tmp_path / "cloud.ply", 3, cloud)
    assert list(point_source(tmp_path / "cloud.ply", ["labels", "normals"]).channels()) == [
        "points",
        "normals",
        "labels",
    ]


def test_a_material_without_texture_has_its_own_colour(tmp_path):
    mesh = trimesh.creation.box()
    plain = trimesh.visual.material.PBRMaterial()
    mesh.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(mesh.vertices), 2)), material=plain)
    mesh.export(tmp_path / "box.glb")
    _, colors = drawn(tmp_path / "box.glb", "colors", count=50)
    assert np.ptp(colors, axis=0).max() == 0


def test_attributes_do_not_slip_when_vertices_are_dropped(tmp_path):
    lines = ["ply", "format ascii 1.0", "element vertex 4", *(f"property float {axis}" for axis in "xyz")]
    lines += [*(f"property uchar {name}" for name in ("red", "green", "blue")), "element face 1"]
    lines += ["property list uchar int vertex_indices", "end_header"]
    lines += ["nan 0 0 255 0 0", "0 0 0 0 255 0", "1 0 0 0 255 0", "0 1 0 0 255 0", "3 1 2 3"]
    (tmp_path / "slip.ply").write_text("\n".join(lines) + "\n")
    with pytest.raises(MeshNotFinite, match=r"slip\.ply: wanted finite coordinates of all vertices"):
        point_source(tmp_path / "slip.ply", ["colors"])
    assert point_source(tmp_path / "slip.ply").draw(5, np.random.default_rng(0)).shape == (5, 3)


def test_a_mesh_without_area_is_refused(tmp_path):
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    with pytest.raises(MeshDegenerate, match=r"line\.obj: wanted a surface, found 1 faces without area"):
        point_source(tmp_path / "line.obj")
