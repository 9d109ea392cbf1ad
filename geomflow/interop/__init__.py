"""Getting along with other libraries: meshes and clouds to theirs and back, and flow maps for their solvers.

One file per library, loaded when one of its functions is first asked for (PEP 562): this package itself loads nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geomflow.interop.open3d import from_open3d, to_open3d
    from geomflow.interop.pytorch3d import from_pytorch3d, to_pytorch3d
    from geomflow.interop.pyvista import from_pyvista, to_pyvista
    from geomflow.interop.usd import write_usd
    from geomflow.interop.velocity import VelocityModel, velocity_model

_LAZY = {
    "VelocityModel": "velocity",
    "from_open3d": "open3d",
    "from_pytorch3d": "pytorch3d",
    "from_pyvista": "pyvista",
    "to_open3d": "open3d",
    "to_pytorch3d": "pytorch3d",
    "to_pyvista": "pyvista",
    "velocity_model": "velocity",
    "write_usd": "usd",
}

__all__ = [
    "VelocityModel",
    "from_open3d",
    "from_pytorch3d",
    "from_pyvista",
    "to_open3d",
    "to_pytorch3d",
    "to_pyvista",
    "velocity_model",
    "write_usd",
]


def __getattr__(name: str) -> object:
    """Import the file that a public name stands in, on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'geomflow.interop' has no attribute {name!r}")
    return getattr(importlib.import_module(f"geomflow.interop.{_LAZY[name]}"), name)
