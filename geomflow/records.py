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


@dataclass(frozen=True)
class RecordHeader:
    """What is known of a record besides its arrays.

    Attributes:
        id: Name of the shape, unique in its dataset.
        source: File name of the mesh, and member name where it came out of an archive.
        sha256: Hash of the mesh file.
        class_name: Category, empty if none; `class` in the file.
        split: `train`, `test` or any other name of a subset.
        up: Axis that points up in the mesh file, `y` or `z`.
        yaw: Degrees about +y that turned the mesh's front to +z.
        recipe: The options that made the record.
        recipe_hash: Short hash of those options.
        frame: `box` or `sphere`.
        sign_method: How insides were told from outsides.
        quality: Flags and counts of the source mesh.
        versions: Versions of the libraries that decide the bytes.
        schema: Version of this layout.
    """

    id: str
    source: str
    sha256: str
    class_name: str = ""
    split: str = "train"
    up: str = "y"
    yaw: float = 0.0
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_hash: str = ""
    frame: str = "box"
    sign_method: str = "winding-number+ray-parity"
    quality: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class ShapeRecord:
    """One shape's arrays; `n`, `m`, `k` are counts of surface, volume and near-surface samples.

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
    """

    header: RecordHeader
    surface_points: Float[np.ndarray, "n 3"]
    surface_normals: Float[np.ndarray, "n 3"]
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

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are present, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "header"}
        return {name: array for name, array in named.items() if array is not None}


def save_record(record: ShapeRecord, path: str | Path) -> None:
    """Write a record; the file appears whole or not at all.

    Raises:
        OSError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in record.arrays().items()}
    header = asdict(record.header)
    header["class"] = header.pop("class_name")
    metadata = {"geomflow_record": json.dumps(header, sort_keys=True)}
    write_atomically(Path(path), safetensors.numpy.save(contiguous, metadata))


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
            absent = {"sdf_grid"} - set(file.keys())  # the one optional array
            wanted = [name for name in names or (*_EMPTY, "sdf_grid") if name not in absent]
            arrays = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, struct.error) as error:
        raise RecordError(f"{path}: truncated or not a safetensors file ({error})") from error
    return ShapeRecord(header=header, **{**_EMPTY, **arrays})


def _header(path: Path, metadata: dict[str, str] | None) -> RecordHeader:
    if "geomflow_record" not in (metadata or {}):
        raise RecordError(f"{path}: not a shape record: its header lacks the key geomflow_record")
    try:
        values = json.loads((metadata or {})["geomflow_record"])
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
