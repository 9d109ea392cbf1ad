"""Solids: is a mesh one closed body that could be printed or simulated, and if not, why."""

from dataclasses import asdict, dataclass, replace
from typing import Any, cast, no_type_check

import manifold3d
import numpy as np
import trimesh
from jaxtyping import Integer, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geomflow.geometry.mesh_type import check_mesh
from geomflow.geometry.winding import winding_number
from geomflow.warp_runtime import wp


@dataclass(frozen=True)
class SolidReport:
    """What a solid must be, each checked by itself.

    Attributes:
        watertight: Every edge has exactly two faces.
        winding_consistent: Neighbouring faces agree on which side is out.
        bodies: Connected pieces, inner walls of cavities counted.
        outer_components: Pieces that bound a solid from outside (positive volume).
        volume: Enclosed volume, in the mesh's unit cubed.
        area: Surface area, in the mesh's unit squared.
        self_intersections: Pairs of faces without a common vertex that cut each other.
        manifold: Whether manifold3d, and so whatever computes with it, takes the mesh as a solid.
    """

    watertight: bool
    winding_consistent: bool
    bodies: int
    outer_components: int
    volume: float
    area: float
    self_intersections: int
    manifold: bool

    @property
    def passes(self) -> bool:
        """Whether there is nothing to complain of."""
        return not self.reasons()

    def reasons(self) -> list[str]:
        """Return what keeps the mesh from being one solid, empty if nothing does."""
        findings = {
            "not watertight": not self.watertight,
            "winding inconsistent": not self.winding_consistent,
            f"{self.outer_components} outer components": self.outer_components != 1,
            f"volume {self.volume:.3g}": not self.volume > 0,
            f"{self.self_intersections} self-intersections": self.self_intersections > 0,
            "not manifold": self.watertight and not self.manifold,
        }
        return [reason for reason, found in findings.items() if found]

    def scaled(self, factor: float) -> "SolidReport":
        """Return the report of the mesh enlarged by a factor.

        Args:
            factor: How many times as large it becomes.
        """
        return replace(self, volume=self.volume * factor**3, area=self.area * factor**2)

    def as_dict(self) -> dict[str, Any]:
        """Return the findings by name."""
        return asdict(self)


def solid_report(mesh: trimesh.Trimesh) -> SolidReport:
    """Return whether a mesh is one solid; vertices are taken as they are indexed, not welded by position.

    Args:
        mesh: The mesh.

    Raises:
        TypeError: It is no mesh.
    """
    check_mesh(mesh)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    volumes = _volumes(vertices, faces, _bodies(faces, len(vertices)))
    return SolidReport(
        watertight=bool(mesh.is_watertight),
        winding_consistent=bool(mesh.is_winding_consistent),
        bodies=len(volumes),
        outer_components=int((volumes > 0).sum()),
        volume=float(volumes.sum()),
        area=float(mesh.area),
        self_intersections=count_self_intersections(vertices, faces),
        manifold=_is_manifold(vertices, faces),
    )


def keep_largest(mesh: trimesh.Trimesh, share: float = 0.0) -> tuple[trimesh.Trimesh, int]:
    """Return the mesh without bodies of less than `share` of the largest volume, and how many were dropped.

    Walls of cavities stay with the body they are in.

    Args:
        mesh: Closed mesh, facing outward.
        share: Least part of the largest body's volume that is kept, in [0, 1].

    Raises:
        TypeError: It is no mesh.
        ValueError: `share` outside [0, 1].
    """
    check_mesh(mesh)
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], not {share}")
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    body = _bodies(faces, len(vertices))
    volumes = _volumes(vertices, faces, body)
    kept = (volumes > 0) & (volumes >= share * volumes.max(initial=0.0))
    cavities, first_faces = np.flatnonzero(volumes < 0), np.unique(body, return_index=True)[1]
    walls = vertices[faces[first_faces[cavities], 0]]
    kept[cavities] = winding_number(vertices, faces[kept[body]], walls) > 0.5
    used, renumbered = np.unique(faces[kept[body]], return_inverse=True)
    normals = mesh.vertex_normals[used] if "vertex_normals" in mesh._cache else None  # only if they were given
    cleaned = trimesh.Trimesh(vertices[used], renumbered.reshape(-1, 3), vertex_normals=normals, process=False)
    return cleaned, int((~kept).sum())


def count_self_intersections(vertices: Shaped[np.ndarray, "v 3"], faces: Integer[np.ndarray, "f 3"]) -> int:
    """Return how many pairs of faces that share no vertex cut each other: an edge of one runs through the other.

    Faces that only touch, or overlap in one plane, do not count. Pairs come from a Warp BVH, signs from float64.

    Args:
        vertices: Positions of the vertices.
        faces: Three vertices of each face.
    """
    if not len(faces):
        return 0
    points = wp.array(np.asarray(vertices, dtype=np.float32), dtype=wp.vec3, device="cpu")
    corners = wp.array(np.asarray(vertices, dtype=np.float64), dtype=wp.vec3d, device="cpu")
    indices = wp.array(np.asarray(faces, dtype=np.int32).ravel(), dtype=wp.int32, device="cpu")
    tree = wp.Mesh(points=points, indices=indices)
    count = wp.zeros(len(faces), dtype=wp.int32, device="cpu")
    wp.launch(cast(Any, _count_crossings), len(faces), [tree.id, corners, indices, count], device="cpu")
    return int(count.numpy().sum())


def _is_manifold(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether manifold3d makes a solid of a mesh that is indexed as it is."""
    mesh = manifold3d.Mesh64(vertices.astype(np.float64), faces.astype(np.uint64))
    return len(faces) > 0 and manifold3d.Manifold(mesh).status() == manifold3d.Error.NoError


def _bodies(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """Connected body of every face, faces being connected through common vertices."""
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(vertex_count,) * 2)
    labels = connected_components(graph, directed=False)[1][faces[:, 0]]
    return np.unique(labels, return_inverse=True)[1]


def _volumes(vertices: np.ndarray, faces: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Signed volume of every body."""
    corners = vertices[faces]
    cones = np.einsum("nd,nd->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    return np.bincount(body, cones)


@wp.func
@no_type_check
def _side(a: wp.vec3d, b: wp.vec3d, c: wp.vec3d, p: wp.vec3d):
    """Six times the signed volume of a tetrahedron: which side of the plane of a, b, c the point is on."""
    return wp.dot(wp.cross(b - a, c - a), p - a)


@wp.func
@no_type_check
def _pierces(p: wp.vec3d, q: wp.vec3d, a: wp.vec3d, b: wp.vec3d, c: wp.vec3d):
    """Whether the open segment p q runs through the open triangle a b c."""
    if _side(a, b, c, p) * _side(a, b, c, q) >= wp.float64(0.0):
        return False
    ab, bc, ca = _side(p, q, a, b), _side(p, q, b, c), _side(p, q, c, a)
    return ab * bc > wp.float64(0.0) and bc * ca > wp.float64(0.0)


@wp.func
@no_type_check
def _cross(p0: wp.vec3d, p1: wp.vec3d, p2: wp.vec3d, q0: wp.vec3d, q1: wp.vec3d, q2: wp.vec3d):
    """Whether an edge of the first triangle pierces the second."""
    return _pierces(p0, p1, q0, q1, q2) or _pierces(p1, p2, q0, q1, q2) or _pierces(p2, p0, q0, q1, q2)


@wp.kernel(enable_backward=False)
@no_type_check
def _count_crossings(
    mesh: wp.uint64,
    corners: wp.array(dtype=wp.vec3d),  # pyright: ignore
    indices: wp.array(dtype=wp.int32),  # pyright: ignore
    count: wp.array(dtype=wp.int32),  # pyright: ignore
):
    i = wp.tid()
    a0, a1, a2 = indices[3 * i], indices[3 * i + 1], indices[3 * i + 2]
    p0, p1, p2 = corners[a0], corners[a1], corners[a2]
    low, high = wp.min(wp.min(p0, p1), p2), wp.max(wp.max(p0, p1), p2)
    query = wp.mesh_query_aabb(mesh, wp.vec3(low), wp.vec3(high))
    j = wp.int32(0)
    while wp.mesh_query_next(query, j):
        if j > i:
            b0, b1, b2 = indices[3 * j], indices[3 * j + 1], indices[3 * j + 2]
            apart = a0 != b0 and a0 != b1 and a0 != b2 and a1 != b0 and a1 != b1 and a1 != b2
            if apart and a2 != b0 and a2 != b1 and a2 != b2:
                q0, q1, q2 = corners[b0], corners[b1], corners[b2]
                if _cross(p0, p1, p2, q0, q1, q2) or _cross(q0, q1, q2, p0, p1, p2):
                    count[i] += 1
