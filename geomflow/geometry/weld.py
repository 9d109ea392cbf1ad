"""Welding: vertices at one place become one, whatever textures and normals the file gives them."""

import numpy as np
import trimesh

from geomflow.geometry.mesh_type import check_mesh


def weld(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return a copy in which equal vertices are one; faces keep their number and order.

    Args:
        mesh: The mesh.

    Raises:
        TypeError: It is no mesh.
    """
    check_mesh(mesh)
    welded = trimesh.Trimesh(np.array(mesh.vertices), np.array(mesh.faces), process=False)
    welded.merge_vertices(merge_tex=True, merge_norm=True)
    return welded
