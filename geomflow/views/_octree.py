"""Points spread over the nodes of an octree that is refined where a surface passes."""

import itertools

import numpy as np
from jaxtyping import Float, Integer, Shaped

CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
"""The eight children of a node, as offsets in the next level's integer coordinates."""


def octree_points(
    surface: Shaped[np.ndarray, "n 3"], full: int, depth: int, per_node: int, seed: int
) -> Float[np.ndarray, "m 3"]:
    """Return random points of the cube [-0.5, 0.5]^3, `per_node` in every node of the levels `full` to `depth`.

    All nodes of the first level exist; of the others, those whose parent holds a surface point.

    Args:
        surface: Surface points in the cube.
        full: Level down to which the tree is complete.
        depth: Finest level; a node's side is 2^-level.
        per_node: Points per node.
        seed: Same seed and surface, same points.
    """
    rng = np.random.default_rng(seed)
    levels = []
    for level in range(full, depth + 1):
        nodes = _all(full) if level == full else _children(surface, level)
        spots = nodes[:, None] + rng.random((len(nodes), per_node, 3))
        levels.append(spots.reshape(-1, 3) / 2**level - 0.5)
    return np.concatenate(levels)


def _all(level: int) -> Integer[np.ndarray, "n 3"]:
    return np.stack(np.unravel_index(np.arange(8**level), (2**level,) * 3), axis=1)


def _children(surface: np.ndarray, level: int) -> Integer[np.ndarray, "n 3"]:
    """The nodes of a level whose parents hold a surface point."""
    side = 2 ** (level - 1)
    parents = np.unique(np.floor((surface + 0.5) * side).astype(int).clip(0, side - 1), axis=0)
    return (2 * parents[:, None] + CORNERS).reshape(-1, 3)
