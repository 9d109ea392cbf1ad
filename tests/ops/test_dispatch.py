"""Which backend answers, what it says of it, and what importing the ops loads."""

import logging
import subprocess
import sys

import pytest
import torch

from geomflow import ops
from geomflow.ops.dispatch import CROSSOVER, Problem, choose
from geomflow.warp_runtime import wp

CLOUD = torch.rand((1, 100, 3), generator=torch.Generator().manual_seed(0))


def problem(**changes) -> Problem:
    return Problem("knn", "cpu", torch.float32, 3, 10**6, 8, 1000, 1000)._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, "kdtree"),
        ({"pairs": CROSSOVER["knn"]}, "reference"),
        ({"pairs": 1, "device": "cuda"}, "warp"),
        ({"dimension": 64}, "reference"),
        ({"dtype": torch.float64}, "kdtree"),
        ({"device": "cuda"}, "warp"),
        ({"device": "cuda", "dtype": torch.float64}, "reference"),
        ({"device": "cuda", "k": 100}, "reference"),
        ({"device": "mps"}, "reference"),
        ({"device": "cuda", "points": 2**27}, "reference"),
        ({"device": "cuda", "rows": 2**31}, "reference"),
        ({"op": "farthest"}, "warp"),
        ({"op": "ball"}, "warp"),
        ({"op": "closest_face", "dtype": torch.float64}, "warp"),
        ({"op": "farthest", "dtype": torch.float64}, "reference"),
    ],
)
def test_auto_takes_the_quickest_that_can(changes, chosen, monkeypatch):
    monkeypatch.setenv("GEOMFLOW_OPS", "")
    monkeypatch.setattr(wp, "is_cuda_available", lambda: True)
    assert choose(problem(**changes)) == chosen


def test_a_gpu_that_warp_does_not_see_is_left_to_torch(monkeypatch):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: False)
    assert choose(problem(device="cuda")) == "reference"
    with pytest.raises(ValueError, match="Warp finds no CUDA driver"):
        choose(problem(device="cuda"), "warp")


def test_the_environment_is_a_wish_and_the_argument_an_order(monkeypatch):
    monkeypatch.setenv("GEOMFLOW_OPS", "warp")
    assert choose(problem()) == "warp"
    assert choose(problem(k=100)) == "kdtree"
    assert choose(problem(), "reference") == "reference"
    monkeypatch.setenv("GEOMFLOW_OPS", "gpu")
    with pytest.raises(ValueError, match="GEOMFLOW_OPS must be auto, reference, kdtree, warp, given 'gpu'"):
        choose(problem())


def test_the_choice_is_in_the_debug_log(caplog):
    with caplog.at_level(logging.DEBUG, "geomflow"):
        ops.knn_points(CLOUD, CLOUD, backend="kdtree")
    assert "knn: kdtree" in caplog.messages


def test_backends_lists_all_with_their_versions():
    assert list(ops.backends()) == ["reference", "kdtree", "warp"]
    assert torch.__version__ in ops.backends()["reference"]


def run_alone(script: str) -> str:
    """Output of a fresh interpreter, where nothing checks shapes at run time."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_importing_the_ops_loads_neither_warp_nor_trees():
    heavy = ("warp", "scipy", "pykdtree", "trimesh", "geomflow.geometry")
    assert run_alone(f"import geomflow.ops, sys; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_ops_compile_without_graph_breaks():
    script = """
import torch
from geomflow.ops import *
a, b = (torch.rand((2, n, 3), generator=torch.Generator().manual_seed(n)) for n in (100, 80))
lengths = torch.tensor([100, 7]), torch.tensor([80, 33])
calls = dict(
    knn=lambda a: knn_points(a, b, *lengths, K=5, return_nn=True)[::2],
    ball=lambda a: ball_query(a, b, *lengths, K=5).dists,
    farthest=lambda a: sample_farthest_points(a, lengths[0], 9).points,
    chamfer=lambda a: chamfer_distance(a, b, *lengths, squared=False)[0],
    hausdorff=lambda a: hausdorff_distance(a, b, *lengths),
    interpolate=lambda a: three_interpolate(a, b, b, *lengths),
    group=lambda a: group_points(a, torch.tensor([[[0, -1]], [[3, 4]]]), a[:, :1]),
)
for name, call in calls.items():
    outputs = []
    for run in (call, torch.compile(call, fullgraph=True, backend="aot_eager")):
        x = a.clone().requires_grad_()
        y = run(x)
        y = y if isinstance(y, tuple) else (y,)
        (gradient,) = torch.autograd.grad(sum(part.sum() for part in y), x)
        outputs.append((*y, gradient))
    print(name, all(torch.allclose(p, q) for p, q in zip(*outputs, strict=True)))
"""
    lines = run_alone(script).split("\n")[:-1]
    assert len(lines) == 7
    assert all(line.endswith("True") for line in lines), lines
