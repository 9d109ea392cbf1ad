"""The doctor: what this machine has, what it lacks, and what each missing library would add."""

import os
import platform

from geomflow.version import version_of

REQUIRED = (
    "geomflow",
    "torch",
    "numpy",
    "scipy",
    "trimesh",
    "scikit-image",
    "pykdtree",
    "warp-lang",
    "manifold3d",
)

OPTIONAL = {
    "embreex": "faster rays in trimesh (extra: fast)",
    "matplotlib": "still figures of shapes (extra: viz)",
    "plotly": "geomflow view, shapes that turn in a notebook (extra: viz)",
    "pyvista": "figures and pages by OpenGL (extra: viz)",
    "imageio-ffmpeg": "turntables as .mp4 (extra: viz)",
    "jupyterlab": "notebooks (extra: notebooks)",
    "distributed": "geomflow prep --engine dask (extra: dask)",
    "s3fs": "datasets on S3 (extra: remote)",
    "webdataset": "a reader of the shards of geomflow pack (extra: pack)",
    "open3d": "its meshes and viewer beside ours (extra: open3d)",
}
"""Libraries that geomflow itself never needs, and what people install them for beside it."""


NO_CUDA = "kernels on cuda: not tried, Warp sees no CUDA device"


def examine() -> list[str]:
    """Return one line per finding: platform, libraries, devices, kernels, rendering."""
    return [
        f"python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores",
        *(f"{name} {version_of(name) or 'MISSING: reinstall geomflow'}" for name in REQUIRED),
        *(f"{name} {version_of(name) or f'not installed; would add {adds}'}" for name, adds in OPTIONAL.items()),
        _torch_devices(),
        _warp_devices(),
        *_kernels(),
        *_ops(),
        _rendering(),
    ]


def _torch_devices() -> str:
    import torch

    count = torch.cuda.device_count()
    gpus = ", ".join(torch.cuda.get_device_name(i) for i in range(count))
    return f"torch devices: cpu ({torch.get_num_threads()} threads){f', {gpus}' if gpus else ', no CUDA'}"


def _warp_devices() -> str:
    from geomflow.warp_runtime import wp

    return f"warp devices: {', '.join(str(device) for device in wp.get_devices())}"


def _kernels() -> list[str]:
    """Ask every device for a distance whose answer is known."""
    from geomflow.warp_runtime import wp

    return [*(_kernel(str(device)) for device in wp.get_devices()), *([] if wp.is_cuda_available() else [NO_CUDA])]


def _kernel(device: str) -> str:
    import numpy as np

    from geomflow.geometry.bvh import Bvh
    from geomflow.geometry.primitives import Box

    box = Box((0.5, 0.5, 0.5)).mesh()
    found = float(
        Bvh(np.asarray(box.vertices), np.asarray(box.faces), device).closest(np.array([[0.9, 0.0, 0.0]])).distance[0]
    )
    return f"kernels on {device}: {'work' if abs(found - 0.4) < 1e-5 else f'WRONG, {found} instead of 0.4'}"


def _ops() -> list[str]:
    """The backends of the neighbourhood ops."""
    from geomflow.ops import backends

    return [f"ops, backend {name}: {what}" for name, what in backends().items()]


def _rendering() -> str:
    """Draw a box and look whether anything is on the picture."""
    from geomflow.geometry.primitives import Box
    from geomflow.viz import render

    return f"rendering: {'works' if render(Box().mesh(), size=32).std() > 1 else 'FAILED, the picture is blank'}"
