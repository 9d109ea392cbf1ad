"""Orientation: make the faces of a soup agree with their neighbours and look outward."""

from typing import NamedTuple

import numpy as np
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geomflow.geometry.winding import winding_number


class _Adjacency(NamedTuple):
    """Pairs of faces that share a manifold edge, and whether both run through it in the same direction."""

    first: np.ndarray
    second: np.ndarray
    disagree: np.ndarray


def orient(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return a welded copy whose faces agree across manifold edges and whose components look outward.

    A closed inner wall that the file itself turns inward stays so: it bounds a cavity.

    Args:
        mesh: Any triangle soup; it is not changed.
    """
    welded = trimesh.Trimesh(np.array(mesh.vertices), np.array(mesh.faces), process=False)
    welded.merge_vertices(merge_tex=True, merge_norm=True)
    vertices, faces = np.asarray(welded.vertices), np.asarray(welded.faces)
    adjacency = _adjacency(faces)
    component, flip = _coherent(len(faces), adjacency)
    faces = _flip(faces, flip ^ _majority(flip, component)[component])
    inward = _signed_volumes(vertices, faces, component) < 0
    for label in np.flatnonzero(inward & _closed(component, adjacency)):
        inward[label] = not _is_cavity(vertices, faces, component == label)
    return trimesh.Trimesh(vertices, _flip(faces, inward[component]), process=False)


def _adjacency(faces: np.ndarray) -> _Adjacency:
    half_edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    key = half_edges.min(axis=1) * (faces.max(initial=0) + 1) + half_edges.max(axis=1)
    order = np.argsort(key, kind="stable")
    _, start, count = np.unique(key[order], return_index=True, return_counts=True)
    one, two = order[start[count == 2]], order[start[count == 2] + 1]
    forward = half_edges[:, 0] < half_edges[:, 1]
    return _Adjacency(one // 3, two // 3, forward[one] == forward[two])


def _coherent(count: int, adjacency: _Adjacency) -> tuple[np.ndarray, np.ndarray]:
    """Component of every face, and the flips that make each component agree with its first face.

    Works on the double cover: every face appears once as given and once flipped, and an edge joins the copies that
    agree. The cover of an orientable component falls into two parts, one for each orientation; a Moebius strip's does
    not, and is left as it is.
    """
    first, second, disagree = adjacency
    component = _components(count, first, second)
    cover = _components(
        2 * count,
        np.concatenate([first, first + count]),
        np.concatenate([second + count * disagree, second + count * ~disagree]),
    )
    _, representative = np.unique(component, return_index=True)
    orientable = cover[:count] != cover[count:]
    return component, orientable & (cover[:count] != cover[representative[component]])


def _components(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _majority(mask: np.ndarray, component: np.ndarray) -> np.ndarray:
    """Whether more than half of each component's faces are in the mask."""
    return np.bincount(component, mask) * 2 > np.bincount(component)


def _closed(component: np.ndarray, adjacency: _Adjacency) -> np.ndarray:
    """Whether every edge of a component is shared by exactly two of its faces."""
    return np.bincount(component[adjacency.first], minlength=component.max() + 1) * 2 == np.bincount(component) * 3


def _signed_volumes(vertices: np.ndarray, faces: np.ndarray, component: np.ndarray) -> np.ndarray:
    """Signed volume of the cone from each component's mean corner over its faces."""
    corners = vertices[faces]
    share = np.bincount(component)
    centre = np.stack([np.bincount(component, corners[..., k].mean(axis=1)) / share for k in range(3)], axis=1)
    local = corners - centre[component][:, None]
    volume = np.einsum("nd,nd->n", local[:, 0], np.cross(local[:, 1], local[:, 2])) / 6
    return np.bincount(component, volume)


def _is_cavity(vertices: np.ndarray, faces: np.ndarray, own: np.ndarray) -> bool:
    """Whether the wall made of the faces `own` lies inside the body made of the others."""
    if own.all():
        return False
    wall = vertices[np.unique(faces[own])]
    return bool(np.median(winding_number(vertices, faces[~own], wall)) > 0.5)


def _flip(faces: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[:, None], faces[:, ::-1], faces)
