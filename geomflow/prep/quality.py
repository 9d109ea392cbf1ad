"""Quality: what is counted of a mesh as it was read, and the flags that say what is doubtful about it."""

from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geomflow.geometry.frame import normalize
from geomflow.geometry.weld import weld

DOUBTED = 0.5
"""Confidence under which a sign is not trusted."""

MUCH = 0.01
"""Share from which something is flagged."""

MANY = 50
"""Bodies from which a mesh is flagged."""


def examine(mesh: trimesh.Trimesh) -> dict[str, Any]:
    """Return counts and flags of a mesh, equal vertices taken for one.

    `open` and `nonmanifold` are shares of the edges: with one face, and with more than two.

    Args:
        mesh: The mesh.
    """
    welded = weld(normalize(mesh).mesh)
    faces_of_edge = np.unique(welded.edges_sorted, axis=0, return_counts=True)[1]
    return {
        "faces": len(mesh.faces),
        "bodies": int(welded.body_count),
        "watertight": bool(welded.is_watertight),
        "winding_consistent": bool(welded.is_winding_consistent),
        "open": round(float((faces_of_edge == 1).mean()), 4),
        "nonmanifold": round(float((faces_of_edge > 2).mean()), 4),
        "degenerate": int((welded.area_faces == 0).sum()),
    }


def doubt(confidence: Float[np.ndarray, " n"]) -> float:
    """Return the share of signs that are not trusted, 0 if there are none.

    Args:
        confidence: Confidence of each sign, from 0 to 1.
    """
    return round(float((confidence < DOUBTED).mean()), 4) if len(confidence) else 0.0


def flags(counts: dict[str, Any]) -> tuple[str, ...]:
    """Return what is doubtful about a mesh, given its counts and what its samples added to them, the worst first.

    Args:
        counts: What `examine` returned, with what is known of the samples.
    """
    found = {
        "no inside": counts.get("inside") == 0.0,
        "doubtful signs": counts.get("doubt", 0.0) > MUCH,
        "open edges": counts.get("open", 0.0) > MUCH,
        "non-manifold edges": counts.get("nonmanifold", 0.0) > MUCH,
        "inconsistent winding": not counts.get("winding_consistent", True),
        "many bodies": counts.get("bodies", 0) > MANY,
        "faces without area": counts.get("degenerate", 0) > 0,
    }
    return tuple(name for name, is_so in found.items() if is_so)
