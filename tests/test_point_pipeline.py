"""Sampling a fitted shape: what the result depends on, in memory and in files, and the way back to noise.

The model here is not trained: nothing that is tested depends on what it learned.
"""

import numpy as np
import pytest
import torch

from geomflow import shelves
from geomflow.checkpoint import Checkpoint
from geomflow.config import Item, RunConfig
from geomflow.model import CHUNK, PointModel
from geomflow.pipelines.points import PointPipeline

CHANNELS = {"points": 3, "normals": 3, "colors": 3, "labels": 2}
EDM = Item("edm", {"sigma_data": 1.0, "sigma_max": 20.0})


@pytest.fixture(scope="module")
def pipeline() -> PointPipeline:
    network = Item("pointwise", {"width": 32, "depth": 1})
    config = RunConfig("points", Item("surface"), network=network, formulation=EDM, channels=CHANNELS)
    torch.manual_seed(0)
    model = PointModel(config)
    with torch.no_grad():
        for weight in model.flow_map.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        model.scale.mean.add_(5.0)
    return PointPipeline(model.eval().requires_grad_(False), Checkpoint(config, {"labels": [3, 8]}, {}), "cpu")


def test_the_first_points_do_not_depend_on_the_count(pipeline):
    few, many = pipeline(100, steps=2, seed=4), pipeline(CHUNK + 500, steps=2, seed=4)
    assert many.points.shape == (CHUNK + 500, 3)
    np.testing.assert_array_equal(few.points, many.points[:100])
    assert not np.allclose(few.points, pipeline(100, steps=2, seed=5).points)
    chunks = many.points[:500], many.points[CHUNK:]
    assert not np.allclose(*chunks)


def test_steps_and_calls_are_counted(pipeline):
    calls = []
    handle = pipeline.model.flow_map.network.register_forward_hook(lambda *_: calls.append(1))
    for options in ({"steps": 3}, {"steps": 3, "ode": True}):
        calls.clear()
        assert pipeline(10, **options).nfe == len(calls)
    handle.remove()
    assert pipeline(10, steps="auto", tolerance=10.0).steps == 1
    assert pipeline(10, steps="auto", tolerance=1e-2).steps > 1


def test_attributes_are_valid(pipeline):
    found = pipeline(500, steps=1)
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=1), 1, rtol=1e-5)
    assert found.colors.min() >= 0
    assert found.colors.max() <= 1
    assert set(np.unique(found.labels)) <= {3, 8}


def test_files_hold_what_memory_does(pipeline, tmp_path):
    count = CHUNK + 10
    pipeline.save(tmp_path / "a.npy", count, steps=1, seed=2)
    found, rows = pipeline(count, steps=1, seed=2), np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(rows[:, :3], found.points)
    np.testing.assert_array_equal(rows[:, 9], found.labels)


def test_noise_can_come_from_elsewhere(pipeline):
    given = pipeline(50, steps=1, noise=shelves.load("noises", "sphere"))
    assert not np.allclose(given.points, pipeline(50, steps=1).points)


def test_noise_goes_to_points_and_back(pipeline):
    """The inverse by many steps of Heun, then the ODE forward, gives the points again."""
    noise = np.random.default_rng(0).normal(size=(200, 11)).astype(np.float32)
    points = pipeline.from_noise(noise, steps=128, ode=True)
    coarse, fine = (np.abs(pipeline.to_noise(points, steps=steps) - noise).mean() for steps in (16, 128))
    assert fine < 2e-3
    assert fine < coarse / 4
    back = pipeline.round_trip(points, steps=128, inverse_steps=128, ode=True)
    assert back.shape == (200,)
    assert back.mean() < 2e-3


def test_rows_of_another_width_are_refused(pipeline, unchecked_shapes):
    with pytest.raises(ValueError, match=r"3 \(points\) \+ 3 \(normals\) \+ 3 \(colors\) \+ 2 \(labels\) columns"):
        pipeline.to_noise(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="points and steps must be whole numbers of at least 1, given 0 and 4"):
        pipeline(0)
