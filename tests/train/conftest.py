"""A dataset of four solids, and an autoencoder trained on it for a few steps."""

from pathlib import Path

import pytest

from geomflow.train import train
from tests.conftest import prepared_solids
from tests.train.cases import AUTOENCODER


@pytest.fixture(scope="package")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    return prepared_solids(folder, surface_points=10, volume_points=200, near_points=200)


@pytest.fixture(scope="package")
def autoencoder_run(data, tmp_path_factory) -> Path:
    return train(AUTOENCODER, data, tmp_path_factory.mktemp("runs") / "autoencoder", progress=False)
