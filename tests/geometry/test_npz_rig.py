"""Rigs in NumPy archives: read as they were written, one clear error for every defect, the real ones as known."""

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from geomflow import errors
from geomflow.geometry import Rig, distinct_joints, is_rigged, read_mesh, read_rig, write_rig
from geomflow.geometry.frame import similarity_of
from tests.conftest import DATA
from tests.geometry.test_rig import fails, is_sound, outcome

RIGS = DATA / "rigs" / "manifest.csv"
BOX = trimesh.creation.box((2, 1, 1))


def arm(**changed: Any) -> dict[str, Any]:
    """Arrays of a box that a shoulder and a hand move; a value of None leaves its array out."""
    weights = np.zeros((8, 4), dtype=np.float16)
    weights[:, 0], weights[:, 1] = 0.25, 0.75
    arrays = {
        "vertices": BOX.vertices.astype(np.float32),
        "faces": BOX.faces.astype(np.int32),
        "joints": np.array([[0, 1, 2], [0.5, 0, -1]], dtype=np.float32),
        "parents": np.array([-1, 0], dtype=np.int32),
        "joint_names": np.array(["shoulder", "hand"]),
        "skin_joints": np.tile(np.array([0, 1, 0, 0], dtype=np.int16), (8, 1)),
        "skin_weights": weights,
    }
    return {name: array for name, array in (arrays | changed).items() if array is not None}


def saved(folder: Path, **changed: Any) -> Path:
    np.savez(folder / "arm.npz", **arm(**changed))
    return folder / "arm.npz"


def test_arrays_are_read_as_they_are_strongest_joint_first(tmp_path: Path):
    mesh, rig = read_rig(saved(tmp_path, joint_kind=np.zeros(2, dtype=np.int8)))
    np.testing.assert_array_equal(mesh.triangles, BOX.triangles.astype(np.float32))
    np.testing.assert_array_equal(rig.joints, [[0, 1, 2], [0.5, 0, -1]])
    assert (rig.parents.tolist(), rig.names) == ([-1, 0], ["shoulder", "hand"])
    np.testing.assert_array_equal(rig.skin_joints, np.tile([1, 0, 0, 0], (8, 1)))
    np.testing.assert_array_equal(rig.skin_weights, np.tile([0.75, 0.25, 0, 0], (8, 1)))
    assert is_sound(mesh, rig)
    np.testing.assert_array_equal(read_mesh(tmp_path / "arm.npz").vertices, mesh.vertices)


def test_what_is_written_is_read_again_and_equal_rigs_are_equal_bytes(tmp_path: Path):
    mesh, rig = read_rig(saved(tmp_path))
    write_rig(mesh, rig, tmp_path / "again.npz")
    write_rig(mesh, rig, tmp_path / "twice.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "twice.npz").read_bytes()
    read_mesh_again, again = read_rig(tmp_path / "again.npz")
    np.testing.assert_array_equal(read_mesh_again.triangles, mesh.triangles)
    for name in ("joints", "parents", "skin_joints", "skin_weights"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rig, name))
    assert again.names == rig.names
    with pytest.raises(ValueError, match=r"must end with \.npz, not '\.glb'"):
        write_rig(mesh, rig, tmp_path / "rig.glb")
    with pytest.raises(ValueError, match="8 vertices, given 3"):
        write_rig(
            mesh, Rig(rig.joints, rig.parents, rig.names, rig.skin_joints[:3], rig.skin_weights[:3]), tmp_path / "a.npz"
        )


def test_handles_are_left_out_unless_they_are_wanted(tmp_path: Path):
    path = saved(
        tmp_path,
        joints=np.array([[0, 0, 0], [0.5, 0, -1], [0, 9, 0]], dtype=np.float32),
        parents=np.array([-1, 2, 0], dtype=np.int32),
        joint_names=np.array(["root", "hand", "target"]),
    )
    assert read_rig(path)[1].names == ["root", "hand"]
    assert read_rig(path)[1].parents.tolist() == [-1, 0]
    assert read_rig(path, handles=True)[1].names == ["root", "hand", "target"]


def nan_at(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flat[1] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "error", "found"),
    [
        ({"joints": None}, errors.MeshUnreadable, "joints missing, found vertices, faces, parents"),
        ({"skin_weights": None, "faces": None}, errors.MeshUnreadable, "faces, skin_weights missing"),
        ({"joints": arm()["joints"][:, :2]}, errors.MeshUnreadable, r"joints as fractions of shape \(j, 3\)|\(2, 3\)"),
        ({"joints": np.zeros((2, 3), dtype=int)}, errors.MeshUnreadable, "joints as fractions.*found int64"),
        ({"vertices": arm()["vertices"][0]}, errors.MeshUnreadable, r"vertices as .*\(v, 3\), found float32 of shape"),
        ({"parents": np.array([-1, 0, 0])}, errors.MeshUnreadable, r"parents as whole numbers of shape \(2\)"),
        ({"joint_names": np.array(["a"])}, errors.MeshUnreadable, r"joint_names as text of shape \(2\)"),
        ({"joint_names": np.array([1, 2])}, errors.MeshUnreadable, "joint_names as text.*found int64"),
        ({"skin_joints": arm()["skin_joints"][:7]}, errors.MeshUnreadable, r"\(8, 4\), found int16 of shape \(7, 4\)"),
        ({"skin_weights": arm()["skin_weights"][:, :3]}, errors.MeshUnreadable, r"\(8, 4\), found float16 of"),
        ({"joint_names": np.array(["a", None], dtype=object)}, errors.MeshUnreadable, "well-formed NPZ.*allow_pickle"),
        ({"faces": arm()["faces"] + 1}, errors.MeshIndexOutOfRange, "from 0 to 7, found 8"),
        ({"skin_joints": arm()["skin_joints"] + 1}, errors.MeshUnreadable, "into 2 joints of a skin, found 2"),
        ({"skin_joints": arm()["skin_joints"] - 1}, errors.MeshUnreadable, "into 2 joints of a skin, found -1"),
        ({"parents": np.array([-1, 2])}, errors.MeshUnreadable, "parents from -1 to 1, found 2"),
        ({"parents": np.array([-2, 0])}, errors.MeshUnreadable, "parents from -1 to 1, found -2"),
        ({"parents": np.array([1, 0])}, errors.MeshUnreadable, "lead to a root, found joint 0 in a circle"),
        ({"parents": np.array([-1, 1])}, errors.MeshUnreadable, "lead to a root, found joint 1 in a circle"),
        ({"vertices": nan_at(arm()["vertices"])}, errors.MeshNotFinite, "finite vertices"),
        ({"joints": nan_at(arm()["joints"])}, errors.MeshNotFinite, "finite joints"),
        ({"skin_weights": nan_at(arm()["skin_weights"])}, errors.MeshNotFinite, "finite skin_weights"),
        ({"skin_weights": -arm()["skin_weights"]}, errors.MeshUnreadable, "skin_weights of at least 0, found -0.75"),
        ({"skin_weights": 0 * arm()["skin_weights"]}, errors.MeshHasNoRig, "no weight above 0"),
        ({"faces": np.zeros((0, 3), dtype=int)}, errors.MeshHasNoFaces, "8 points only"),
        ({"faces": np.zeros((3, 3), dtype=int)}, errors.MeshDegenerate, "positive extent"),
    ],
)
def test_a_defect_is_one_error_that_names_the_file(change: dict, error: type[Exception], found: str, tmp_path: Path):
    fails(saved(tmp_path, **change), error, found)


def test_files_that_are_no_archive_or_too_large_are_errors(tmp_path: Path):
    good = saved(tmp_path).read_bytes()
    fails(saved(tmp_path), errors.MeshTooLarge, "max_bytes", max_bytes=1000)
    for data, error in ((b"", errors.MeshEmpty), (b"PK", errors.MeshUnreadable), (good[:-9], errors.MeshUnreadable)):
        (tmp_path / "arm.npz").write_bytes(data)
        fails(tmp_path / "arm.npz", error, "found")
    fails(tmp_path / "gone.npz", errors.MeshMissing, "found nothing")


def test_compressed_arrays_count_by_what_they_unpack_to(tmp_path: Path):
    np.savez_compressed(tmp_path / "bomb.npz", **arm(vertices=np.zeros((10**6, 3), dtype=np.float32)))
    assert (tmp_path / "bomb.npz").stat().st_size < 10**5
    fails(tmp_path / "bomb.npz", errors.MeshTooLarge, "at most 1000000 bytes", max_bytes=10**6)


def with_joints_of(folder: Path, data: bytes) -> Path:
    """The arm with other bytes for the member of its joints."""
    with zipfile.ZipFile(saved(folder)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "arm.npz", "w") as archive:
        for name, content in (members | {"joints.npy": data}).items():
            archive.writestr(name, content)
    return folder / "arm.npz"


def test_headers_are_held_against_the_bytes_that_are_there(tmp_path: Path):
    buffer = io.BytesIO()
    np.save(buffer, arm()["joints"])
    good = buffer.getvalue()
    lying = with_joints_of(tmp_path, good.replace(b"(2, 3), }", b"(2000,3)}"))
    fails(lying, errors.MeshTooLarge, r"joints of shape \(2000, 3\) as declared, found 24 bytes")
    fails(
        with_joints_of(tmp_path, good.replace(b"(2, 3), }", b"(2, (3), ")), errors.MeshUnreadable, "archive of arrays"
    )
    fails(with_joints_of(tmp_path, good[:40]), errors.MeshUnreadable, "well-formed NPZ")


def test_damaged_archives_give_sound_rigs_or_geomflow_errors(tmp_path: Path):
    good, rng = saved(tmp_path).read_bytes(), np.random.default_rng(0)
    found = []
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        (tmp_path / "arm.npz").write_bytes(data)
        found.append(outcome(tmp_path / "arm.npz"))
    assert False not in found
    assert {str(error).partition(": ")[0] for error in found if error is not True} == {str(tmp_path / "arm.npz")}


def test_archives_with_all_arrays_are_known_to_be_rigs(tmp_path: Path):
    assert is_rigged(saved(tmp_path))
    np.savez(tmp_path / "other.npz", vertices=np.zeros((3, 3)))
    assert not is_rigged(tmp_path / "other.npz")
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(errors.MeshUnreadable, match=r"bad\.npz: wanted a readable archive"):
        is_rigged(tmp_path / "bad.npz")


def test_real_rigs_deform_by_the_joints_that_are_known_to(tmp_path: Path):
    if not RIGS.is_file():
        pytest.skip("real data not found: set GEOMFLOW_DATA to its folder")
    with RIGS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    fewer = {}
    for row in rows:
        with zipfile.ZipFile(RIGS.parent / row["archive"]) as archive:
            path = Path(archive.extract(row["member"], tmp_path))
        known = np.load(path, allow_pickle=False)
        mesh, rig = read_rig(path)
        assert is_sound(mesh, rig)
        np.testing.assert_array_equal(rig.joints, known["joints"])
        assert (rig.deforming == (known["joint_kind"] == 0)).all()
        unit = similarity_of(mesh.vertices).apply(rig.joints)
        found = distinct_joints(unit, rig.skin_joints, rig.skin_weights)
        apart = np.linalg.norm(unit[rig.deforming][:, None] - found, axis=2).min(axis=1)
        assert apart.max() < 1e-3
        fewer[row["id"]] = int(rig.deforming.sum()) - len(found)
    assert len(fewer) == 92
    assert {name: count for name, count in fewer.items() if count} == {
        "animated_robot__robot": 4,
        "alien_animated__alien": 4,
        "alien_animated__alien_helmet": 4,
    }
