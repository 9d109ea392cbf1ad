"""Orientation: make the faces of a soup agree with their neighbours and look outward.

Faces that share a manifold edge are made to agree. What is closed is turned by the sign of its volume. What is open is
turned by the parity of rays cast from both of its sides (after Takayama et al., A Simple Method for Correcting Facet
Orientations in Polygon Meshes Based on Ray Casting, JCGT 2014): rays from the outside cross a surface an even number
of times. Where rays do not tell, a bowl opens inward, and what is flat is a lone sheet, which encloses nothing.
"""

from typing import NamedTuple

import numpy as np
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geomflow.geometry.bvh import Bvh
from geomflow.geometry.weld import weld
from geomflow.geometry.winding import winding_number

STEP = 1e-3
"""How far from a face its two sides are looked at, in extents of the mesh."""

BESIDE = 1e-5
"""The same for the winding number beside a closed wall."""

SPOTS = 8
"""Faces of an open component at which rays are cast, the largest ones."""

MOST_SPOTS = 1 << 11
"""Faces in all at which rays are cast; of very many components each has fewer, and at least one."""

TELLING = (0.5, 0.2)
"""Difference of odd rays between the sides from which they tell: against the component, and all that is open."""

ROUND = 0.01
"""Volume over area^1.5 from which an open component is a bowl and no sheet; a half sphere has 0.04."""


class _Adjacency(NamedTuple):
    """Pairs of faces that share a manifold edge, and whether both run through it in the same direction."""

    first: np.ndarray
    second: np.ndarray
    disagree: np.ndarray


class Oriented(NamedTuple):
    """A welded surface that looks outward.

    Attributes:
        mesh: The surface.
        encloses: Faces (f,) of which winding numbers are taken: all but lone sheets.
    """

    mesh: trimesh.Trimesh
    encloses: np.ndarray


def orient(mesh: trimesh.Trimesh) -> Oriented:
    """Return a welded copy whose faces agree across manifold edges and whose components look outward.

    Faces with the same corners, as of surfaces drawn from both sides, become one. A closed inner wall that the file
    itself turns inward stays so: it bounds a cavity.

    Args:
        mesh: Any triangle soup; it is not changed.

    Raises:
        TypeError: It is no mesh.
    """
    welded = weld(mesh)
    vertices, faces = np.asarray(welded.vertices), _once(np.asarray(welded.faces))
    adjacency = _adjacency(faces)
    component, flip = _coherent(len(faces), adjacency)
    faces = _flip(faces, flip ^ _majority(flip, component)[component])
    parts = _Parts(
        vertices, faces, component, _closed(component, adjacency), _signed_volumes(vertices, faces, component)
    )
    inward = (parts.volume < 0) & ~_cavities(parts)
    sheets = np.zeros(len(inward), dtype=bool)
    if not parts.closed.all():
        inward[~parts.closed], sheets[~parts.closed] = _judge_open(parts)
    turned = trimesh.Trimesh(vertices, _flip(faces, inward[component]), process=False)
    return Oriented(turned, ~sheets[component])


class _Parts(NamedTuple):
    """A surface of coherent components: the component of every face, and whether each is closed and its volume."""

    vertices: np.ndarray
    faces: np.ndarray
    component: np.ndarray
    closed: np.ndarray
    volume: np.ndarray


def _once(faces: np.ndarray) -> np.ndarray:
    """Of faces with the same corners the first."""
    return faces[np.sort(trimesh.grouping.unique_rows(np.sort(faces, axis=1))[0])]


def _adjacency(faces: np.ndarray) -> _Adjacency:
    half_edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    key = half_edges.min(axis=1) * (faces.max(initial=0) + 1) + half_edges.max(axis=1)
    whole = np.repeat((faces != np.roll(faces, 1, axis=1)).all(axis=1), 3)  # welding makes some faces mere edges
    order = np.argsort(key, kind="stable")
    order = order[whole[order]]
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


def _judge_open(parts: _Parts) -> tuple[np.ndarray, np.ndarray]:
    """Whether each open component faces inward, and whether it is a lone sheet.

    Rays are counted against the component itself, and against all that is open; where both tell and contradict each
    other, as where a part reaches into another or lines its inside, the file is believed.
    """
    vertices, faces, component, closed, volume = parts
    area = np.linalg.norm(_area_vectors(vertices, faces), axis=1)
    spots = _largest(component, area, ~closed, max(1, min(SPOTS, MOST_SPOTS // int((~closed).sum()))))
    looks = np.bincount(component[spots], minlength=len(closed)).clip(1)
    scores = [np.bincount(component[spots], told, len(closed)) / looks for told in _outwardness(parts, spots)]
    told = [np.sign(score) * (np.abs(score) > least) for score, least in zip(scores, TELLING, strict=True)]
    silent = ~np.any(told, axis=0)
    size = np.bincount(component, area) ** 1.5
    roundness = np.divide(volume, size, out=np.zeros_like(size), where=size > 0)
    inward = np.where(silent, roundness < -ROUND, np.sum(told, axis=0) < 0)
    return inward[~closed], (silent & (np.abs(roundness) <= ROUND))[~closed]


def _largest(component: np.ndarray, area: np.ndarray, wanted: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest faces of each wanted component."""
    order = np.lexsort((-area, component))
    rank = np.arange(len(order)) - np.searchsorted(component[order], component[order])
    return order[wanted[component[order]] & (rank < count)]


def _outwardness(parts: _Parts, spots: np.ndarray) -> list[np.ndarray]:
    """Odd rays behind less odd rays in front of some faces, counted against their component and all open ones (n,).

    What is closed is left out: where a spot lies inside of it, it makes odd of even on both sides.
    """
    vertices, faces, component, closed, _ = parts
    low, high = vertices[faces].min(axis=(0, 1)), vertices[faces].max(axis=(0, 1))
    unit = (vertices - (low + high) / 2) / (high - low).max(initial=np.finfo(float).tiny)
    normals = np.asarray(trimesh.unitize(_area_vectors(unit, faces[spots])))
    centres = unit[faces[spots]].mean(axis=1)
    sides = np.concatenate([centres + STEP * normals, centres - STEP * normals])
    counted = ~closed[component]
    tree = Bvh(unit, faces[counted], groups=component[counted])
    odd = [tree.parity(sides, groups).reshape(2, -1) for groups in (np.tile(component[spots], 2), None)]
    return [behind - front for front, behind in odd]


def _area_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normal of each face, as long as its area."""
    corners = vertices[faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2


def _cavities(parts: _Parts) -> np.ndarray:
    """Which closed components that face inward lie inside the others: outside of such a wall the number is theirs."""
    vertices, faces, component, closed, volume = parts
    area = _area_vectors(vertices, faces)
    spots = _largest(component, np.linalg.norm(area, axis=1), closed & (volume < 0), SPOTS)
    step = BESIDE * np.ptp(vertices[faces].reshape(-1, 3), axis=0).max() * np.asarray(trimesh.unitize(area[spots]))
    number = winding_number(vertices, faces, vertices[faces[spots]].mean(axis=1) - step)
    looks = np.bincount(component[spots], minlength=len(closed))
    return np.bincount(component[spots], number > 0.5, len(closed)) > looks / 2


def _flip(faces: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[:, None], faces[:, ::-1], faces)
