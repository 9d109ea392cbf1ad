"""Rigs: surfaces with the skeletons that move them, in the pose in which they were bound, from glTF, GLB and NPZ files.

An NPZ file holds the arrays of a rig as they are (docs/formats.md). In glTF a skin says, for each joint, how the mesh's
frame is seen from the joint at the time of binding: the inverse-bind matrix (Khronos glTF 2.0, section 3.7.3). Where
that matrix takes a point to zero, there the joint was, and the transform of the mesh's node puts it into the scene,
just as it puts the vertices there. Positions of the joints' nodes are not used: most files store a frame of an
animation in them.
"""

import re
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass
from math import dist
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int

from geomflow.errors import MeshHasNoRig, MeshTooLarge, MeshUnreadable, MeshUnsupported
from geomflow.geometry._file_errors import file_errors
from geomflow.geometry._gltf_tree import Gltf, Place, open_gltf, tree_alone
from geomflow.geometry._read_gltf import Part, surface_parts
from geomflow.geometry._read_npz import has_rig, rig_arrays
from geomflow.geometry._skins import Binding, Influences, attached, binding, checked, influences, strongest
from geomflow.geometry.joints import moves_any
from geomflow.geometry.read import ARRAY_SUFFIXES, MAX_BYTES, read_surface

RIG_SUFFIXES = (".glb", ".gltf", *ARRAY_SUFFIXES)

_SAME = 1e-4  # of the diagonal: two skins that bind a node nearer than that bind one joint
_FAR = 0.02  # of the diagonal: a joint that moves nothing and is farther outside the box is a handle
_HANDLE = re.compile(r"(?i:pole|target)|(?<![A-Z])IK(?![A-Za-z])|(?<![A-Za-z])(?:ik|PT)(?![A-Za-z])")
_MOST_JOINTS = 1 << 16
_MOST_COPIES = 64


@dataclass(frozen=True)
class Rig:
    """A skeleton of `j` joints in bind pose, and what moves the `v` vertices of its surface.

    Attributes:
        joints: Positions, in the surface's frame and unit.
        parents: Parent of each joint, -1 for a root; there can be several roots.
        names: Names of the joints in the file, not always distinct.
        skin_joints: Up to four joints that move each vertex, the strongest first; 0 where the weight is 0.
        skin_weights: Their weights, which sum to 1; all are 0 for a vertex that no joint moves.
    """

    joints: Float[np.ndarray, "j 3"]
    parents: Int[np.ndarray, " j"]
    names: list[str]
    skin_joints: Int[np.ndarray, "v 4"]
    skin_weights: Float[np.ndarray, "v 4"]

    @property
    def deforming(self) -> Bool[np.ndarray, " j"]:
        """Whether each joint moves any vertex itself."""
        return moves_any(len(self.joints), self.skin_joints, self.skin_weights)


def read_rig(path: str | Path, handles: bool = False, max_bytes: int = MAX_BYTES) -> tuple[trimesh.Trimesh, Rig]:
    """Return the surface of a glTF, GLB or NPZ file, equal to `read_surface(path)`, and its skeleton in bind pose.

    In glTF the joints of all skins make one skeleton; a node that several skins bind at the same place is one joint. A
    mesh without a skin that hangs below a joint moves with it, from where its node puts it: as this may be a frame of
    an animation, such a mesh can stand apart from its joint (weapons do in some files).

    Args:
        path: A .glb, .gltf or .npz file, in any letter case.
        handles: Whether to keep joints that move no vertex and serve only to pose the others: IK poles and targets by
            their names, and joints more than 2 % of the diagonal outside the surface's box. Without them, their
            children go to their parents.
        max_bytes: As in `read_mesh`.

    Raises:
        MeshHasNoRig: No mesh of the file has a skin, or no joint has a weight.
        MeshUnsupported: Another format.
        MeshUnreadable: A skin names joints that do not exist, has unfit numbers, or binds without an inverse; an array
            is missing or has another type or shape.
        MeshError: Everything that `read_surface` raises.
    """
    path = Path(path)
    if path.suffix.lower() not in RIG_SUFFIXES:
        raise MeshUnsupported(
            f"{path}: wanted a rig in {', '.join(RIG_SUFFIXES)}, found {path.suffix or 'no suffix'!r}"
        )
    mesh = read_surface(path, max_bytes)
    with file_errors(path):
        if path.suffix.lower() in ARRAY_SUFFIXES:
            rig = _stored(rig_arrays(path.read_bytes(), max_bytes))
        else:
            rig = _rig(open_gltf(path.read_bytes(), path.parent, max_bytes), float(np.linalg.norm(mesh.extents)))
        if not rig.skin_weights.any():
            raise MeshHasNoRig("wanted joints that move the surface, found no weight above 0")
    return mesh, rig if handles else _without(rig, _is_handle(rig, mesh.bounds))


def is_rigged(path: str | Path) -> bool:
    """Return whether a file is glTF or GLB and puts a skin on a mesh, or NPZ with a rig's arrays; no numbers are read.

    Args:
        path: The file.

    Raises:
        MeshUnreadable: The file is called glTF, GLB or NPZ and cannot be read as such.
    """
    path = Path(path)
    if path.suffix.lower() not in RIG_SUFFIXES:
        return False
    with file_errors(path):
        if path.suffix.lower() in ARRAY_SUFFIXES:
            return has_rig(path)
        return any({"mesh", "skin"} <= node.keys() for node in tree_alone(path).get("nodes", []))


@dataclass(frozen=True)
class _Skeleton:
    """The distinct joints that the mesh nodes of a scene bind.

    Attributes:
        nodes: Node of each joint.
        positions: Position of each joint.
        homes: Mesh node whose skin each joint was found in first.
        copies: Joints at each node, one for every place at which it is bound.
        bound: For each mesh node, the joint at each node of its skin, in the skin's order.
        above: For each node of the scene, the nearest node over it that is a joint, -1 where none is.
    """

    nodes: list[int]
    positions: list[list[float]]
    homes: list[int]
    copies: dict[int, list[int]]
    bound: dict[int, dict[int, int]]
    above: dict[int, int]

    def parent(self, joint: int) -> int:
        """The joint over a joint, of the same skin if that has it; -1 for a root."""
        node = self.above.get(self.nodes[joint], -1)
        return self.bound[self.homes[joint]].get(node, self.first(node))

    def first(self, node: int) -> int:
        """The first joint at a node, -1 where none is."""
        return self.copies.get(node, [-1])[0]

    def carrier(self, node: int) -> int:
        """The joint that a node without a skin hangs on, -1 where it hangs on none."""
        return self.first(node if node in self.copies else self.above[node])


def _stored(arrays: dict[str, np.ndarray]) -> Rig:
    """The rig of an NPZ file."""
    weights = arrays["skin_weights"].astype(np.float64)
    if (weights < 0).any():
        raise MeshUnreadable(f"wanted skin_weights of at least 0, found {weights.min()}")
    joints = checked(arrays["skin_joints"].astype(np.int64), weights, len(arrays["joints"]))
    parents, names = arrays["parents"].astype(np.int64), arrays["joint_names"].tolist()
    return Rig(arrays["joints"].astype(np.float64), parents, names, *strongest(joints, weights))


def _rig(gltf: Gltf, diagonal: float) -> Rig:
    parts, places = surface_parts(gltf), list(gltf.walk())
    skeleton = _skeleton(places, _bindings(gltf, places, {part.node for part in parts}), _SAME * diagonal)
    skin = _skin(gltf, parts, skeleton)
    parents = np.array([skeleton.parent(joint) for joint in range(len(skeleton.nodes))], dtype=np.int64)
    names = [str(gltf.entry("nodes", node).get("name", f"node_{node}")) for node in skeleton.nodes]
    return Rig(np.array(skeleton.positions), parents, names, skin.joints, skin.weights)


def _bindings(gltf: Gltf, places: list[Place], meshes: set[int]) -> dict[int, Binding]:
    """The binding of each of the mesh nodes that have a skin."""
    found: dict[int, Binding] = {}
    count = 0
    for place in places:
        if place.node in meshes and "skin" in gltf.entry("nodes", place.node):
            found[place.node] = binding(gltf, place)
            count += len(found[place.node].nodes)
            if count > _MOST_JOINTS:
                raise MeshTooLarge(f"wanted skins of at most {_MOST_JOINTS} joints in all, found more")
    if not found:
        raise MeshHasNoRig("wanted a mesh with a skin, found none")
    return found


def _skeleton(places: list[Place], bindings: dict[int, Binding], tolerance: float) -> _Skeleton:
    """The joints of all bindings, those of one node within the tolerance of each other taken once."""
    nodes, positions, homes = [], [], []
    copies: dict[int, list[int]] = defaultdict(list)
    bound: dict[int, dict[int, int]] = {home: {} for home in bindings}
    for home, skin in bindings.items():
        for node, position in zip(skin.nodes, skin.positions.tolist(), strict=True):
            same = (joint for joint in copies[node] if dist(positions[joint], position) <= tolerance)
            bound[home][node] = joint = next(same, len(nodes))
            if joint == len(nodes):
                nodes.append(node)
                positions.append(position)
                homes.append(home)
                copies[node].append(joint)
            if len(copies[node]) > _MOST_COPIES:
                raise MeshTooLarge(f"wanted a joint bound at {_MOST_COPIES} places at most, found more at node {node}")
    return _Skeleton(nodes, positions, homes, dict(copies), bound, _joints_above(places, copies.keys()))


def _joints_above(places: list[Place], joints: Set[int]) -> dict[int, int]:
    above = {-1: -1}
    for place in places:
        above[place.node] = place.parent if place.parent in joints else above[place.parent]
    return above


def _skin(gltf: Gltf, parts: list[Part], skeleton: _Skeleton) -> Influences:
    """What moves each vertex of the surface, which leaves out vertices that are not finite."""
    joints = {home: np.array(list(bound.values()), dtype=np.int64) for home, bound in skeleton.bound.items()}
    moved = [
        influences(gltf, part, joints[part.node])
        if part.node in joints
        else attached(len(part.arrays.vertices), skeleton.carrier(part.node))
        for part in parts
    ]
    finite = np.concatenate([np.isfinite(part.arrays.vertices).all(axis=1) for part in parts])
    return Influences(*(np.concatenate(arrays)[finite] for arrays in zip(*moved, strict=True)))


def _is_handle(rig: Rig, box: np.ndarray) -> np.ndarray:
    """Whether each joint (j,) moves nothing and, by name or place, serves only to pose others."""
    named = np.array([bool(_HANDLE.search(name)) for name in rig.names])
    outside = np.maximum(np.maximum(box[0] - rig.joints, rig.joints - box[1]), 0)
    far = np.linalg.norm(outside, axis=1) > _FAR * np.linalg.norm(box[1] - box[0])
    return ~rig.deforming & (named | far)


def _without(rig: Rig, dropped: np.ndarray) -> Rig:
    """The rig without some joints that move nothing; their children go to the nearest joint that stays."""
    stays = np.append(np.where(dropped, rig.parents, np.arange(len(dropped))), -1)
    while (stays != stays[stays]).any():  # each round doubles the steps taken; -1 leads to itself, at the end
        stays = stays[stays]
    number = np.append(np.cumsum(~dropped) - 1, -1)
    return Rig(
        rig.joints[~dropped],
        number[stays[rig.parents]][~dropped],
        [name for name, gone in zip(rig.names, dropped, strict=True) if not gone],
        np.where(rig.skin_weights > 0, number[rig.skin_joints], 0),
        rig.skin_weights,
    )
