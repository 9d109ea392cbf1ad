"""The mesh reader: exact arrays from every format, transforms of scenes, and one clear error per cause."""

import base64
import csv
import json
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from geomflow import errors
from geomflow.geometry import read
from geomflow.geometry.read import read_mesh, read_surface
from tests.conftest import DATA

MESSY = DATA / "messy" / "manifest.csv"
OTHER_FORMATS = {"dae", "3mf"}  # meshes to others, not to us

BOX = trimesh.creation.box(extents=(1, 2, 3))
BOX.vertices += (0.25, 0.5, 1)  # exact in binary and in short decimals


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


MESSY_ROWS = rows_of(MESSY) if MESSY.is_file() else []


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def exported(**options: str) -> bytes:
    """The box as trimesh writes it."""
    content: Any = BOX.export(**options)
    return content if isinstance(content, bytes) else content.encode()


def fails(path: Path, error: type[Exception], found: str, **options) -> None:
    """The one class for this cause, and a message of one line that names the file, the want and the find."""
    with pytest.raises(error, match=found) as caught:
        read_mesh(path, **options)
    assert type(caught.value) is error
    message = str(caught.value)
    assert message.startswith(f"{path}: wanted ")
    assert "found" in message
    assert "\n" not in message


def same_surface(mesh: trimesh.Trimesh, other: trimesh.Trimesh) -> None:
    """Equal triangles in equal order, whatever the vertices' numbering."""
    np.testing.assert_array_equal(mesh.triangles, other.triangles)


def is_sane(mesh: trimesh.Trimesh | trimesh.PointCloud) -> bool:
    """Finite, of some extent, and no face beyond the vertices."""
    if not (np.isfinite(mesh.vertices).all() and mesh.extents.max() > 0):
        return False
    return isinstance(mesh, trimesh.PointCloud) or 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)


def is_plain(mesh: trimesh.Trimesh) -> bool:
    return (
        mesh.vertices.dtype == np.float64
        and mesh.faces.dtype.kind == "i"
        and getattr(mesh.visual, "kind", None) is None
    )


# Real files


@pytest.mark.skipif(not MESSY_ROWS, reason=f"no messy files at {DATA}: set GEOMFLOW_DATA")
@pytest.mark.parametrize("row", MESSY_ROWS, ids=lambda row: Path(row["file"]).name)
def test_messy_file_is_what_its_manifest_expects(row: dict[str, str], data_root: Path):
    path = data_root / "messy" / row["file"]
    expect = "reject" if row["format"] in OTHER_FORMATS else row["expect"]
    kind, result = outcome(path)
    assert kind in ALLOWED[expect]
    if kind in ("empty", "reject"):
        assert str(result).startswith(f"{path}: wanted ")
        return
    assert not isinstance(result, errors.MeshError)
    assert is_sane(result)
    assert isinstance(result, trimesh.PointCloud) or is_plain(result)


ALLOWED = {
    "mesh": {"mesh"},
    "points": {"points"},
    "empty": {"empty"},
    "reject": {"reject", "empty"},
    "either": {"mesh", "reject", "empty"},
}


def outcome(path: Path) -> tuple[str, trimesh.Trimesh | trimesh.PointCloud | errors.MeshError]:
    """What became of the file, in the manifest's words, and the mesh or error itself."""
    try:
        mesh = read_mesh(path)
    except errors.MeshEmpty as error:
        return "empty", error
    except errors.MeshError as error:
        return "reject", error
    return "points" if isinstance(mesh, trimesh.PointCloud) else "mesh", mesh


MEASURE = """
import json, resource, sys, time
from geomflow.errors import MeshError
from geomflow.geometry.read import read_mesh
seconds = {}
for path in json.load(sys.stdin):
    start = time.perf_counter()
    try:
        read_mesh(path)
    except MeshError:
        pass
    seconds[path] = time.perf_counter() - start
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds]))
"""


def test_messy_files_take_no_gigabytes_and_no_long_time(data_root: Path):
    paths = [str(data_root / "messy" / row["file"]) for row in rows_of(data_root / "messy" / "manifest.csv")]
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, input=json.dumps(paths), capture_output=True, text=True, check=True, timeout=120)
    peak, seconds = json.loads(done.stdout)
    assert len(seconds) == len(paths)
    assert max(seconds.values()) < 10
    assert peak < 2e9


def test_classics_have_the_faces_and_extents_of_their_manifest(data_root: Path):
    for row in rows_of(data_root / "classics" / "manifest.csv"):
        mesh = read_surface(data_root / "classics" / row["file"])
        assert len(mesh.faces) == int(row["n_faces"]), row["file"]
        np.testing.assert_allclose(mesh.extents, [float(row[f"extent_{axis}"]) for axis in "xyz"], rtol=1e-4)


def flattened_by_trimesh(path: Path) -> trimesh.Trimesh:
    scene = trimesh.load_scene(path, skip_materials=True, process=False)
    placed = [(scene.geometry[name], matrix) for matrix, name in map(scene.graph.get, scene.graph.nodes_geometry)]
    flat: Any = trimesh.util.concatenate(
        [trimesh.Trimesh(part.vertices, part.faces, process=False).apply_transform(matrix) for part, matrix in placed]
    )
    return flat


def test_shapes_come_out_complete_and_where_trimesh_puts_them(data_root: Path, tmp_path: Path):
    rows = rows_of(data_root / "shapes" / "manifest.csv")
    picked = [row for row in rows if row["class"] == "chair"][::3] + random.Random(0).sample(rows, 45)
    for row in picked:
        with zipfile.ZipFile(data_root / "shapes" / row["archive"]) as archive:
            path = Path(archive.extract(row["member"], tmp_path))
        mesh, other = read_surface(path), flattened_by_trimesh(path)
        assert len(mesh.faces) == int(row["n_faces"]) == len(other.faces), row["id"]
        size = mesh.extents.max()
        np.testing.assert_allclose(mesh.bounds, other.bounds, atol=1e-6 * size)
        assert mesh.area == pytest.approx(other.area, rel=1e-6)
        assert mesh.volume == pytest.approx(other.volume, rel=1e-6, abs=1e-6 * size**3)


# A box through every format


@pytest.mark.parametrize("suffix", [*read.SUFFIXES, ".GLB", ".Obj", ".STL"])
def test_box_comes_back_exactly(suffix: str, tmp_path: Path):
    path = tmp_path / f"box{suffix}"
    kind = suffix[1:].lower()
    if kind == "gltf":
        files: Any = BOX.scene().export(file_type="gltf")
        for name, content in files.items():
            written(tmp_path, name, content)
        path = tmp_path / "model.gltf"
    else:
        written(tmp_path, path.name, exported(file_type=kind))
    mesh = read_surface(path)
    same_surface(mesh, BOX)
    assert is_plain(mesh)
    if kind != "stl":
        np.testing.assert_array_equal(mesh.vertices, BOX.vertices)
        np.testing.assert_array_equal(mesh.faces, BOX.faces)


def test_stl_and_ply_text_come_back_exactly(tmp_path: Path):
    same_surface(read_surface(written(tmp_path, "box.stl", exported(file_type="stl_ascii"))), BOX)
    same_surface(read_surface(written(tmp_path, "box.ply", exported(file_type="ply", encoding="ascii"))), BOX)


def test_text_with_old_line_ends_and_odd_bytes_is_read(tmp_path: Path):
    obj = "# caf\xe9\nmtllib gone.mtl\n" + exported(file_type="obj").decode() + "\n"
    stl = exported(file_type="stl_ascii").decode()
    for end in ("\r\n", "\r"):
        same_surface(read_surface(written(tmp_path, "a.obj", obj.replace("\n", end).encode("latin-1"))), BOX)
        same_surface(read_surface(written(tmp_path, "a.stl", stl.replace("\n", end))), BOX)
    same_surface(read_surface(written(tmp_path, "wide.obj", obj.encode("utf-16"))), BOX)


def test_binary_stl_may_begin_with_the_word_solid(tmp_path: Path):
    data = exported(file_type="stl")
    same_surface(read_surface(written(tmp_path, "a.stl", b"solid of caf\xe9".ljust(80, b" ") + data[80:])), BOX)


def test_reading_decimals_keeps_double_precision(tmp_path: Path):
    far = BOX.vertices + 2e6 + 1 / 3
    text = "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in far.tolist())
    text += "".join(f"f {a} {b} {c}\n" for a, b, c in (BOX.faces + 1).tolist())
    np.testing.assert_array_equal(read_surface(written(tmp_path, "far.obj", text)).vertices, far)


def test_read_surface_wants_faces(tmp_path: Path):
    same_surface(read_surface(written(tmp_path, "box.ply", exported(file_type="ply"))), BOX)
    with pytest.raises(errors.MeshHasNoFaces, match=r"two\.obj: wanted a mesh with faces, found 2 points only"):
        read_surface(written(tmp_path, "two.obj", "v 0 0 0\nv 1 1 1\n"))


# OBJ

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@pytest.mark.parametrize(
    "face", ["f 1 2 3 4", "f -4 -3 -2 -1", "f 1/1/1 2/2 3//3 4", "f 1 2 \\\n 3 4", "  f\t1 2 -2 4 # square"]
)
def test_obj_square_is_a_fan_of_its_first_corner(face: str, tmp_path: Path):
    mesh = read_surface(written(tmp_path, "square.obj", f"{SQUARE}{face}\nv 9 9 9\n"))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])
    assert len(mesh.vertices) == 5


def test_obj_negative_indices_count_from_their_own_row(tmp_path: Path):
    triangle = "v {0} 0 0\nv {0} 1 0\nv {0} 0 1\nf -3 -2 -1\n"
    mesh = read_surface(written(tmp_path, "two.obj", triangle.format(0) + triangle.format(1)))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [3, 4, 5]])


def test_obj_polygons_of_all_sizes_keep_their_area(tmp_path: Path):
    angles = [np.linspace(0, 2 * np.pi, n, endpoint=False) for n in (3, 4, 7)]
    corners = np.concatenate([np.column_stack([np.cos(a), np.sin(a), 0 * a]) for a in angles])
    text = (
        "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in corners.tolist()) + "f 1 2 3\nf 4 5 6 7\nf 8 9 10 11 12 13 14\n"
    )
    mesh = read_surface(written(tmp_path, "polygons.obj", text))
    assert len(mesh.faces) == 1 + 2 + 5
    assert mesh.area == pytest.approx(sum(n / 2 * np.sin(2 * np.pi / n) for n in (3, 4, 7)), rel=1e-12)


def test_obj_points_are_a_cloud_and_lines_are_nothing(tmp_path: Path):
    cloud = read_mesh(written(tmp_path, "points.obj", SQUARE))
    assert isinstance(cloud, trimesh.PointCloud)
    np.testing.assert_array_equal(cloud.vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    fails(written(tmp_path, "lines.obj", SQUARE + "l 1 2 3\n"), errors.MeshEmpty, "only lines")
    fails(written(tmp_path, "pairs.obj", SQUARE + "f 1 2\n"), errors.MeshEmpty, "fewer than three")


@pytest.mark.parametrize(
    ("rows", "error", "found"),
    [
        ("f 1 2 5", errors.MeshIndexOutOfRange, "from 0 to 3, found 4"),
        ("f -5 2 3", errors.MeshIndexOutOfRange, "found -1"),
        ("f 0 1 2", errors.MeshIndexOutOfRange, "found 0"),
        ("f 1 2 99999999999999999999", errors.MeshIndexOutOfRange, "found 9223372036854775806"),
        ("f 1 2 x", errors.MeshUnreadable, "well-formed OBJ"),
        ("f 1 2 3.5", errors.MeshUnreadable, "well-formed OBJ"),
        ("v 1 2", errors.MeshUnreadable, "2 columns"),
        ("v nan 0 0\nf 1 2 5", errors.MeshNotFinite, "1 of 5 vertices"),
        ("v 1e999 0 0\nf 1 2 5", errors.MeshNotFinite, "1 of 5 vertices"),
        ("v -1e308 0 0\nv 1e308 0 0\nf 5 6 1", errors.MeshNotFinite, "double precision"),
        ("f 1 1 1", errors.MeshDegenerate, "all coordinates equal"),
        ("v 0.3 0.3 0\nf 1 5 3", errors.MeshDegenerate, "without area"),
    ],
)
def test_obj_that_is_wrong_says_how(rows: str, error: type[Exception], found: str, tmp_path: Path):
    fails(written(tmp_path, "wrong.obj", SQUARE + rows + "\n"), error, found)


def test_vertices_that_no_face_uses_may_be_nan_and_are_dropped(tmp_path: Path):
    mesh = read_surface(written(tmp_path, "nan.obj", "v nan 0 0\n" + SQUARE + "v 0 0 inf\nf 2 3 4 5\n"))
    np.testing.assert_array_equal(mesh.vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e12, 1e150])
def test_degenerate_is_a_matter_of_shape_and_not_of_scale(scale: float, tmp_path: Path):
    text = f"v 0 0 0\nv {scale} 0 0\nv 0 {scale} 0\nf 1 2 3\n"
    assert read_surface(written(tmp_path, "scaled.obj", text)).extents.max() == scale


# OFF


@pytest.mark.parametrize(
    "header",
    [
        "OFF\n4 1 0\n",
        "OFF4 1 0\n",
        "OFF 4 1 0\n",
        "\t OFF4 1 0 # or nah\n",
        "# first\nOFF\n\n# then\n4 1 4\n",
        "OFF\r\n4 1 0\r\n",
    ],
)
def test_off_headers_may_be_glued_to_their_counts(header: str, tmp_path: Path):
    path = written(tmp_path, "square.off", header + "0 0 0\n1 0 0\n\n1 1 0\n0 1 0\n4 0 1 2 3 0.5 0.5 0.5\n")
    np.testing.assert_array_equal(read_surface(path).faces, [[0, 1, 2], [0, 2, 3]])


def test_off_with_colours_and_mixed_polygons(tmp_path: Path):
    rows = [f"{x} {y} {z} 255 0 0 255" for x, y, z in BOX.vertices[:4]]
    path = written(tmp_path, "a.off", "\n".join(["COFF", "4 3 0", *rows, "3 0 1 2 0.1 0.2", "4 0 1 3 2", "3 1 2 3"]))
    mesh = read_surface(path)
    np.testing.assert_array_equal(mesh.vertices, BOX.vertices[:4])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


@pytest.mark.parametrize(
    ("text", "error", "found"),
    [
        (
            "OFF\n353535235358 6 0\n0 0 0\n",
            errors.MeshTooLarge,
            "353535235358 vertices and 6 faces as declared, found 1 rows",
        ),
        ("OFF\n3 99999999999 0\n0 0 0\n1 0 0\n0 1 0\n", errors.MeshTooLarge, "found 3 rows"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1\n", errors.MeshUnreadable, "3 face corners, found 2"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n", errors.MeshIndexOutOfRange, "from 0 to 2, found 3"),
        ("OFF\n0 0 0\n", errors.MeshEmpty, "neither faces nor points"),
        ("PFF\n3 1 0\n", errors.MeshUnreadable, "OFF and its counts"),
        ("OFF\n-3 1 0\n", errors.MeshUnreadable, "OFF and its counts"),
        ("4OFF\n3 1 0\n", errors.MeshUnsupported, "found 4OFF"),
        ("OFF BINARY\n\0\0\0\3", errors.MeshUnsupported, "binary"),
    ],
)
def test_off_that_is_wrong_says_how(text: str, error: type[Exception], found: str, tmp_path: Path):
    fails(written(tmp_path, "wrong.off", text), error, found)


# STL


@pytest.mark.parametrize(
    ("data", "error", "found"),
    [
        (exported(file_type="stl")[:500], errors.MeshTooLarge, "12 triangles as declared .684 bytes., found 500"),
        (bytes(80) + b"\xff\xff\xff\xff", errors.MeshTooLarge, "4294967295 triangles"),
        (bytes(84), errors.MeshEmpty, "neither"),
        (bytes(83), errors.MeshUnreadable, "84 bytes, found 83"),
        (b"solid a\nendsolid a\n", errors.MeshEmpty, "neither"),
        (b"solid a\nfacet\nvertex 0 0 0\nvertex 1 0 0\n", errors.MeshUnreadable, "three vertices per facet, found 2"),
        (bytes(80) + b"\1\0\0\0" + bytes(50), errors.MeshDegenerate, "all coordinates equal"),
    ],
)
def test_stl_that_is_wrong_says_how(data: bytes, error: type[Exception], found: str, tmp_path: Path):
    fails(written(tmp_path, "wrong.stl", data), error, found)


# PLY


def ply(order: str, count: int, faces: list[list[int]], extra: str = "") -> bytes:
    """A binary PLY of the box's first vertices, a colour after each, and faces with a leading material."""
    mark = {"little": "<", "big": ">"}[order]
    head = (
        f"ply\nformat binary_{order}_endian 1.0\ncomment x\nelement vertex {count}\nproperty float x\n"
        f"property double y\nproperty float z\nproperty uchar red\nelement face {len(faces)}\nproperty short material\n"
        f"property list uchar uint vertex_index\n{extra}end_header\n"
    )
    points = b"".join(struct.pack(f"{mark}fdfB", *point, 7) for point in BOX.vertices[:count].tolist())
    corners = b"".join(struct.pack(f"{mark}hB{len(face)}I", -1, len(face), *face) for face in faces)
    return head.encode() + points + corners


@pytest.mark.parametrize("order", ["little", "big"])
def test_ply_of_any_byte_order_and_mixed_polygons(order: str, tmp_path: Path):
    mesh = read_surface(written(tmp_path, "a.ply", ply(order, 4, [[0, 1, 2], [0, 1, 3, 2]])))
    np.testing.assert_array_equal(mesh.vertices, BOX.vertices[:4])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 1, 3], [0, 3, 2]])
    same = read_surface(written(tmp_path, "b.ply", ply(order, 4, [[0, 1, 2], [1, 3, 2]])))
    np.testing.assert_array_equal(same.faces, [[0, 1, 2], [1, 3, 2]])


def test_ply_without_faces_is_a_cloud(tmp_path: Path):
    cloud = read_mesh(written(tmp_path, "a.ply", ply("little", 8, [])))
    assert isinstance(cloud, trimesh.PointCloud)
    np.testing.assert_array_equal(cloud.vertices, BOX.vertices)


TEXT_PLY = (
    "ply\nformat ascii 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
    "element face {}\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n{}\n"
)


@pytest.mark.parametrize(
    ("data", "error", "found"),
    [
        (ply("little", 4, [[0, 1, 4]]), errors.MeshIndexOutOfRange, "from 0 to 3, found 4"),
        (TEXT_PLY.format(3, 1, "3 0 1 3"), errors.MeshIndexOutOfRange, "from 0 to 2, found 3"),
        (TEXT_PLY.format(3, 1, "3 0 1 -1"), errors.MeshIndexOutOfRange, "found -1"),
        (TEXT_PLY.format(999999999999, 1, "3 0 1 2"), errors.MeshTooLarge, "999999999999 rows of 'vertex' as declared"),
        (TEXT_PLY.format(3, 999999999999, "3 0 1 2"), errors.MeshTooLarge, "999999999999 rows of 'face' as declared"),
        (
            TEXT_PLY.format(3, 1, "999999999 0 1 2"),
            errors.MeshTooLarge,
            "999999999 values of 'vertex_indices' as declared",
        ),
        (TEXT_PLY.format(-3, 1, "3 0 1 2"), errors.MeshTooLarge, "-3 rows"),
        (TEXT_PLY.format(3, 1, "3 0 1 x"), errors.MeshUnreadable, "well-formed PLY"),
        (TEXT_PLY.format(3, 1, "3 0 1 nan"), errors.MeshIndexOutOfRange, "found -"),
        (TEXT_PLY.format(3, 1, "3 0 1 2").replace(" x\n", " w\n"), errors.MeshUnreadable, "KeyError: 'x'"),
        (
            ply("little", 4, [[0, 1, 2]] * 9)[:-5],
            errors.MeshTooLarge,
            "9 rows of 'face' as declared, found the end after 8",
        ),
        (ply("little", 4, [[0, 1, 2]], "element strip 1\nproperty int a\n"), errors.MeshTooLarge, "'strip'"),
        ("ply\nformat ascii 1.0\nelement vertex 3\nproperty quad x\nend_header\n", errors.MeshUnreadable, "'quad'"),
        ("ply\nformat binary 1.0\nend_header\n", errors.MeshUnreadable, "found 'binary'"),
        ("ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", errors.MeshEmpty, "neither"),
        ("ply\nformat ascii 1.0\n", errors.MeshUnreadable, "end_header"),
        ("solid\n", errors.MeshUnreadable, "`ply`"),
    ],
)
def test_ply_that_is_wrong_says_how(data: str | bytes, error: type[Exception], found: str, tmp_path: Path):
    fails(written(tmp_path, "wrong.ply", data), error, found)


# glTF


def glb(tree: dict, chunk: bytes = b"") -> bytes:
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunk += bytes(-len(chunk) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(chunk), b"BIN\0") + chunk
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def box_tree(*nodes: dict, roots: tuple[int, ...] = (0,)) -> tuple[dict, bytes]:
    """The box as mesh 0, its positions (accessor 0) and indices (1) in one buffer, and the nodes given."""
    points, corners = BOX.vertices.astype("<f4").tobytes(), BOX.faces.astype("<u2").tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": list(roots)}],
        "nodes": list(nodes) or [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 8},
            {"bufferView": 1, "componentType": 5123, "type": "SCALAR", "count": 36},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(points)},
            {"buffer": 0, "byteLength": len(corners), "byteOffset": len(points)},
        ],
        "buffers": [{"byteLength": len(points) + len(corners)}],
    }
    return tree, points + corners


def test_instances_land_where_their_nodes_put_them(tmp_path: Path):
    half = np.sqrt(0.5)  # a quarter turn about z: (x, y, z) -> (-y, x, z)
    child = {"mesh": 0, "translation": [1, 0, 0], "rotation": [0, 0, half, half], "scale": [2, 1, 1]}
    parent = {"matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 10, 1], "children": [1, 2]}
    tree, chunk = box_tree(parent, child, {"mesh": 0, "translation": [-5, 0, 0]})
    mesh = read_surface(written(tmp_path, "two.glb", glb(tree, chunk)))
    x, y, z = BOX.vertices.T
    turned = np.column_stack([1 - y, 2 * x, z + 10])
    np.testing.assert_allclose(mesh.vertices, np.vstack([turned, BOX.vertices + np.array([-5, 0, 10])]), atol=1e-14)
    np.testing.assert_array_equal(mesh.faces, np.vstack([BOX.faces, BOX.faces + 8]))
    assert mesh.volume == pytest.approx(3 * BOX.volume)


def test_a_mirrored_instance_stays_outside_out(tmp_path: Path):
    tree, chunk = box_tree({"mesh": 0, "scale": [-1, 1, 1]})
    mesh = read_surface(written(tmp_path, "mirror.glb", glb(tree, chunk)))
    np.testing.assert_array_equal(mesh.vertices, BOX.vertices * (-1, 1, 1))
    assert mesh.volume == pytest.approx(BOX.volume)


def test_only_the_default_scene_is_read(tmp_path: Path):
    tree, chunk = box_tree({"mesh": 0}, {"mesh": 0, "translation": [9, 9, 9]})
    tree |= {"scene": 1, "scenes": [{"nodes": [0]}, {"nodes": [1]}]}
    mesh = read_surface(written(tmp_path, "b.glb", glb(tree, chunk)))
    np.testing.assert_array_equal(mesh.vertices, BOX.vertices + 9)


def test_a_tree_without_scenes_or_without_nodes_is_read_whole(tmp_path: Path):
    tree, chunk = box_tree({"children": [1]}, {"mesh": 0, "translation": [1, 1, 1]})
    del tree["scenes"]
    np.testing.assert_array_equal(read_surface(written(tmp_path, "a.glb", glb(tree, chunk))).vertices, BOX.vertices + 1)
    del tree["nodes"]
    np.testing.assert_array_equal(read_surface(written(tmp_path, "b.glb", glb(tree, chunk))).vertices, BOX.vertices)


@pytest.mark.parametrize(("mode", "faces"), [(5, [[0, 1, 2], [1, 3, 2]]), (6, [[0, 1, 2], [0, 2, 3]])])
def test_strips_and_fans_become_triangles(mode: int, faces: list, tmp_path: Path):
    tree, chunk = box_tree()
    tree["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode}]}]
    tree["accessors"][0]["count"] = 4
    mesh = read_surface(written(tmp_path, "mode.glb", glb(tree, chunk)))
    np.testing.assert_array_equal(mesh.faces, faces)
    np.testing.assert_array_equal(mesh.vertices, BOX.vertices[:4])


def test_normalised_integers_are_fractions(tmp_path: Path):
    corners = np.array([[32767, 0, 0], [0, 32767, 0], [-32768, 0, 0]], dtype="<i2")
    padded = b"".join(row.tobytes() + b"\0\0" for row in corners)
    tree, _ = box_tree()
    tree["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}}]}]
    tree["accessors"] = [{"bufferView": 0, "componentType": 5122, "type": "VEC3", "count": 3, "normalized": True}]
    tree["bufferViews"] = [{"buffer": 0, "byteLength": 24, "byteStride": 8}]
    tree["buffers"] = [{"byteLength": 24}]
    mesh = read_surface(written(tmp_path, "quantised.glb", glb(tree, padded)))
    np.testing.assert_array_equal(mesh.vertices, [[1, 0, 0], [0, 1, 0], [-1, 0, 0]])


@pytest.mark.parametrize("based", [True, False])
def test_sparse_positions_replace_the_rows_they_name(based: bool, tmp_path: Path):
    tree, chunk = box_tree()
    sparse = {
        "count": 2,
        "indices": {"bufferView": 2, "componentType": 5121},
        "values": {"bufferView": 2, "byteOffset": 4},
    }
    tree["accessors"][0] |= {"sparse": sparse}
    if not based:
        del tree["accessors"][0]["bufferView"]
    tree["bufferViews"].append({"buffer": 0, "byteOffset": len(chunk), "byteLength": 28})
    rows = sorted(BOX.faces[0].tolist()[:2])
    chunk += bytes([*rows, 0, 0]) + np.array([[7, 8, 9], [4, 5, 6]], "<f4").tobytes()
    tree["buffers"] = [{"byteLength": len(chunk)}]
    expected = np.array(BOX.vertices) if based else np.zeros((8, 3))
    expected[rows] = [[7, 8, 9], [4, 5, 6]]
    np.testing.assert_array_equal(read_surface(written(tmp_path, "sparse.glb", glb(tree, chunk))).vertices, expected)


def test_primitives_that_share_a_large_array_take_only_their_own_vertices(tmp_path: Path):
    tree, chunk = box_tree()
    tree["accessors"] += [tree["accessors"][1] | {"count": 3, "byteOffset": 6 * k} for k in range(12)]
    primitives = [{"attributes": {"POSITION": 0}, "indices": 2 + k} for k in range(12)]
    tree["meshes"] = [{"primitives": primitives}]
    mesh = read_surface(written(tmp_path, "shared.glb", glb(tree, chunk)))
    same_surface(mesh, BOX)
    assert len(mesh.vertices) == 36


def test_gltf_buffers_may_be_beside_the_file_or_inside_it(tmp_path: Path):
    tree, chunk = box_tree()
    written(tmp_path, "box 1.bin", chunk)
    for uri in ("box%201.bin", "data:application/octet-stream;base64," + base64.b64encode(chunk).decode()):
        tree["buffers"] = [{"byteLength": len(chunk), "uri": uri}]
        same_surface(read_surface(written(tmp_path, "box.gltf", json.dumps(tree))), BOX)


def changed(path: str, value: object) -> bytes:
    """The box GLB with one entry of its tree set, such as `accessors.0.count`."""
    tree, chunk = box_tree()
    *parents, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place = tree
    for word in parents:
        place = place[word]
    place[last] = value
    return glb(tree, chunk)


@pytest.mark.parametrize(
    ("path", "value", "error", "found"),
    [
        ("accessors.0.count", 10**12, errors.MeshTooLarge, "1000000000000 items as declared"),
        ("accessors.0.count", 9, errors.MeshTooLarge, "9 items as declared .108 bytes., found 96"),
        ("accessors.0.count", -1, errors.MeshTooLarge, "-1 items"),
        ("accessors.0.count", 5, errors.MeshIndexOutOfRange, "from 0 to 4, found 7"),
        ("accessors.0.count", "8", errors.MeshUnreadable, "well-formed GLB"),
        ("accessors.0.type", "VEC2", errors.MeshUnreadable, "3 coordinates, found 2"),
        ("accessors.0", {"componentType": 5126, "type": "VEC3", "count": 8}, errors.MeshUnsupported, "Draco"),
        (
            "accessors.0.sparse",
            {"count": 10**12, "indices": {"bufferView": 1, "componentType": 5123}},
            errors.MeshTooLarge,
            "10",
        ),
        (
            "accessors.0",
            {"componentType": 5126, "type": "VEC3", "count": 10**12, "sparse": {"count": 0}},
            errors.MeshTooLarge,
            "1000000000000 sparse items as declared",
        ),
        ("accessors.0.bufferView", 2, errors.MeshUnreadable, "into 2 bufferViews, found 2"),
        ("accessors.0.bufferView", -1, errors.MeshUnreadable, "into 2 bufferViews, found -1"),
        ("bufferViews.0.buffer", 1, errors.MeshUnreadable, "into 1 buffers, found 1"),
        ("bufferViews.1.byteOffset", 10**6, errors.MeshUnreadable, "well-formed GLB"),
        ("buffers.0.byteLength", 500, errors.MeshTooLarge, "500 bytes as declared, found 168"),
        ("buffers.0.byteLength", 10**15, errors.MeshTooLarge, "10{15} declared"),
        ("buffers.0.uri", "gone.bin", errors.MeshUnreadable, "no such file"),
        ("buffers.0.uri", "../../etc/hostname", errors.MeshUnreadable, "beside or below"),
        ("buffers.0.uri", "/dev/zero", errors.MeshUnreadable, "beside or below"),
        ("meshes.0.primitives.0.mode", 9, errors.MeshUnreadable, "found 9"),
        ("meshes.0.primitives.0.mode", 1, errors.MeshEmpty, "neither"),
        ("meshes", "box", errors.MeshUnreadable, "well-formed GLB"),
        ("nodes.0", {"mesh": 0, "children": [0]}, errors.MeshUnreadable, "node 0 is reached twice"),
        ("nodes.0", {"mesh": 1}, errors.MeshUnreadable, "into 1 meshes, found 1"),
        ("nodes.0", {"mesh": 0, "scale": [0, 0, 0]}, errors.MeshDegenerate, "equal"),
        ("nodes.0", {"mesh": 0, "translation": [1e999, 0, 0]}, errors.MeshNotFinite, "8 of 8"),
        ("nodes.0", {}, errors.MeshEmpty, "neither"),
        ("scenes.0.nodes", [0, 0], errors.MeshUnreadable, "reached twice"),
        ("scene", 3, errors.MeshUnreadable, "into 1 scenes, found 3"),
        ("asset.version", "1.0", errors.MeshUnsupported, "1.0"),
        ("extensionsRequired", ["KHR_draco_mesh_compression"], errors.MeshUnsupported, "KHR_draco_mesh_compression"),
        ("extensionsRequired", ["EXT_meshopt_compression"], errors.MeshUnsupported, "EXT_meshopt_compression"),
    ],
)
def test_glb_that_is_wrong_says_how(path: str, value: object, error: type[Exception], found: str, tmp_path: Path):
    fails(written(tmp_path, "wrong.glb", changed(path, value)), error, found)


@pytest.mark.parametrize(
    ("name", "data", "error", "found"),
    [
        ("a.glb", glb(*box_tree())[:-100], errors.MeshTooLarge, "bytes as declared"),
        ("a.glb", glb(*box_tree())[:12], errors.MeshTooLarge, "found 12"),
        ("a.glb", b"glTF" + struct.pack("<II", 2, 12), errors.MeshUnreadable, "JSON chunk"),
        ("a.glb", b"glTF" + struct.pack("<II", 1, 12), errors.MeshUnsupported, "version 1"),
        ("a.glb", b"PK\3\4", errors.MeshUnreadable, "well-formed GLB"),
        ("a.gltf", b"{", errors.MeshUnreadable, "well-formed GLTF"),
        ("a.gltf", b"[" * 200_000, errors.MeshUnreadable, "RecursionError"),
        ("a.gltf", b"[]", errors.MeshUnreadable, "well-formed GLTF"),
        ("a.gltf", b"{}", errors.MeshEmpty, "neither"),
    ],
)
def test_truncated_or_broken_gltf_says_how(name: str, data: bytes, error: type[Exception], found: str, tmp_path: Path):
    fails(written(tmp_path, name, data), error, found)


def test_many_primitives_of_one_array_stop_at_the_limit(tmp_path: Path):
    tree, chunk = box_tree()
    tree["meshes"][0]["primitives"] *= 3000
    path = written(tmp_path, "crowd.glb", glb(tree, chunk))
    assert len(read_surface(path).faces) == 12 * 3000
    fails(path, errors.MeshTooLarge, "scene of at most 500000 bytes", max_bytes=500_000)


def test_many_instances_stop_at_the_limit(tmp_path: Path):
    count = 3000
    tree, chunk = box_tree(*[{"mesh": 0}] * count, roots=tuple(range(count)))
    path = written(tmp_path, "crowd.glb", glb(tree, chunk))
    assert len(read_surface(path).faces) == 12 * count
    fails(path, errors.MeshTooLarge, "scene of at most 500000 bytes", max_bytes=500_000)


# Any file


def test_missing_folder_and_foreign_files(tmp_path: Path):
    fails(tmp_path / "gone.obj", errors.MeshMissing, "found nothing")
    (tmp_path / "folder.obj").mkdir()
    fails(tmp_path / "folder.obj", errors.MeshMissing, "found something else")
    for name in ("a.dae", "a.3mf", "a.txt"):
        fails(written(tmp_path, name, "x"), errors.MeshUnsupported, f"found '{Path(name).suffix}'")
    fails(written(tmp_path, "plain", "x"), errors.MeshUnsupported, "no suffix")


@pytest.mark.parametrize("suffix", read.SUFFIXES)
def test_empty_and_oversized_files(suffix: str, tmp_path: Path):
    path = written(tmp_path, f"empty{suffix}", "")
    fails(path, errors.MeshEmpty, "found 0 bytes")
    fails(written(tmp_path, f"long{suffix}", "0" * 101), errors.MeshTooLarge, "found 101", max_bytes=100)


def test_binary_noise_is_not_text(tmp_path: Path):
    fails(written(tmp_path, "noise.obj", bytes(range(256))), errors.MeshUnreadable, "found binary data")


@pytest.mark.parametrize("stop", [MemoryError, KeyboardInterrupt])
def test_what_is_not_the_files_fault_passes_through(stop: type[BaseException], tmp_path: Path, monkeypatch):
    def read_nothing(*_: object) -> None:
        raise stop

    monkeypatch.setitem(read._READERS, ".obj", read_nothing)
    with pytest.raises(stop):
        read_mesh(written(tmp_path, "a.obj", SQUARE))


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The data with a few bytes replaced, removed or put in, most of them near the header."""
    content = bytearray(data)
    for _ in range(chance.choice([1, 2, 5])):
        at = chance.randrange(min(len(content), chance.choice([100, 10**6])))
        junk = chance.choice([b"\xff\xff\xff\xff", b"9999999999", b"-1", b"nan", b"\0\0\0\0", b" ", b"\n", b"["])
        content[at : at + chance.choice([0, 1, len(junk), 40])] = junk
    return bytes(content)


@pytest.mark.parametrize("file_kind", ["obj", "ply", "ply text", "off", "stl", "stl text", "glb"])
def test_damaged_boxes_give_sane_meshes_or_geomflow_errors(file_kind: str, tmp_path: Path):
    text = {"ply text": {"file_type": "ply", "encoding": "ascii"}, "stl text": {"file_type": "stl_ascii"}}
    good = exported(**text.get(file_kind, {"file_type": file_kind}))
    chance = random.Random(file_kind)
    for _ in range(200):
        path = written(tmp_path, f"a.{file_kind[:3]}", mutated(good, chance))
        _, result = outcome(path)
        assert isinstance(result, errors.MeshError) or is_sane(result)
