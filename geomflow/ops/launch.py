"""Launches of Warp kernels over torch tensors: threads for rows on the CPU, torch's current stream on CUDA."""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from geomflow.warp_runtime import wp

CHUNK = 256
"""Fewest rows worth a launch of their own on the CPU: about ten times what the launch costs."""


def vectors(points: Tensor) -> Any:
    """Return float32 points (..., 3) as a Warp array of vectors that shares their memory.

    Args:
        points: The points.
    """
    return array(points, wp.vec3)


def array(values: Tensor, dtype: Any = None) -> Any:
    """Return a tensor as a Warp array that shares its memory; its last axis as vectors if `dtype` is one of those.

    Args:
        values: A tensor of any shape.
        dtype: Warp's type of an element.
    """
    return wp.from_torch(values.contiguous(), dtype=dtype, requires_grad=False)


def launch(
    kernel: Any,
    rows: int,
    inputs: list[Any],
    device: torch.device,
    block: int | None = None,
    fewest: int = CHUNK,
) -> None:
    """Launch a kernel over rows; its first argument is the row that its thread 0 works on.

    A Warp launch on the CPU is one thread and lets go of Python's lock, so the rows are cut into chunks for a pool of
    as many threads as torch uses. Where Warp runs blocks of several threads on the CPU, which is for tests, launches
    come one at a time: they share one memory for their tiles.

    Args:
        kernel: Kernel that takes `first` and then `inputs`.
        rows: Rows, or blocks.
        inputs: Warp arrays and numbers.
        device: The tensors' device.
        block: Threads of each block, for kernels that ask for their block and lane.
        fewest: Rows that are worth a launch of their own on the CPU.
    """
    start = functools.partial(_start, kernel, inputs=inputs, device=device, block=block)
    threads = 1 if device.type == "cuda" or wp.config.enable_cpu_blocks else torch.get_num_threads()
    step = max(1 if block else fewest, math.ceil(rows / (4 * threads)))
    if threads == 1 or step >= rows:
        return start(0, rows)
    kernel.module.load(wp.get_device("cpu"), 1)
    chunks = [(at, min(step, rows - at)) for at in range(0, rows, step)]
    list(_pool(threads, os.getpid()).map(lambda chunk: start(*chunk), chunks))
    return None


def _start(kernel: Any, first: int, rows: int, inputs: list[Any], device: torch.device, block: int | None) -> None:
    where = {"device": str(device), "stream": wp.stream_from_torch(device) if device.type == "cuda" else None}
    if block is None:
        wp.launch(kernel, rows, [first, *inputs], **where)
    else:
        wp.launch_tiled(kernel, dim=[rows], inputs=[first, *inputs], block_dim=block, **where)


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of one process: one that was forked from it, as a loader's workers are, has none of them."""
    return ThreadPoolExecutor(threads, thread_name_prefix="geomflow-ops")
