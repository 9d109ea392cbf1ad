"""Meshes to files: PLY, OBJ, GLB, STL and OFF through trimesh, written whole or not at all."""

from pathlib import Path

import trimesh

from geomflow.files import write_atomically
from geomflow.geometry.mesh_type import check_mesh

WRITABLE = (".ply", ".obj", ".glb", ".stl", ".off")


def write_mesh(mesh: trimesh.Trimesh, path: str | Path) -> None:
    """Write a mesh in the format of the path's suffix.

    Args:
        mesh: The mesh.
        path: The file; its suffix names the format.

    Raises:
        TypeError: It is no mesh.
        ValueError: Another suffix than those of `WRITABLE`.
        OSError: The file cannot be written or the disk is full; nothing is left behind.
    """
    path = Path(path)
    check_mesh(mesh)
    check_writable(path)
    content = mesh.export(file_type=path.suffix[1:].lower())
    write_atomically(path, content.encode() if isinstance(content, str) else bytes(content))


def check_writable(path: Path) -> None:
    """Refuse a suffix that cannot be written, before any work is done.

    Args:
        path: The file; its suffix names the format.

    Raises:
        ValueError: The suffix is none of `WRITABLE`.
    """
    if path.suffix.lower() not in WRITABLE:
        raise ValueError(f"{path}: wanted one of {', '.join(WRITABLE)}, given {path.suffix or 'no suffix'!r}")
