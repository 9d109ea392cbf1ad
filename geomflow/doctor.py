"""The doctor: what this machine has, what it lacks, and what each missing library would add."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

REQUIRED = ("geomflow", "torch", "numpy", "scipy", "trimesh", "scikit-image", "point-cloud-utils", "warp-lang")

OPTIONAL = {
    "manifold3d": "a second opinion on whether a mesh is a solid (extra: fast)",
    "matplotlib": "figures (extra: viz)",
    "plotly": "interactive shapes in notebooks (extra: viz)",
    "pyvista": "OpenGL pictures (extra: viz)",
    "open3d": "conversion to and from Open3D (extra: open3d)",
    "dask": "preprocessing on a cluster (extra: dask)",
}


def examine() -> list[str]:
    """Return one line per finding: platform, libraries, devices, kernels, rendering."""
    return [
        f"python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores",
        *(f"{name} {_version(name) or 'MISSING: reinstall geomflow'}" for name in REQUIRED),
        *(f"{name} {_version(name) or f'not installed; would add {adds}'}" for name, adds in OPTIONAL.items()),
        _torch_devices(),
        _warp_devices(),
        _kernels(),
        _rendering(),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _torch_devices() -> str:
    import torch

    count = torch.cuda.device_count()
    gpus = ", ".join(torch.cuda.get_device_name(i) for i in range(count))
    return f"torch devices: cpu ({torch.get_num_threads()} threads){f', {gpus}' if gpus else ', no CUDA'}"


def _warp_devices() -> str:
    from geomflow.geometry.warp_runtime import wp

    return f"warp devices: {', '.join(str(device) for device in wp.get_devices())}"


def _kernels() -> str:
    """Ask a distance whose answer is known."""
    import numpy as np

    from geomflow.geometry.distance import signed_distance
    from geomflow.geometry.primitives import Box

    box = Box((0.5, 0.5, 0.5))
    found = float(signed_distance(box.mesh(), np.array([[0.9, 0.0, 0.0]])).distance[0])
    return "distance kernels: work" if abs(found - 0.4) < 1e-5 else f"distance kernels: WRONG, {found} instead of 0.4"


def _rendering() -> str:
    """Draw a box and look whether anything is on the picture."""
    from geomflow.geometry.primitives import Box
    from geomflow.viz import render

    return f"rendering: {'works' if render(Box().mesh(), size=32).std() > 1 else 'FAILED, the picture is blank'}"
