"""Rigs: joints where inverse-bind matrices put them, weights that follow the surface's vertices, one error a cause."""

import csv
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from geomflow import errors
from geomflow.geometry.read import read_mesh
from geomflow.geometry.rig import Rig, is_rigged, read_rig
from tests.conftest import DATA
from tests.geometry.test_read import BOX, glb, mutated, written

RIGS = DATA / "rigs" / "manifest.csv"
FLOAT, BYTE, SHORT = (5126, "<f4"), (5121, "<u1"), (5123, "<u2")
TURN = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])


class Model:
    """A glTF file put together array by array: mesh 0 is the box, whose vertices skin 0 moves as `skin` says."""

    def __init__(self, *nodes: dict, roots: tuple[int, ...] = (0,)):
        self.chunk = b""
        self.tree: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scenes": [{"nodes": list(roots)}],
            "nodes": list(nodes),
            "accessors": [],
            "bufferViews": [],
            "skins": [],
        }
        box = {"POSITION": self.array("VEC3", BOX.vertices)}
        self.tree["meshes"] = [{"primitives": [{"attributes": box, "indices": self.array("SCALAR", BOX.faces, SHORT)}]}]

    def array(self, kind: str, values: Any, form: tuple[int, str] = FLOAT, **more: object) -> int:
        """Store an array and return its accessor."""
        component, dtype = form
        values = np.asarray(values, dtype=dtype)
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[kind]
        view = {"buffer": 0, "byteOffset": len(self.chunk), "byteLength": values.nbytes}
        self.chunk += values.tobytes() + bytes(-values.nbytes % 4)
        self.tree["bufferViews"].append(view)
        entry = {"bufferView": len(self.tree["bufferViews"]) - 1, "componentType": component, "type": kind}
        self.tree["accessors"].append(entry | {"count": values.size // width} | more)
        return len(self.tree["accessors"]) - 1

    def bind(self, places: dict[int, Any], turn: np.ndarray = TURN) -> None:
        """Add a skin whose joints, by node, were at these places of the mesh's frame when it was bound."""
        poses = [trimesh.transformations.translation_matrix(place) @ turn for place in places.values()]
        matrices = self.array("MAT4", [np.linalg.inv(pose).T for pose in poses])
        self.tree["skins"].append({"joints": list(places), "inverseBindMatrices": matrices})

    def skin(self, joints: Any, weights: Any, form: tuple[int, str] = FLOAT, which: int = 0, **more: object) -> None:
        """Say what moves the box's vertices: (8, 4) each."""
        attributes = self.tree["meshes"][0]["primitives"][0]["attributes"]
        attributes[f"JOINTS_{which}"] = self.array("VEC4", np.broadcast_to(joints, (8, 4)), BYTE)
        attributes[f"WEIGHTS_{which}"] = self.array("VEC4", np.broadcast_to(weights, (8, 4)), form, **more)

    def bytes(self) -> bytes:
        return glb(self.tree | {"buffers": [{"byteLength": len(self.chunk)}]}, self.chunk)

    def save(self, folder: Path, name: str = "rig.glb") -> Path:
        return written(folder, name, self.bytes())


def arm(**mesh_node: object) -> Model:
    """The box on a skeleton of a shoulder (node 1) and a hand (node 3) with a plain node between, posed elsewhere."""
    model = Model(
        {"mesh": 0, "skin": 0, **mesh_node},
        {"name": "shoulder", "children": [2], "translation": [7, 7, 7], "scale": [9, 9, 9]},
        {"name": "between", "children": [3], "rotation": [1, 0, 0, 0]},
        {"name": "hand", "translation": [-50, 0, 0]},
        roots=(0, 1),
    )
    model.bind({3: (0, 1, 2), 1: (0.5, 0, -1)})
    model.skin([0, 1, 0, 0], [0.25, 0.75, 0, 0])
    return model


def is_sound(mesh: trimesh.Trimesh, rig: Rig) -> bool:
    """Every number names what exists, every joint comes to a root, and every vertex has a whole weight or none."""
    total, up = rig.skin_weights.sum(axis=1), rig.parents
    for _ in rig.joints:
        up = np.where(up < 0, -1, rig.parents[up])
    return bool(
        np.isfinite(rig.joints).all()
        and (up == -1).all()
        and len(rig.names) == len(rig.joints) == len(rig.parents)
        and len(rig.skin_joints) == len(rig.skin_weights) == len(mesh.vertices)
        and (np.isclose(total, 1) | (total == 0)).all()
        and (np.diff(rig.skin_weights, axis=1) <= 0).all()
        and (rig.skin_joints[rig.skin_weights == 0] == 0).all()
        and ((rig.skin_joints >= 0) & (rig.skin_joints < len(rig.joints))).all()
    )


def fails(path: Path, error: type[Exception], found: str, **options: int) -> None:
    """The one class for this cause, and a message of one line that names the file, the want and the find."""
    with pytest.raises(error, match=found) as caught:
        read_rig(path, **options)
    assert type(caught.value) is error
    message = str(caught.value)
    assert message.startswith(f"{path}: wanted ")
    assert "found" in message
    assert "\n" not in message


# Joints


def test_joints_stand_where_they_were_bound_whatever_their_nodes_say_now(tmp_path: Path):
    mesh, rig = read_rig(arm().save(tmp_path))
    np.testing.assert_allclose(rig.joints, [[0, 1, 2], [0.5, 0, -1]], atol=1e-6)
    assert rig.parents.tolist() == [1, -1]  # over the node between, which is no joint
    assert rig.names == ["hand", "shoulder"]
    assert rig.deforming.all()
    np.testing.assert_array_equal(rig.skin_joints, np.tile([1, 0, 0, 0], (8, 1)))
    np.testing.assert_array_equal(rig.skin_weights, np.tile([0.75, 0.25, 0, 0], (8, 1)))
    assert is_sound(mesh, rig)


def test_joints_move_with_the_node_of_the_mesh_as_its_vertices_do(tmp_path: Path):
    place = trimesh.transformations.compose_matrix(scale=(2, -3, 0.5), angles=(0.3, -1, 2), translate=(5, 6, 7))
    mesh, rig = read_rig(arm(matrix=place.T.ravel().tolist()).save(tmp_path))
    bound = trimesh.transform_points([[0, 1, 2], [0.5, 0, -1]], place)
    np.testing.assert_allclose(rig.joints, bound, atol=1e-5)
    np.testing.assert_allclose(mesh.vertices, trimesh.transform_points(BOX.vertices, place), atol=1e-12)


def test_without_inverse_bind_matrices_all_joints_are_at_the_origin_of_the_mesh(tmp_path: Path):
    model = arm(translation=[0.25, 0, 0])
    del model.tree["skins"][0]["inverseBindMatrices"]
    np.testing.assert_array_equal(read_rig(model.save(tmp_path))[1].joints, [[0.25, 0, 0]] * 2)


def test_a_skeleton_may_have_several_roots_and_joints_outside_the_scene_are_roots(tmp_path: Path):
    model = arm()
    model.tree["nodes"] += [{"children": [5]}, {"name": "lost"}]  # in no scene
    model.bind({3: (0, 0, 0), 1: (0, 0, 1), 5: (0, 1, 0)})
    model.tree["nodes"][0]["skin"] = 1
    rig = read_rig(model.save(tmp_path))[1]
    assert dict(zip(rig.names, rig.parents, strict=True)) == {"hand": 1, "shoulder": -1, "lost": -1}


def test_joints_without_a_name_are_called_after_their_node(tmp_path: Path):
    model = arm()
    del model.tree["nodes"][3]["name"]
    assert read_rig(model.save(tmp_path))[1].names == ["node_3", "shoulder"]


# Several skins


def two_skins(second: dict[int, Any]) -> Model:
    """Two boxes; the first is bound to the arm's hand alone, the second as said."""
    model = arm()
    model.tree["skins"] = []
    model.bind({3: (0, 1, 2)})
    model.bind(second)
    model.skin(0, [1, 0, 0, 0])
    model.tree["nodes"].append({"mesh": 0, "skin": 1})
    model.tree["scenes"] = [{"nodes": [0, 1, 4]}]
    return model


def test_a_node_that_two_skins_bind_at_one_place_is_one_joint(tmp_path: Path):
    mesh, rig = read_rig(two_skins({1: (0.5, 0, -1), 3: (0, 1, 2 + 1e-5)}).save(tmp_path))
    assert rig.names == ["hand", "shoulder"]
    assert rig.parents.tolist() == [1, -1]  # which only the second skin knows
    assert rig.skin_joints[:, 0].tolist() == [0] * 8 + [1] * 8
    assert is_sound(mesh, rig)


def test_a_node_that_two_skins_bind_at_two_places_is_two_joints_each_with_its_own_parent(tmp_path: Path):
    model = two_skins({3: (0, 1, 2), 1: (0.5, 0, -1)})
    model.tree["nodes"][0]["skin"] = 1
    model.tree["nodes"][4]["translation"] = [0, 0, 1]
    rig = read_rig(model.save(tmp_path), handles=True)[1]
    assert rig.names == ["hand", "shoulder"] * 2
    assert rig.parents.tolist() == [1, -1, 3, -1]
    np.testing.assert_allclose(rig.joints[2:] - rig.joints[:2], [[0, 0, 1]] * 2, atol=1e-6)
    assert rig.skin_joints[:, 0].tolist() == [0] * 8 + [2] * 8


def test_a_mesh_without_a_skin_moves_with_the_joint_it_hangs_below(tmp_path: Path):
    model = arm()
    model.tree["nodes"][2]["children"] += [4]  # below `between`, so below the shoulder
    model.tree["nodes"] += [{"mesh": 0}, {"mesh": 0, "translation": [3, 0, 0]}]
    model.tree["nodes"][3] |= {"mesh": 0}  # at the hand itself
    model.tree["scenes"] = [{"nodes": [0, 1, 5]}]
    path = model.save(tmp_path)
    mesh, rig = read_rig(path)
    hung = [rig.names[joint] for joint in rig.skin_joints[8:24:8, 0]]
    assert hung == ["hand", "shoulder"]
    np.testing.assert_array_equal(rig.skin_weights[8:], [[1, 0, 0, 0]] * 16 + [[0, 0, 0, 0]] * 8)
    np.testing.assert_array_equal(mesh.vertices, read_mesh(path).vertices)
    assert is_sound(mesh, rig)


# Weights


def vertex_weights(mesh: trimesh.Trimesh, rig: Rig) -> dict[tuple[float, ...], float]:
    """Weight of the hand at each vertex, by position."""
    hand = (rig.skin_weights * (rig.skin_joints == rig.names.index("hand"))).sum(axis=1)
    return dict(zip(map(tuple, mesh.vertices.tolist()), hand.tolist(), strict=True))


def graded() -> tuple[Model, dict[tuple[float, ...], float]]:
    """The arm with another weight at each vertex, and the hand's weights."""
    model, hand = arm(), (np.arange(8) + 1) / 16
    model.skin([0, 1, 0, 0], np.column_stack([hand, 1 - hand, np.zeros((8, 2))]))
    return model, dict(zip(map(tuple, BOX.vertices.tolist()), hand.tolist(), strict=True))


def test_weights_follow_vertices_when_primitives_take_only_their_own(tmp_path: Path):
    model, expected = graded()
    (whole,) = model.tree["meshes"][0]["primitives"]
    faces = [model.array("SCALAR", face, SHORT) for face in BOX.faces]
    model.tree["meshes"][0]["primitives"] = [whole | {"indices": face} for face in faces]
    mesh, rig = read_rig(model.save(tmp_path))
    assert len(mesh.vertices) == 36
    assert vertex_weights(mesh, rig) == pytest.approx(expected)


def test_weights_follow_vertices_when_unused_ones_are_not_finite(tmp_path: Path):
    model, expected = graded()
    attributes = model.tree["meshes"][0]["primitives"][0]["attributes"]
    broken = np.array(BOX.vertices)
    broken[3] = np.nan
    attributes["POSITION"] = model.array("VEC3", broken)
    faces = BOX.faces[(BOX.faces != 3).all(axis=1)]
    model.tree["meshes"][0]["primitives"][0]["indices"] = model.array("SCALAR", faces, SHORT)
    mesh, rig = read_rig(model.save(tmp_path))
    del expected[tuple(BOX.vertices[3].tolist())]
    assert vertex_weights(mesh, rig) == pytest.approx(expected)


def test_the_four_largest_weights_of_all_sets_are_kept_and_sum_to_one(tmp_path: Path):
    model = Model({"mesh": 0, "skin": 0}, *({"name": f"{k}"} for k in range(8)), roots=(0, *range(1, 9)))
    model.bind({k + 1: (0, k / 10, 0) for k in range(8)})
    model.skin([0, 1, 2, 3], [0.0, 0.05, 0.3, 0.1])
    model.skin([4, 5, 6, 7], [0.2, 0.25, 0.06, 0.04], which=1)
    rig = read_rig(model.save(tmp_path))[1]
    np.testing.assert_array_equal(rig.skin_joints, np.tile([2, 5, 4, 3], (8, 1)))
    np.testing.assert_allclose(rig.skin_weights, np.tile(np.array([0.3, 0.25, 0.2, 0.1]) / 0.85, (8, 1)), atol=1e-7)
    assert rig.deforming.tolist() == [False, False, True, True, True, True, False, False]


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("form", [BYTE, SHORT])
def test_weights_may_be_whole_numbers_of_which_only_the_shares_count(form: tuple, normalized: bool, tmp_path: Path):
    model = arm()
    model.skin([0, 1, 0, 0], [30, 90, 0, 0], form, normalized=normalized)
    np.testing.assert_allclose(read_rig(model.save(tmp_path))[1].skin_weights, np.tile([0.75, 0.25, 0, 0], (8, 1)))


@pytest.mark.parametrize("nothing", [0, -1, np.nan, np.inf])
def test_weights_that_are_no_share_count_as_none(nothing: float, tmp_path: Path):
    model = arm()
    weights = np.tile([0.25, 0.75, 0, 0], (8, 1))
    weights[2] = nothing
    model.skin([0, 1, 9, 9], weights)  # nor does it matter which joint has no weight
    mesh, rig = read_rig(model.save(tmp_path))
    assert np.flatnonzero(rig.skin_weights.sum(axis=1) == 0).tolist() == [2]
    assert is_sound(mesh, rig)


# Handles


def with_handles() -> Model:
    """A root far below, a handle by name under it, a body under that, and a pole at the end of it; a hand at home."""
    model = Model(
        {"mesh": 0, "skin": 0},
        {"name": "Root", "children": [2]},
        {"name": "FootIK.L", "children": [3, 5]},
        {"name": "Body", "children": [4]},
        {"name": "PoleTarget.L"},
        {"name": "SPIKE"},
        roots=(0, 1),
    )
    model.bind({4: (0, 0, 0), 1: (0, -2, 0), 2: (0, 0.5, 0), 5: (0, 1, 1), 3: (0, 1, 0)})
    model.skin([4, 0, 0, 0], [1, 0, 0, 0])
    return model


def test_joints_that_only_pose_others_are_left_out_and_their_children_go_up(tmp_path: Path):
    path = with_handles().save(tmp_path)
    mesh, rig = read_rig(path)
    assert rig.names == ["SPIKE", "Body"]
    assert rig.parents.tolist() == [-1, -1]
    assert rig.deforming.tolist() == [False, True]
    assert is_sound(mesh, rig)
    mesh, whole = read_rig(path, handles=True)
    assert whole.names == ["PoleTarget.L", "Root", "FootIK.L", "SPIKE", "Body"]
    assert whole.parents.tolist() == [4, -1, 1, 2, 2]
    assert is_sound(mesh, whole)


def test_children_of_joints_left_out_go_to_the_nearest_that_stays(tmp_path: Path):
    model = with_handles()
    model.tree["nodes"][1]["name"] = "Hips"
    model.bind({4: (0, 0, 0), 1: (0, 1, 0), 2: (0, 99, 0), 5: (0, 1, 1), 3: (0, 1, 0)})
    model.tree["nodes"][0]["skin"] = 1
    rig = read_rig(model.save(tmp_path))[1]
    assert dict(zip(rig.names, rig.parents, strict=True)) == {"Hips": -1, "SPIKE": 0, "Body": 0}


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12])
def test_a_chain_of_handles_is_left_out_however_long(length: int, tmp_path: Path):
    chain = [{"name": f"Pole{k}", "children": [k + 3]} for k in range(length)]
    body = {"name": "Body"}
    model = Model({"mesh": 0, "skin": 0}, {"name": "Hips", "children": [2]}, *chain, body, roots=(0, 1))
    model.bind(dict.fromkeys(range(length + 2, 0, -1), (0, 1, 0)))
    model.skin(0, [1, 0, 0, 0])
    rig = read_rig(model.save(tmp_path))[1]
    assert rig.names == ["Body", "Hips"]
    assert rig.parents.tolist() == [1, -1]


def test_joints_that_move_vertices_stay_whatever_they_are_called_and_wherever_they_are(tmp_path: Path):
    model = with_handles()
    model.skin([0, 1, 2, 3], 0.25)
    assert read_rig(model.save(tmp_path))[1].names == ["PoleTarget.L", "Root", "FootIK.L", "SPIKE", "Body"]


# Errors


@pytest.mark.parametrize(
    ("change", "error", "found"),
    [
        (lambda tree: tree["nodes"][0].pop("skin"), errors.MeshHasNoRig, "mesh with a skin, found none"),
        (lambda tree: tree["nodes"][0].update(skin=4), errors.MeshUnreadable, "into 1 skins, found 4"),
        (lambda tree: tree["nodes"][0].update(skin="0"), errors.MeshUnreadable, "well-formed GLB"),
        (lambda tree: tree["nodes"][2].update(children=[1]), errors.MeshUnreadable, "node 1 is reached twice"),
        (lambda tree: tree["skins"][0].update(joints=[3, 8]), errors.MeshUnreadable, "into 4 nodes, found 8"),
        (lambda tree: tree["skins"][0].update(joints=[3, -1]), errors.MeshUnreadable, "into 4 nodes, found -1"),
        (lambda tree: tree["skins"][0].update(joints=[3, 3]), errors.MeshUnreadable, "each joint once"),
        (lambda tree: tree["skins"][0].update(joints=[]), errors.MeshUnreadable, "into 0 joints of a skin, found"),
        (lambda tree: tree["skins"][0].update(joints=[3]), errors.MeshUnreadable, "into 1 joints of a skin, found 1"),
        (
            lambda tree: tree["skins"][0].update(joints=[3, 1, 2]),
            errors.MeshUnreadable,
            "3 inverse-bind.*found 2 items",
        ),
        (lambda tree: tree["skins"][0].update(joints=7), errors.MeshUnreadable, "well-formed GLB"),
        (lambda tree: tree["skins"][0].pop("joints"), errors.MeshUnreadable, "well-formed GLB"),
        (lambda tree: tree["skins"][0].update(inverseBindMatrices=0), errors.MeshUnreadable, "8 items of 3 numbers"),
        (lambda tree: tree["skins"][0].update(inverseBindMatrices=99), errors.MeshUnreadable, "accessors, found 99"),
        (lambda tree: tree["accessors"][2].update(count=10**12), errors.MeshTooLarge, "10{12} items as declared"),
        (lambda tree: tree["accessors"][4].update(count=7), errors.MeshUnreadable, "8 vertices by 4, found 7 by 4"),
        (lambda tree: tree["accessors"][4].update(count=10**12), errors.MeshTooLarge, "10{12} items as declared"),
        (lambda tree: tree["accessors"][4].update(type="VEC3"), errors.MeshUnreadable, "by 4, found 8 by 3"),
        (lambda tree: tree["accessors"][3].update(normalized=True), errors.MeshUnreadable, "JOINTS_0 in whole numbers"),
        (lambda tree: tree["accessors"][3].update(byteOffset=4), errors.MeshTooLarge, "8 items as declared"),
        (lambda tree: tree["meshes"][0]["primitives"][0].update(mode=0), errors.MeshHasNoFaces, "points only"),
        (lambda tree: tree["nodes"][0].update(translation=[1e999, 0, 0]), errors.MeshNotFinite, "8 of 8"),
    ],
)
def test_a_skin_that_is_wrong_says_how(change: Any, error: type[Exception], found: str, tmp_path: Path):
    model = arm()
    change(model.tree)
    fails(model.save(tmp_path), error, found)


@pytest.mark.parametrize(("matrix", "found"), [(np.zeros((4, 4)), "joint 1"), (np.full((4, 4), np.nan), "joint 1")])
def test_joints_without_a_place_are_an_error(matrix: np.ndarray, found: str, tmp_path: Path):
    model = arm()
    model.tree["skins"][0]["inverseBindMatrices"] = model.array("MAT4", [np.eye(4), matrix])
    fails(model.save(tmp_path), errors.MeshUnreadable, f"invertible inverse-bind matrices, found that of {found}")


def test_joints_at_infinity_are_an_error(tmp_path: Path):
    model = arm()
    matrix = np.eye(4)
    matrix[3, 0] = np.inf
    model.tree["skins"][0]["inverseBindMatrices"] = model.array("MAT4", [np.eye(4), matrix])
    fails(model.save(tmp_path), errors.MeshUnreadable, "finite joint positions")


def test_a_skin_that_moves_nothing_is_no_rig(tmp_path: Path):
    model = arm()
    model.skin(0, 0)
    fails(model.save(tmp_path), errors.MeshHasNoRig, "no weight above 0")
    attributes = model.tree["meshes"][0]["primitives"][0]["attributes"]
    del attributes["JOINTS_0"]
    fails(model.save(tmp_path), errors.MeshHasNoRig, "no weight above 0")


def test_other_files_have_no_rig_to_read(tmp_path: Path):
    BOX.export(tmp_path / "box.obj")
    fails(tmp_path / "box.obj", errors.MeshUnsupported, "rig in .glb, .gltf, .npz, found '.obj'")
    fails(tmp_path / "gone.glb", errors.MeshMissing, "found nothing")
    fails(written(tmp_path, "rig.gltf", "{"), errors.MeshUnreadable, "well-formed GLTF")
    fails(arm().save(tmp_path), errors.MeshTooLarge, "max_bytes", max_bytes=300)


def test_skins_beyond_all_reason_stop_at_limits(tmp_path: Path):
    model = arm()
    attributes = model.tree["meshes"][0]["primitives"][0]["attributes"]
    attributes |= {f"{name}_{k}": attributes[f"{name}_0"] for name in ("JOINTS", "WEIGHTS") for k in range(17)}
    fails(model.save(tmp_path), errors.MeshTooLarge, "at most 16 sets")
    model = arm()
    model.tree["nodes"] += [{"mesh": 0, "skin": 0, "translation": [k, 0, 0]} for k in range(1, 65)]
    model.tree["scenes"] = [{"nodes": [0, 1, *range(4, 68)]}]
    fails(model.save(tmp_path), errors.MeshTooLarge, "64 places at most, found more at node 3")
    model = Model({"mesh": 0, "skin": 0}, *[{}] * ((1 << 16) + 1))
    model.tree["skins"] = [{"joints": list(range(1, (1 << 16) + 2))}]
    fails(model.save(tmp_path), errors.MeshTooLarge, "65536 joints")


def outcome(path: Path) -> bool | errors.MeshError:
    """Whether the rig that is read is sound, or the error."""
    try:
        return is_sound(*read_rig(path))
    except errors.MeshError as error:
        return error


def test_damaged_rigs_give_sound_rigs_or_geomflow_errors(tmp_path: Path):
    good, chance = arm().bytes(), random.Random("rig")
    found = [outcome(written(tmp_path, "a.glb", mutated(good, chance))) for _ in range(300)]
    assert False not in found
    assert True in found
    assert len({type(result) for result in found}) > 3


# Files that have a rig


def test_a_file_is_known_to_be_rigged_by_its_tree_alone(tmp_path: Path):
    data = arm().bytes()
    assert is_rigged(written(tmp_path, "cut.glb", data[: -len(arm().chunk)]))
    assert is_rigged(written(tmp_path, "text.gltf", '{"nodes": [{}, {"mesh": 0, "skin": 0}]}'))
    assert not is_rigged(written(tmp_path, "bare.gltf", '{"nodes": [{"mesh": 0}, {"skin": 0}]}'))
    assert not is_rigged(written(tmp_path, "empty.gltf", "{}"))
    assert not is_rigged(written(tmp_path, "box.obj", "v 0 0 0"))


@pytest.mark.parametrize("data", [b"glTF", b"[1]", b"{", b"", arm().bytes().replace(b"JSON", b"JSOn")])
def test_a_file_that_cannot_be_parsed_is_neither_rigged_nor_not(data: bytes, tmp_path: Path):
    with pytest.raises(errors.MeshUnreadable, match=r"a\.glb: wanted .* found"):
        is_rigged(written(tmp_path, "a.glb", data))


# Real rigs, against arrays that were made of them by another program


def known_rigs() -> list[dict[str, str]]:
    if not RIGS.is_file():
        return []
    with RIGS.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["glb_member"]]


def unpacked(row: dict[str, str], folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """The source file of a rig, and the arrays that are known of it."""
    archive = RIGS.parent / row["archive"]
    with zipfile.ZipFile(archive) as arrays, zipfile.ZipFile(archive.with_stem(archive.stem + "_glb")) as sources:
        known = np.load(arrays.extract(row["member"], folder), allow_pickle=False)
        return Path(sources.extract(row["glb_member"], folder)), dict(known)


def dense(names: list[str], joints: np.ndarray, weights: np.ndarray, columns: list[str]) -> np.ndarray:
    """Weights (v, j) of all joints in the order of `columns`."""
    place = np.array([columns.index(name) for name in names])
    full = np.zeros((len(joints), len(columns)))
    np.add.at(full, (np.arange(len(joints))[:, None], place[joints]), weights)
    return full


@pytest.mark.parametrize("row", known_rigs(), ids=lambda row: row["id"])
def test_real_rigs_are_as_known(row: dict[str, str], tmp_path: Path):
    path, known = unpacked(row, tmp_path)
    mesh, rig = read_rig(path)
    plain = read_mesh(path)
    np.testing.assert_array_equal(mesh.vertices, plain.vertices)
    np.testing.assert_array_equal(mesh.faces, plain.faces)
    names, size = known["joint_names"].tolist(), float(np.linalg.norm(np.ptp(known["vertices"], axis=0)))
    order = [rig.names.index(name) for name in names]
    assert sorted(rig.names) == sorted(names)
    np.testing.assert_allclose(rig.joints[order], known["joints"], atol=1e-6 * size)
    parents = [rig.names[parent] if parent >= 0 else "" for parent in rig.parents[order]]
    assert parents == [names[parent] if parent >= 0 else "" for parent in known["parents"]]
    assert (rig.deforming[order] == (known["joint_kind"] == 0)).all()
    near = cKDTree(known["vertices"]).query_ball_point(mesh.vertices, 1e-6 * size)
    read = dense(rig.names, rig.skin_joints, rig.skin_weights, names)
    expected = dense(names, known["skin_joints"], known["skin_weights"].astype(float), names)
    found = [vertex for vertex, others in enumerate(near) if others]
    worst = max(min(np.abs(read[vertex] - expected[other]).max() for other in near[vertex]) for vertex in found)
    assert worst < 1e-3  # the known weights have half precision
    attached = row["id"] == "platformer_game__character_gun"  # its gun follows a frame of an animation in the file
    assert len(found) == len(mesh.vertices) or (attached and len(found) > 0.5 * len(mesh.vertices))


def test_the_gun_moves_with_the_fist(tmp_path: Path):
    row = next((row for row in known_rigs() if row["id"] == "platformer_game__character_gun"), None)
    if row is None:
        pytest.skip("real data not found: set GEOMFLOW_DATA to its folder")
    path, known = unpacked(row, tmp_path)
    mesh, rig = read_rig(path)
    names = known["joint_names"]
    corners = rig.skin_joints[mesh.faces], known["skin_joints"][known["faces"]]
    gun = (rig.skin_weights[mesh.faces][..., 0] == 1).all(axis=1) & (
        np.linalg.norm(mesh.triangles - known["vertices"][known["faces"]], axis=-1).max(axis=1) > 1e-3
    )
    assert gun.any()
    assert set(np.array(rig.names)[corners[0][gun][..., 0]].ravel()) == {"Fist.R"}
    assert set(names[corners[1][gun][..., 0]].ravel()) == {"Fist.R"}
