"""The kernels as such: compiled for GPUs that are not here, run in Warp's debug mode, and counted past 2^31."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geomflow.ops.kernels import auction, ball, closest, curve, farthest, knn
from geomflow.ops.launch import array, launch, vectors
from geomflow.ops.tree import build
from geomflow.warp_runtime import wp
from tests.conftest import ROOT

SIZES = (1, 2, 4, 8, 16, 32, 64)
MODULES = {
    "curve": lambda: curve.hilbert_keys.module,
    "auction": lambda: auction.auction.module,
    "ball": lambda: ball.ball_tree.module,
    "farthest, one thread": lambda: farthest.farthest_kernel(False).module,
    "farthest, blocks": lambda: farthest.farthest_kernel(True).module,
    "closest": lambda: closest.nearest_face.module,
    **{f"knn_tree {k}": lambda k=k: knn.tree_kernel(k).module for k in SIZES},
    **{f"knn_tile {k}": lambda k=k: knn.tile_kernel(k).module for k in SIZES},
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("arches", [[90], pytest.param([80, 89], marks=pytest.mark.slow)])
def test_every_kernel_compiles_for_data_centre_and_desktop_gpus(name, arches, tmp_path):
    assert MODULES[name]().options["fuse_fp"] is False
    files = wp.compile_aot_module(MODULES[name](), arch=arches, module_dir=tmp_path, use_ptx=False)
    assert len(files) == len(arches)
    for file, arch in zip(files, arches, strict=True):
        assert f"sm{arch}" in Path(file).name
        assert Path(file).read_bytes()[:4] == b"\x7fELF"


@pytest.mark.slow
def test_parity_holds_in_debug_mode_with_blocks_on_the_cpu():
    """Bounds are checked, and the kernels that share tiles run as blocks of threads; see test_parity."""
    script = (
        "import warp as wp; wp.config.mode = 'debug'; wp.config.enable_cpu_blocks = True\n"
        "import pytest, sys; chosen = 'naive or balls or greedy or levels'\n"
        "sys.exit(pytest.main(['-n', '0', '-p', 'no:cacheprovider', 'tests/ops/test_parity.py', '-k', chosen]))"
    )
    environment = {**os.environ, "GEOMFLOW_TEST_EXAMPLES": "12"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "skipped" not in done.stdout


def test_the_curve_steps_from_cell_to_cell():
    """Along a Hilbert curve every cell of a grid follows a cell that it shares a face with."""
    side = 16
    grid = torch.stack(torch.meshgrid(*[torch.arange(float(side))] * 3, indexing="ij"), -1).view(1, -1, 3)
    keys = torch.empty(grid.shape[:2], dtype=torch.int64)
    valid, scale = torch.ones(grid.shape[:2], dtype=torch.bool), torch.full((1, 3), 2.0**curve.BITS / side)
    inputs = [vectors(grid), array(valid), vectors(torch.zeros(1, 3)), vectors(scale), array(keys)]
    launch(curve.hilbert_keys, keys.numel(), inputs, grid.device)
    path = grid[0, keys[0].argsort()]
    assert torch.equal((path[1:] - path[:-1]).abs().sum(1), torch.ones(side**3 - 1))


def test_boxes_of_the_tree_hold_their_points_and_nothing_more():
    points = torch.randn((2, 1000, 3), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(1000) < torch.tensor([[1000], [37]])
    tree = build(points, valid, bucket=16)
    leaves = tree.points.unflatten(1, (tree.buckets, 16))
    for node in range(tree.lower.shape[1]):
        level = (node + 1).bit_length() - 1
        share = tree.buckets >> level
        first = (node + 1 - 2**level) * share
        inside = leaves[:, first : first + share].flatten(1, 2)
        rows = tree.order.unflatten(1, (tree.buckets, 16))[:, first : first + share].flatten(1, 2)
        for b in range(2):
            real = inside[b][~inside[b].isnan().any(-1)]
            if len(real):
                assert torch.equal(tree.lower[b, node], real.amin(0))
                assert torch.equal(tree.upper[b, node], real.amax(0))
                assert tree.lowest[b, node] == rows[b][~inside[b].isnan().any(-1)].min()
            else:
                assert (tree.lower[b, node] > tree.upper[b, node]).all()


def sparse(folder: Path, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """A tensor in a file without disk blocks: only what is written takes room."""
    count = torch.Size(shape).numel()
    name = folder / f"{len(list(folder.iterdir()))}.bin"
    with name.open("wb") as file:
        file.truncate(count * dtype.itemsize)
    return torch.from_file(str(name), shared=True, size=count, dtype=dtype).view(shape)


def test_offsets_of_results_are_64_bit(tmp_path):
    """Only the last rows of 2^25 + 9 queries are asked, whose 64 results each lie past element 2^31."""
    rows, k = 2**25 + 9, 64
    queries, turn = sparse(tmp_path, torch.float32, 1, rows, 3), sparse(tmp_path, torch.int32, 1, rows)
    found, chosen = sparse(tmp_path, torch.float32, rows, k), sparse(tmp_path, torch.int32, rows, k)
    points = torch.rand((1, 200, 3), generator=torch.Generator().manual_seed(0))
    queries[0, -9:], turn[0, -9:] = points[0, :9], torch.arange(rows - 9, rows)
    tree = build(points, torch.ones(1, 200, dtype=torch.bool), 16)
    boxes = [vectors(tree.points), array(tree.order), vectors(tree.lower), vectors(tree.upper), array(tree.lowest)]
    inputs = [vectors(queries), array(turn), *boxes, 2, array(found), array(chosen)]
    assert (rows - 9) * k >= 2**31
    wp.launch(knn.tree_kernel(k), 9, [rows - 9, *inputs], device="cpu")
    gaps = (points[0, :9, None] - points[0]).square().sum(-1).sort(dim=1).values[:, :k]
    torch.testing.assert_close(found[-9:], gaps)
    assert (found[-10] == 0).all()


def test_clouds_may_lie_past_2_31_elements_of_their_storage(tmp_path):
    from geomflow.ops import knn_points

    stride = 2**31 + 5
    storage = sparse(tmp_path, torch.float32, stride + 3 * 300)
    clouds = storage.as_strided((2, 300, 3), (stride, 3, 1))
    clouds.copy_(torch.rand((2, 300, 3), generator=torch.Generator().manual_seed(0)))
    for backend in ("reference", "kdtree", "warp"):
        found = knn_points(clouds, clouds, K=3, backend=backend)
        assert torch.equal(found.idx, knn_points(clouds.clone(), clouds.clone(), K=3, backend="reference").idx)


def test_a_forked_process_has_threads_of_its_own():
    """A loader's worker is forked from a process whose pool it inherits without the threads."""
    script = """
import multiprocessing, os, torch
from geomflow.ops import knn_points
from geomflow.ops.launch import _pool
torch.set_num_threads(2)
x = torch.rand((2, 800, 3), generator=torch.Generator().manual_seed(0))
expected = knn_points(x, x, K=5, backend="warp").idx
def worker(_):
    torch.set_num_threads(1)
    right = torch.equal(knn_points(x, x, K=5, backend="warp").idx, expected)
    return right, list(_pool(2, os.getpid()).map(abs, [-1, -2]))
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map_async(worker, [0]).get(timeout=60))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[(True, [1, 2])]", done.stderr[-2000:]
