"""What only a GPU can show: the same answers as on the CPU, and calls that a CUDA graph holds."""

import pytest
import torch

from geomflow import ops

pytestmark = pytest.mark.cuda

X = torch.rand((3, 5000, 3), generator=torch.Generator().manual_seed(0))
Y = torch.rand((3, 700, 3), generator=torch.Generator().manual_seed(1))
LENGTHS = torch.tensor([5000, 800, 0])
SQUARE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]]).expand(3, -1, -1)
FACES = torch.tensor([[[0, 1, 2], [0, 2, 3]]]).expand(3, -1, -1)

CALLS = {
    "knn": lambda x, y, n, v, f: ops.knn_points(y, x, None, n, K=16)[:2],
    "knn, small": lambda x, y, n, v, f: ops.knn_points(x, y, n, K=5)[:2],
    "ball": lambda x, y, n, v, f: ops.ball_query(y, x, None, n, K=20, radius=0.1)[:2],
    "farthest": lambda x, y, n, v, f: ops.sample_farthest_points(x, n, K=300),
    "chamfer": lambda x, y, n, v, f: ops.chamfer_distance(x, y, n)[:1],
    "hausdorff": lambda x, y, n, v, f: (ops.hausdorff_distance(x, y, n),),
    "interpolate": lambda x, y, n, v, f: (ops.three_interpolate(x, y, y, n),),
    "voxels": lambda x, y, n, v, f: (ops.devoxelize(ops.voxelize(x, 2 * x - 1, 8, n), 2 * y - 1),),
    "sinkhorn": lambda x, y, n, v, f: (ops.sinkhorn_distance(x[:, :200], y[:, :300], iterations=20),),
    "assignment": lambda x, y, n, v, f: ops.nearest_assignment(x[:, :200], y[:, :200]),
    "normals": lambda x, y, n, v, f: (ops.estimate_normals(y).abs(),),
    "closest": lambda x, y, n, v, f: ops.closest_point_on_mesh(y, v, f)[:2],
}
CAPTURED = ("knn", "knn, small", "ball", "farthest", "chamfer", "hausdorff", "interpolate", "voxels")


@pytest.mark.parametrize("name", CALLS)
def test_cuda_answers_as_the_cpu_does(name):
    inputs = (X, Y, LENGTHS, SQUARE, FACES)
    expected, found = CALLS[name](*inputs), CALLS[name](*(part.cuda() for part in inputs))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CAPTURED)
def test_a_cuda_graph_replays_with_new_points(name):
    inputs = [part.cuda() for part in (X, Y, LENGTHS, SQUARE, FACES)]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        CALLS[name](*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = CALLS[name](*inputs)
    inputs[0].copy_(X.flip(1))
    graph.replay()
    for a, b in zip(captured, CALLS[name](*inputs), strict=True):
        torch.testing.assert_close(a, b)
