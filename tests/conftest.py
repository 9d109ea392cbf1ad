"""Shared fixtures: where the real data is, and small exact shapes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GEOMFLOW_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As many threads as cores in each of two workers would wait for each other most of the time."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real meshes and images, named by GEOMFLOW_DATA; tests that need it skip without it."""
    if not DATA.is_dir():
        pytest.skip(f"real data not found at {DATA}: set GEOMFLOW_DATA to its folder")
    return DATA


def prepared_solids(folder: Path, **recipe: int) -> Path:
    """A small dataset of four exact solids, prepared by a recipe with these options."""
    from geomflow.geometry.primitives import Box, Sphere, Torus
    from geomflow.prep.recipe import Recipe
    from geomflow.prep.runner import prepare

    for i, solid in enumerate((Box(), Sphere(), Torus(), Box((0.4, 0.8, 0.6)))):
        solid.mesh().export(folder / f"{i}.ply")
    prepare(folder, folder / "set", Recipe(resolution=16, **recipe), progress=False)
    return folder / "set"


@contextmanager
def without_shape_checks() -> Iterator[None]:
    """No jaxtyping for a while, as for users: a training of seconds would take minutes."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """A test without jaxtyping: wrong shapes and types reach the errors that are written for them."""
    with without_shape_checks():
        yield
