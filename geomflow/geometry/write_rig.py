"""Rigs to NumPy archives, in the layout that `read_rig` reads: whole or not at all, and equal for equal rigs."""

import io
from pathlib import Path

import numpy as np
import trimesh

from geomflow.files import write_atomically
from geomflow.geometry.mesh_type import check_mesh
from geomflow.geometry.rig import Rig

MOST_JOINTS = np.iinfo(np.int16).max
"""Joints that the layout can number."""


def write_rig(mesh: trimesh.Trimesh, rig: Rig, path: str | Path) -> None:
    """Write a surface and what moves it as an .npz file; positions are rounded to float32, weights to float16.

    Args:
        mesh: Surface of `v` vertices.
        rig: Its skeleton, in the same frame, with the weights of its vertices.
        path: File to write.

    Raises:
        TypeError: It is no mesh.
        ValueError: The suffix is not .npz, or the rig is of another number of vertices, not finite, or of more joints
            than 16 bits can tell apart.
        OSError: The file cannot be written.
    """
    path = Path(path)
    check_mesh(mesh)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"path must end with .npz, not {path.suffix or 'no suffix'!r}")
    if len(rig.skin_joints) != len(mesh.vertices):
        raise ValueError(f"rig must move the mesh's {len(mesh.vertices)} vertices, given {len(rig.skin_joints)}")
    if len(rig.joints) > MOST_JOINTS or not (np.isfinite(rig.joints).all() and np.isfinite(mesh.vertices).all()):
        raise ValueError(f"rig must be finite and of at most {MOST_JOINTS} joints, given {len(rig.joints)}")
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vertices=np.asarray(mesh.vertices, dtype=np.float32),
        faces=np.asarray(mesh.faces, dtype=np.int32),
        joints=rig.joints.astype(np.float32),
        parents=rig.parents.astype(np.int32),
        joint_names=np.array(rig.names, dtype=str),
        skin_joints=rig.skin_joints.astype(np.int16),
        skin_weights=rig.skin_weights.astype(np.float16),
    )
    write_atomically(path, buffer.getvalue())
