"""What every function that takes a mesh agrees on: it is a trimesh.Trimesh, and what else is given is refused here."""

from pathlib import Path

import trimesh


def check_mesh(mesh: object) -> None:
    """Refuse anything but a mesh, with what would make one of it.

    Args:
        mesh: What a function was given for a mesh.

    Raises:
        TypeError: It is no trimesh.Trimesh: a path, a scene, a cloud of points, or anything else.
    """
    if not isinstance(mesh, trimesh.Trimesh):
        raise TypeError(f"mesh must be a trimesh.Trimesh, given {_described(mesh)}")


def _described(given: object) -> str:
    match given:
        case str() | Path():
            return f"the path {str(given)!r}: read_surface reads a mesh from it"
        case trimesh.Scene():
            return "a Scene: its to_mesh() is a mesh"
        case trimesh.PointCloud():
            return f"a PointCloud: a surface is wanted, not {len(given.vertices)} points only"
        case _:
            return f"a {type(given).__name__}"
