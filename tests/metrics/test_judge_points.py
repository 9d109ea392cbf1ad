"""Scores of a fit: one for a perfect sample, of meshes by the closed form, of clouds by their own halves."""

import numpy as np
import pytest

from geomflow.geometry.attributes import point_source
from geomflow.geometry.primitives import Torus
from geomflow.metrics.judge_points import PointJudge


def test_a_perfect_sample_of_a_mesh_scores_one(tmp_path):
    Torus().mesh().export(tmp_path / "torus.ply")
    source = point_source(tmp_path / "torus.ply")
    judge = PointJudge(source, count=4000)
    points = source.draw(4000, np.random.default_rng(7))
    found = judge(points)
    assert found["chamfer-over-floor"] == pytest.approx(1, abs=0.05)
    assert found["to-surface"] < 1e-6
    assert judge(points + np.array([0, 0, 0.5]))["chamfer-over-floor"] > 5
    assert judge(points * np.nan)["chamfer-over-floor"] == np.inf


@pytest.mark.parametrize("count", [2, 200, 30_000])
def test_clouds_of_any_size_have_a_floor(count, tmp_path):
    points = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    np.save(tmp_path / "cloud.npy", points)
    judge = PointJudge(point_source(tmp_path / "cloud.npy"), count=5000)
    assert judge.count == min(5000, count // 2)
    score = judge(np.random.default_rng(1).normal(size=(judge.count, 3)))["chamfer-over-floor"]
    assert 0 < score < np.inf
    if count == 30_000:
        assert score == pytest.approx(1, abs=0.1)
