"""Backend `warp`: our kernels, one source for CPU and CUDA, in float32 and up to three dimensions.

All around the kernels is batched torch that never waits for the device, so that a CUDA graph can hold a whole call.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geomflow.ops._closest import closest_face_warp as closest_face
from geomflow.ops._matching import assignment_warp as assignment
from geomflow.ops.batches import Clouds, length_mask
from geomflow.ops.dispatch import Problem
from geomflow.ops.kernels.ball import ball_tree
from geomflow.ops.kernels.farthest import farthest_kernel
from geomflow.ops.kernels.knn import TILE, tile_kernel, tree_kernel
from geomflow.ops.launch import array, launch, vectors
from geomflow.ops.tree import NOBODY, Tree, build, curve_orders, three
from geomflow.warp_runtime import wp

__all__ = ["assignment", "ball", "closest_face", "farthest", "knn", "unfit"]

MOST_NEIGHBOURS = 64

MOST = 2**31
"""Rows of results, and bytes of a cloud (12 per point, and up to twice as many points), must stay below this."""

DOUBLE = ("assignment", "closest_face")
"""Ops that take float64, too."""

BUCKET = 16
"""Points per leaf of the tree that neighbours are searched in."""

SMALL = 4096
"""Largest cloud that a CUDA device compares point by point rather than by tree."""

FARTHEST_BLOCK = 512
INFINITE_KEY = 0x7F800000 << 32
"""Key of an infinite distance, less the index."""


def unfit(problem: Problem) -> str:
    """Return why this backend cannot do a problem, empty if it can.

    Args:
        problem: What the call is about.
    """
    if problem.device not in ("cpu", "cuda"):
        return f"its kernels run on cpu and cuda, not {problem.device}"
    if problem.device == "cuda" and not wp.is_cuda_available():
        return "Warp finds no CUDA driver that it works with"
    if max(problem.rows, 24 * problem.points) >= MOST:
        return f"it counts in 32 bits, too few for {problem.rows} questions on {problem.points} points"
    if problem.dtype != torch.float32 and problem.op not in DOUBLE:
        return f"its kernels are float32, not {problem.dtype}"
    if problem.dimension > 3:
        return f"its kernels have at most 3 coordinates, not {problem.dimension}"
    if problem.op == "knn" and problem.k > MOST_NEIGHBOURS:
        return f"it finds at most {MOST_NEIGHBOURS} neighbours, not {problem.k}"
    return ""


def knn(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"],
    lengths2: Int[Tensor, " b"],
    k: int,
    norm: int,
) -> tuple[Float[Tensor, "b p k"], Int[Tensor, "b p k"]]:
    """Return the k nearest of p2 to each of p1; see `reference.knn`."""
    if p1.device.type == "cuda" and p2.shape[1] <= SMALL:
        return knn_by_tiles(p1, p2, lengths1, lengths2, k, norm)
    return knn_by_tree(p1, p2, lengths1, lengths2, k, norm)


def knn_by_tree(
    p1: Tensor, p2: Tensor, lengths1: Tensor, lengths2: Tensor, k: int, norm: int
) -> tuple[Float[Tensor, "b p k"], Int[Tensor, "b p k"]]:
    """Return the k nearest of p2 to each of p1, looking only into boxes that can hold them.

    Args:
        p1: Queries (B, P, D).
        p2: Points to choose from (B, Q, D).
        lengths1: Points of each cloud of p1 (B,).
        lengths2: Points of each cloud of p2 (B,).
        k: Neighbours per point.
        norm: 1 or 2.
    """
    queries, turn, tree = _queries_and_tree(p1, p2, lengths1, lengths2)
    found, chosen = _lists(p1, k)
    inputs = [vectors(queries), array(turn), *_arrays(tree), norm, array(found), array(chosen)]
    launch(tree_kernel(_at_least(k)), turn.numel(), inputs, p1.device)
    return _cut(found, chosen, p1, k)


def knn_by_tiles(
    p1: Tensor, p2: Tensor, lengths1: Tensor, lengths2: Tensor, k: int, norm: int
) -> tuple[Float[Tensor, "b p k"], Int[Tensor, "b p k"]]:
    """Return the k nearest of p2 to each of p1 by comparing all, tiles of p2 in shared memory.

    Args:
        p1: Queries (B, P, D).
        p2: Points to choose from (B, Q, D).
        lengths1: Points of each cloud of p1 (B,).
        lengths2: Points of each cloud of p2 (B,).
        k: Neighbours per point.
        norm: 1 or 2.
    """
    found, chosen = _lists(p1, k)
    inputs = [vectors(three(_without(p1, lengths1))), vectors(three(p2)), array(lengths2), norm]
    blocks = len(p1) * -(-p1.shape[1] // TILE)
    launch(tile_kernel(_at_least(k)), blocks, [*inputs, array(found), array(chosen)], p1.device, block=TILE)
    return _cut(found, chosen, p1, k)


def ball(
    p1: Float[Tensor, "b p d"],
    p2: Float[Tensor, "b q d"],
    lengths1: Int[Tensor, " b"],
    lengths2: Int[Tensor, " b"],
    k: int,
    radius: float,
) -> Int[Tensor, "b p k"]:
    """Return the first k of p2 within a radius of each of p1; see `reference.ball`."""
    queries, turn, tree = _queries_and_tree(p1, p2, lengths1, lengths2)
    chosen = torch.empty((turn.numel(), k), dtype=torch.int32, device=p1.device)
    limit = torch.tensor(radius, dtype=torch.float32).square().item()
    inputs = [vectors(queries), array(turn), *_arrays(tree), limit, array(chosen)]
    launch(ball_tree, turn.numel(), inputs, p1.device)
    return chosen.view(*p1.shape[:2], k).long()


def farthest(
    points: Float[Tensor, "b p d"], valid: Bool[Tensor, "b p"], start: Int[Tensor, " b"], k: int
) -> Int[Tensor, "b k"]:
    """Return k rows per cloud by farthest point sampling; see `reference.farthest`."""
    cuda = points.is_cuda
    blocks = cuda or wp.config.enable_cpu_blocks
    points = three(points)
    tree = build(points, valid, bucket=16 if cuda else 32)
    groups = max(1, tree.buckets // (4 if cuda else 32))
    keys = torch.where(tree.lowest < NOBODY, INFINITE_KEY + NOBODY - tree.lowest.long(), -1)
    nearest = torch.where(tree.points[..., 0].isnan(), -1.0, torch.inf)
    chosen = torch.empty((len(points), k), dtype=torch.int32, device=points.device)
    state = [nearest, keys[:, tree.buckets - 1 :], keys[:, groups - 1 : 2 * groups - 1], chosen]
    boxes = [vectors(tree.points), array(tree.order), vectors(tree.lower), vectors(tree.upper)]
    inputs = [vectors(points), array(start.int()), *boxes, *(array(part.contiguous()) for part in state)]
    launch(farthest_kernel(blocks), len(points), inputs, points.device, block=FARTHEST_BLOCK if blocks else 1)
    return chosen.long()


def _queries_and_tree(p1: Tensor, p2: Tensor, lengths1: Tensor, lengths2: Tensor) -> tuple[Tensor, Tensor, Tree]:
    """Queries with NaN for padding, the order to ask them in, and the tree to ask."""
    queries = three(_without(p1, lengths1))
    points = three(p2)
    tree = build(points, Clouds(points, lengths2).valid, BUCKET)
    same = p1.data_ptr() == p2.data_ptr() and p1.shape == p2.shape
    turn = tree.order[:, : p1.shape[1]] if same else curve_orders(queries, queries.isfinite().all(-1)).int()
    return queries, turn.contiguous(), tree


def _without(points: Tensor, lengths: Tensor) -> Tensor:
    """Points with NaN in place of padding."""
    return torch.where(length_mask(lengths, points.shape[1])[..., None], points, torch.nan)


def _arrays(tree: Tree) -> list[object]:
    boxes = [vectors(tree.points), array(tree.order), vectors(tree.lower), vectors(tree.upper)]
    return [*boxes, array(tree.lowest)]


def _at_least(k: int) -> int:
    """The next power of two: kernels are compiled for these numbers of neighbours."""
    return 1 << (k - 1).bit_length()


def _lists(p1: Tensor, k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
    """Room for distances and indices."""
    shape = (p1.shape[0] * p1.shape[1], _at_least(k))
    return torch.empty(shape, device=p1.device), torch.empty(shape, dtype=torch.int32, device=p1.device)


def _cut(found: Tensor, chosen: Tensor, p1: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k of each row, in the shape of the batch."""
    shape = (*p1.shape[:2], -1)
    return found.view(shape)[..., :k].contiguous(), chosen.view(shape)[..., :k].long()
