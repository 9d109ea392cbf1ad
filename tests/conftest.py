"""Shared fixtures: where the real data is, and small exact shapes."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GEOMFLOW_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real meshes and images, named by GEOMFLOW_DATA; tests that need it skip without it."""
    if not DATA.is_dir():
        pytest.skip(f"real data not found at {DATA}: set GEOMFLOW_DATA to its folder")
    return DATA
