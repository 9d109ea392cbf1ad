"""The doctor: what this machine has, whether it works, what each missing library would add and how to have it."""

import os
import platform
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import NamedTuple

from geomflow.version import version_of


class Extra(NamedTuple):
    """A library that geomflow can do without.

    Attributes:
        name: Its distribution.
        adds: What people install it for.
        cure: The command that installs it.
    """

    name: str
    adds: str
    cure: str


OPTIONAL = (
    Extra("plotly", "shapes that turn in a notebook, geomflow view", "pip install 'geomflow[viz]'"),
    Extra("matplotlib", "figures without a browser", "pip install 'geomflow[viz]'"),
    Extra("pyvista", "pictures by OpenGL", "pip install 'geomflow[viz]'"),
    Extra("trame-pyvista", "pages by vtk.js, geomflow view --backend pyvista", "pip install 'geomflow[viz]'"),
    Extra("imageio-ffmpeg", "turntables as MP4", "pip install 'geomflow[viz]'"),
    Extra("jupyterlab", "the notebooks", "pip install 'geomflow[notebooks]'"),
    Extra("distributed", "geomflow prep --engine dask", "pip install 'geomflow[dask]'"),
    Extra("s3fs", "datasets on S3", "pip install 'geomflow[remote]'"),
    Extra("webdataset", "a reader of the shards of geomflow pack", "pip install 'geomflow[pack]'"),
    Extra("open3d", "its meshes from and to ours, Poisson reconstruction", "pip install 'geomflow[open3d]'"),
    Extra("usd-core", "USD files", "pip install 'geomflow[usd]'"),
    Extra("pytorch3d", "its meshes from and to ours", "conda install -c conda-forge pytorch3d"),
)

VARIABLES = (
    "GEOMFLOW_DATA",
    "GEOMFLOW_CACHE",
    "GEOMFLOW_OPS",
    "GEOMFLOW_DEBUG",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
"""What the environment may tell geomflow."""


class Finding(NamedTuple):
    """One line of what was found.

    Attributes:
        text: The line.
        broken: Whether geomflow does not work because of it.
    """

    text: str
    broken: bool = False


def examine() -> list[Finding]:
    """Return what was found, one line each: platform, libraries, devices, kernels, rendering, models, settings.

    A check that fails is a finding and stops no other.
    """
    checks = (_machine, _required, _optional, _torch_devices, _warp_devices, _kernels, _ops, _rendering, _models)
    return [finding for check in (*checks, _variables) for finding in _tried(check)]


def verdict(findings: list[Finding]) -> str:
    """Return the last line: whether all is well, or what is not.

    Args:
        findings: What `examine` found.
    """
    broken = [finding.text.split(":")[0] for finding in findings if finding.broken]
    return f"broken: {'; '.join(broken)}" if broken else "all that geomflow needs is here and works"


def _tried(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check()
    except Exception as error:
        yield Finding(f"{name}: FAILED, {type(error).__name__}: {' '.join(str(error).split())}", broken=True)


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(f"geomflow {version_of('geomflow') or 'not installed, run from a folder'}")
    yield Finding(f"python {platform.python_version()} on {platform.platform()}, {cores} cores")


def _required() -> Iterator[Finding]:
    """What geomflow's own metadata ask for, without the extras."""
    asked = [line for line in metadata.requires("geomflow") or [] if "extra ==" not in line]
    for name in (re.split(r"[^\w.-]", line)[0] for line in asked):
        version = version_of(name)
        yield Finding(f"{name} {version or 'MISSING: pip install geomflow'}", broken=not version)


def _optional() -> Iterator[Finding]:
    for name, adds, cure in OPTIONAL:
        yield Finding(f"{name} {version_of(name) or f'not installed; would add {adds}: {cure}'}")


def _torch_devices() -> Iterator[Finding]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding(f"torch devices: cpu ({torch.get_num_threads()} threads), {', '.join(gpus) or 'no CUDA'}")


def _warp_devices() -> Iterator[Finding]:
    from geomflow.warp_runtime import wp

    yield Finding(f"warp devices: {', '.join(str(device) for device in wp.get_devices())}")
    yield Finding(f"warp keeps built kernels in {wp.config.kernel_cache_dir}")


def _kernels() -> Iterator[Finding]:
    """Ask every device for a distance whose answer is known."""
    from geomflow.warp_runtime import wp

    yield from (_kernel(str(device)) for device in wp.get_devices())
    if not wp.is_cuda_available():
        yield Finding("kernels on cuda: not tried, Warp sees no CUDA device")


def _kernel(device: str) -> Finding:
    import numpy as np

    from geomflow.geometry.bvh import Bvh
    from geomflow.geometry.primitives import Box

    box = Box((0.5, 0.5, 0.5)).mesh()
    tree = Bvh(np.asarray(box.vertices), np.asarray(box.faces), device)
    found = float(tree.closest(np.array([[0.9, 0.0, 0.0]])).distance[0])
    right = abs(found - 0.4) < 1e-5
    return Finding(f"kernels on {device}: {'work' if right else f'WRONG, {found} instead of 0.4'}", not right)


def _ops() -> Iterator[Finding]:
    """The backends of the neighbourhood ops."""
    from geomflow.ops import backends

    for name, what in backends().items():
        yield Finding(f"ops, backend {name}: {what}")


def _rendering() -> Iterator[Finding]:
    """Draw a box and look whether anything is on the picture; try OpenGL where it would be used."""
    from geomflow.errors import LibraryMissing
    from geomflow.geometry.primitives import Box
    from geomflow.viz import render
    from geomflow.viz.backends.pyvista import check_rendering

    drawn = render(Box().mesh(), size=32).std() > 1
    yield Finding(f"rendering: {'works' if drawn else 'FAILED, the picture is blank'}", broken=not drawn)
    if version_of("pyvista"):
        try:
            check_rendering()
            yield Finding("rendering by pyvista: works")
        except LibraryMissing as error:
            yield Finding(f"rendering by pyvista: {error}")


def _models() -> Iterator[Finding]:
    from geomflow.pipeline import pretrained_names

    names = pretrained_names()
    yield Finding(f"embedded models: {', '.join(names) or 'MISSING: pip install geomflow'}", broken=not names)


def _variables() -> Iterator[Finding]:
    found = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    yield Finding(f"settings of the environment: {', '.join(found) or 'none'}")
