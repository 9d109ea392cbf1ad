"""Shape records: the arrays made from one mesh, in one safetensors file with a self-describing header.

All positions are in the unit frame, where distances are negative inside. A vertex of the file is taken there by turning
it as the header's `up` and `yaw` say (`geomflow.prep.job.upright`), then `(vertex - shifts) * scale`. Files are
written under a temporary name and renamed, and hold no time stamp: the same mesh and recipe give the same bytes.
"""

import json
import struct
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Float, Integer
from safetensors import SafetensorError, safe_open

from geomflow.errors import RecordError
from geomflow.files import write_atomically

SCHEMA = 1
KEY = "geomflow_record"
OPTIONAL = ("sdf_grid", "sharp_points", "sharp_normals", "joints", "joint_parents", "skin_joints", "skin_weights")
"""Arrays that a record may lack."""


@dataclass(frozen=True)
class RecordHeader:
    """What is known of a record besides its arrays.

    Attributes:
        id: Name of the shape, unique in its dataset.
        source: File name of the mesh, and member name where it came out of an archive.
        sha256: Hash of the mesh file.
        class_name: Category, empty if none; `class` in the file.
        split: `train`, `test` or any other name of a subset.
        license: Terms of the mesh, empty if unknown.
        creator: Who is to be credited.
        up: Axis that points up in the mesh file, `y` or `z`.
        yaw: Degrees about +y that turned the mesh's front to +z.
        recipe: The options that made the record.
        recipe_hash: Short hash of those options.
        frame: `box` or `sphere`.
        sign_method: How insides were told from outsides.
        quality: Flags and counts of the source mesh.
        joint_names: Names of the joints, of a rig.
        versions: Versions of the libraries that decide the bytes.
        schema: Version of this layout.
    """

    id: str
    source: str
    sha256: str
    class_name: str = ""
    split: str = "train"
    license: str = ""
    creator: str = ""
    up: str = "y"
    yaw: float = 0.0
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_hash: str = ""
    frame: str = "box"
    sign_method: str = "winding-number"
    quality: dict[str, Any] = field(default_factory=dict)
    joint_names: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class ShapeRecord:
    """One shape's arrays; `n`, `m`, `k`, `s` are counts of surface, volume, near-surface and sharp-edge samples.

    A record of a file that holds only points has no normals, distances, vertices or faces: those arrays are empty.

    Attributes:
        header: What the arrays were made from and how.
        surface_points: Points on the surface, uniform by area.
        surface_normals: Unit normals at the surface points.
        vol_points: Points uniform in the cube.
        vol_sdf: Signed distance at the volume points.
        vol_confidence: Confidence of each sign, in [0, 1].
        near_points: Points near the surface.
        near_sdf: Signed distance at the near points.
        near_confidence: Confidence of each sign, in [0, 1].
        vertices: Vertices of the normalised mesh.
        faces: Triangles of the normalised mesh.
        shifts: Centre of the source mesh in its own frame, once turned upright.
        scale: Factor from the source's unit to the unit frame.
        sdf_grid: Optional grid of signed distances over [-1, 1]^3, cut off at the recipe's band.
        sharp_points: Optional points on edges where two faces meet at an angle, uniform by length.
        sharp_normals: Mean unit normals of those two faces.
        joints: Optional joints of a rig, in bind pose.
        joint_parents: Parent of each joint, -1 for a root.
        skin_joints: Up to four joints that move each vertex.
        skin_weights: Their weights, which sum to 1, or to 0 where no joint moves the vertex.
    """

    header: RecordHeader
    surface_points: Float[np.ndarray, "n 3"]
    surface_normals: Float[np.ndarray, "_ 3"]
    vol_points: Float[np.ndarray, "m 3"]
    vol_sdf: Float[np.ndarray, " m"]
    vol_confidence: Float[np.ndarray, " m"]
    near_points: Float[np.ndarray, "k 3"]
    near_sdf: Float[np.ndarray, " k"]
    near_confidence: Float[np.ndarray, " k"]
    vertices: Float[np.ndarray, "v 3"]
    faces: Integer[np.ndarray, "f 3"]
    shifts: Float[np.ndarray, "3"]
    scale: Float[np.ndarray, "1"]
    sdf_grid: Float[np.ndarray, "x y z"] | None = None
    sharp_points: Float[np.ndarray, "s 3"] | None = None
    sharp_normals: Float[np.ndarray, "s 3"] | None = None
    joints: Float[np.ndarray, "j 3"] | None = None
    joint_parents: Integer[np.ndarray, " j"] | None = None
    skin_joints: Integer[np.ndarray, "v 4"] | None = None
    skin_weights: Float[np.ndarray, "v 4"] | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are present, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "header"}
        return {name: array for name, array in named.items() if array is not None}

    def distinct_joints(self) -> Float[np.ndarray, "k 3"]:
        """Return the places of the joints that move the surface, coincident ones as one (`geometry.distinct_joints`).

        Raises:
            RecordError: The record has no joints or no weights.
        """
        from geomflow.geometry.joints import distinct_joints

        if self.joints is None or self.skin_joints is None or self.skin_weights is None:
            raise RecordError(f"{self.header.id}: wanted a rig's joints and weights, found none; prepare it with --rig")
        return distinct_joints(self.joints, self.skin_joints, self.skin_weights)


def encode_record(record: ShapeRecord) -> bytes:
    """Return the bytes of a record's file.

    Args:
        record: The record.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in record.arrays().items()}
    header = asdict(record.header)
    header["class"] = header.pop("class_name")
    return safetensors.numpy.save(contiguous, {KEY: json.dumps(header, sort_keys=True)})


def parse_record(content: bytes, name: str = "record") -> ShapeRecord:
    """Return the record in the bytes of its file, such as a member of a shard.

    Args:
        content: What `encode_record` returned.
        name: What messages call it.

    Raises:
        RecordError: The bytes are truncated, no shape record, or of a newer schema.
    """
    header = read_header(content, name)
    try:
        return ShapeRecord(header=header, **{**_EMPTY, **safetensors.numpy.load(content)})
    except (SafetensorError, struct.error) as error:
        raise RecordError(f"{name}: truncated or not a safetensors file ({error})") from error


def read_header(content: bytes, name: str = "record") -> RecordHeader:
    """Return the header of a record from the bytes of its file, or from the first ones, which hold it whole.

    Args:
        content: Bytes from the beginning of the file.
        name: What errors call the file.

    Raises:
        RecordError: The bytes are too few, no shape record, or of a newer schema.
    """
    return _header(name, metadata(content, name))


def metadata(content: bytes, name: str) -> dict[str, str]:
    """Return the metadata at the front of a safetensors file.

    Args:
        content: Bytes from the beginning of the file.
        name: What errors call the file.

    Raises:
        RecordError: The bytes are too few, or no such file.
    """
    try:
        return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    except (ValueError, AttributeError) as error:
        raise RecordError(f"{name}: truncated or not a safetensors file ({error})") from error


def save_record(record: ShapeRecord, path: str | Path) -> None:
    """Write a record; the file appears whole or not at all.

    Args:
        record: The record.
        path: The file.

    Raises:
        OSError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    write_atomically(Path(path), encode_record(record))


def load_record(path: str | Path, names: tuple[str, ...] = ()) -> ShapeRecord:
    """Read a record.

    Args:
        path: File written by `save_record`.
        names: Arrays to read, all if empty; those left out come as arrays without entries. Name what belongs
            together, such as vol_points with vol_sdf and vol_confidence.

    Raises:
        RecordError: The file is missing, truncated, no shape record, or of a newer schema.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"{path}: no such shape record")
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata())
            wanted = [name for name in names or file.keys() if name not in OPTIONAL or name in file.keys()]  # noqa: SIM118
            arrays = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, struct.error) as error:
        raise RecordError(f"{path}: truncated or not a safetensors file ({error})") from error
    return ShapeRecord(header=header, **{**_EMPTY, **arrays})


def _header(path: Path | str, metadata: dict[str, str] | None) -> RecordHeader:
    if KEY not in (metadata or {}):
        raise RecordError(f"{path}: not a shape record: its header lacks the key {KEY}")
    try:
        values = json.loads((metadata or {})[KEY])
        if values.get("schema", 0) > SCHEMA:
            raise RecordError(
                f"{path}: schema {values['schema']} is newer than {SCHEMA}, the newest this geomflow reads"
            )
        return RecordHeader(class_name=values.pop("class", ""), **values)
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise RecordError(f"{path}: its header is not that of a shape record ({error})") from error


_EMPTY: dict[str, np.ndarray] = {
    **dict.fromkeys(("surface_points", "surface_normals", "vol_points", "near_points", "vertices"), np.zeros((0, 3))),
    **dict.fromkeys(("vol_sdf", "vol_confidence", "near_sdf", "near_confidence"), np.zeros(0)),
    "faces": np.zeros((0, 3), dtype=np.int32),
    "shifts": np.zeros(3),
    "scale": np.ones(1),
}
for _array in _EMPTY.values():
    _array.setflags(write=False)  # they are shared by all records that lack them
