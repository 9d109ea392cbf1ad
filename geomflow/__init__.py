"""geomflow: meshes to signed distance fields to few-step generators, and back to meshes."""

import importlib
from typing import TYPE_CHECKING

from geomflow.version import __version__

if TYPE_CHECKING:
    from geomflow.pipeline import Pipeline
    from geomflow.records import ShapeRecord

_LAZY = {"Pipeline": "geomflow.pipeline", "ShapeRecord": "geomflow.records"}

__all__ = ["Pipeline", "ShapeRecord", "__version__"]


def __getattr__(name: str) -> object:
    """Import the public names and the rooms of the house on first use (PEP 562): the package itself loads no torch."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    try:
        return importlib.import_module(f"geomflow.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"geomflow.{name}":
            raise
        raise AttributeError(f"module 'geomflow' has no attribute {name!r}") from None
