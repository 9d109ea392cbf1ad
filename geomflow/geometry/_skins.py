"""Skins of a glTF file (Khronos glTF 2.0, section 3.7.3): where they bind joints, and which joints move a vertex."""

from typing import Any, NamedTuple

import numpy as np

from geomflow.errors import MeshTooLarge, MeshUnreadable
from geomflow.geometry._gltf_tree import Gltf, Place
from geomflow.geometry._read_gltf import Part

_MOST_SETS = 16
"""Sets of four joints that a vertex may have; programs that write more than two are rare."""


class Binding(NamedTuple):
    """A skin's joints as one mesh node binds them: their nodes (k), and their positions (k, 3) in the scene."""

    nodes: list[int]
    positions: np.ndarray


class Influences(NamedTuple):
    """Joints (v, 4) that move each vertex, the strongest first, and their weights (v, 4), which sum to 1 or to 0."""

    joints: np.ndarray
    weights: np.ndarray


def binding(gltf: Gltf, place: Place) -> Binding:
    """The joints of the skin of a mesh node, moved to the scene as the mesh's vertices are."""
    skin = gltf.entry("skins", gltf.entry("nodes", place.node)["skin"])
    for node in skin["joints"]:
        gltf.entry("nodes", node)  # which raises where there is none
    if len(set(skin["joints"])) < len(skin["joints"]):
        raise MeshUnreadable("wanted a skin to name each joint once, found one twice")
    positions = _origins(_inverse_binds(gltf, skin)) @ place.matrix[:3, :3].T + place.matrix[:3, 3]
    if not np.isfinite(positions).all():
        raise MeshUnreadable("wanted finite joint positions, found NaN or infinity")
    return Binding(skin["joints"], positions)


def influences(gltf: Gltf, part: Part, joints: np.ndarray) -> Influences:
    """What moves each vertex of a part, whose skin has the `joints` (k,) of the whole skeleton at its places."""
    attributes, count = part.primitive.entry["attributes"], len(part.arrays.vertices)
    sets = [k for k in range(_MOST_SETS + 1) if f"JOINTS_{k}" in attributes and f"WEIGHTS_{k}" in attributes]
    if len(sets) > _MOST_SETS:
        raise MeshTooLarge(f"wanted at most {_MOST_SETS} sets of joints for a vertex, found more")
    if not sets:
        return attached(count, -1)
    rows = part.primitive.rows
    places = np.hstack([_set(gltf, attributes, f"JOINTS_{k}")[rows] for k in sets])
    weights = np.hstack([_set(gltf, attributes, f"WEIGHTS_{k}")[rows] for k in sets]).astype(np.float64)
    weights[~((weights > 0) & (weights < np.inf))] = 0  # exporters divide by a sum of 0 where no joint moves a vertex
    return strongest(joints[checked(places, weights, len(joints))], weights)


def attached(count: int, joint: int) -> Influences:
    """Vertices that one joint carries along, or none if it is -1."""
    weights = np.zeros((count, 4))
    weights[:, 0] = joint >= 0
    return Influences(np.where(weights > 0, joint, 0), weights)


def _inverse_binds(gltf: Gltf, skin: dict[str, Any]) -> np.ndarray:
    """Matrices (k, 4, 4) from the mesh's frame to each joint's; identities where the file gives none."""
    count = len(skin["joints"])
    if "inverseBindMatrices" not in skin:
        return np.tile(np.eye(4), (count, 1, 1))
    columns = gltf.numbers(skin["inverseBindMatrices"])
    if columns.shape[1] != 16 or len(columns) < count:
        found = f"{len(columns)} items of {columns.shape[1]} numbers"
        raise MeshUnreadable(f"wanted {count} inverse-bind matrices of 16 numbers, found {found}")
    return columns[:count].reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)


def _origins(inverse_binds: np.ndarray) -> np.ndarray:
    """Where each joint's origin (k, 3) is in the mesh's frame: x with A x + b = 0."""
    turns, shifts = inverse_binds[:, :3, :3], inverse_binds[:, :3, 3:]
    singular = ~(np.abs(np.linalg.det(turns)) > 0)
    if singular.any():
        raise MeshUnreadable(f"wanted invertible inverse-bind matrices, found that of joint {singular.argmax()} is not")
    return -np.linalg.solve(turns, shifts)[:, :, 0]


def _set(gltf: Gltf, attributes: dict[str, int], name: str) -> np.ndarray:
    """Four joints or weights for each vertex of a primitive, used or not."""
    values, count = gltf.numbers(attributes[name]), len(gltf.numbers(attributes["POSITION"]))
    if values.shape != (count, 4):
        raise MeshUnreadable(f"wanted {name} of {count} vertices by 4, found {len(values)} by {values.shape[1]}")
    if name.startswith("JOINTS") and values.dtype.kind not in "iu":
        raise MeshUnreadable(f"wanted {name} in whole numbers, found fractions")
    return values


def checked(places: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """The places in the skin's list of joints, 0 where the weight is, once all are known to exist."""
    places = np.where(weights > 0, places, 0)
    wrong = (places < 0) | (places >= count)
    if wrong.any():
        raise MeshUnreadable(f"wanted indices into {count} joints of a skin, found {places[wrong][0]}")
    return places


def strongest(joints: np.ndarray, weights: np.ndarray) -> Influences:
    """The four largest weights of each vertex, made to sum to 1 where any is above 0."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    joints, weights = (np.take_along_axis(array, order, axis=1) for array in (joints, weights))
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return Influences(np.where(weights > 0, joints, 0), weights)
