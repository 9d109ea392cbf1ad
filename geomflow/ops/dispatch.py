"""Which backend answers: `reference` (torch, the definition), `kdtree` (CPU), `warp` (kernels for CPU and CUDA).

A backend is a module of this package with one function per op it can do and `unfit`, which says why it cannot do a
given problem. `auto` takes the first backend that fits in the order of `preference`, whose crossovers are measured by
`benchmarks/ops.py`. The environment variable GEOMFLOW_OPS prefers one wherever it fits; the argument `backend=`
insists on it.
"""

import importlib
import importlib.metadata
import logging
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

logger = logging.getLogger("geomflow")

BACKENDS = ("reference", "kdtree", "warp")
VARIABLE = "GEOMFLOW_OPS"

CROSSOVER = {"knn": 2**12, "ball": 2**16, "farthest": 2**13, "closest_face": 2**7, "assignment": 2**14}
"""Pairs of points (in all clouds together) up to which torch's brute force on the CPU beats building a tree."""


class Problem(NamedTuple):
    """What a backend needs to know of a call before it is made.

    Attributes:
        op: Name of the op, which is the name of the backend's function.
        device: Type of the tensors' device.
        dtype: Their floating point type.
        dimension: Coordinates of a point.
        pairs: Pairs of points that brute force would look at, over all clouds.
        k: Neighbours or samples per cloud.
        rows: Questions asked, over all clouds: results.
        points: Points of the largest cloud that is searched.
    """

    op: str
    device: str
    dtype: torch.dtype
    dimension: int
    pairs: int
    k: int
    rows: int
    points: int


def backends() -> dict[str, str]:
    """Return the backends that this machine has, each with the library and the devices behind it."""
    cuda = ", cuda" if torch.cuda.is_available() else ""
    return {
        "reference": f"torch {torch.__version__}: every op, every device, float64",
        "kdtree": f"pykdtree {_version('pykdtree')}, scipy {_version('scipy')}: nearest neighbours, cpu",
        "warp": f"warp-lang {_version('warp-lang')}: kernels on cpu{cuda}",
    }


def run(problem: Problem, wanted: str, *inputs: Any) -> Any:
    """Return an op's result by the backend that `choose` takes.

    Args:
        problem: What the call is about.
        wanted: `auto`, or the name of a backend.
        *inputs: What the backend's function takes.
    """
    return getattr(_module(choose(problem, wanted)), problem.op)(*inputs)


def choose(problem: Problem, wanted: str = "auto") -> str:
    """Return the name of the backend for a problem.

    Args:
        problem: What the call is about.
        wanted: `auto`, or the name of a backend.

    Raises:
        ValueError: `wanted` is no backend or cannot do this problem; the message says what can.
    """
    check_name("backend", wanted)
    if wanted != "auto" and not fits(wanted, problem):
        able = ", ".join(name for name in BACKENDS if fits(name, problem))
        raise ValueError(f"backend {wanted!r} cannot do {problem.op}: {_unfit(wanted, problem)} (what can: {able})")
    chosen = wanted if wanted != "auto" else next(name for name in _wishes(problem) if fits(name, problem))
    logger.debug("%s: %s", problem.op, chosen)
    return chosen


def fits(name: str, problem: Problem) -> bool:
    """Return whether a backend can do a problem.

    Args:
        name: Name of the backend.
        problem: What the call is about.
    """
    return not _unfit(name, problem)


def check_name(argument: str, wanted: str) -> None:
    """Refuse what is neither `auto` nor a backend.

    Args:
        argument: What errors call the name that was given.
        wanted: `auto`, or the name of a backend.

    Raises:
        ValueError: It is neither; the message begins with `argument`.
    """
    if wanted not in ("auto", *BACKENDS):
        raise ValueError(f"{argument} must be auto, {', '.join(BACKENDS)}, given {wanted!r}")


def reference_only(op: str, backend: str) -> None:
    """Refuse any backend but torch itself, for ops that need no search.

    Args:
        op: Name of the op.
        backend: The name that was given.

    Raises:
        ValueError: The backend is neither `auto` nor `reference`.
    """
    check_name("backend", backend)
    if backend not in ("auto", "reference"):
        raise ValueError(f"backend {backend!r} cannot do {op}: it has no such function (what can: reference)")


def preference(problem: Problem) -> tuple[str, ...]:
    """Return the backends from the quickest on, as measured (see docs/results/ops.md).

    Args:
        problem: What the call is about.
    """
    if problem.device != "cpu":
        return ("warp", "reference")
    return ("reference",) if problem.pairs <= CROSSOVER[problem.op] else ("kdtree", "warp", "reference")


def _wishes(problem: Problem) -> tuple[str, ...]:
    forced = os.environ.get(VARIABLE) or "auto"
    check_name(VARIABLE, forced)
    return preference(problem) if forced == "auto" else (forced, *preference(problem))


def _unfit(name: str, problem: Problem) -> str:
    """Why a backend cannot do a problem, empty if it can."""
    module = _module(name)
    return module.unfit(problem) if hasattr(module, problem.op) else "it has no such function"


def _module(name: str) -> Any:
    return importlib.import_module(f"geomflow.ops.{name}")


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "(missing)"


def operator(search: Callable, shapes: Callable) -> Callable:
    """Return a discrete search as an operator of torch, which `torch.compile` and export keep whole.

    `torch.library.custom_op` would do the same, but its first call loads all of `torch._dynamo`, which takes a second,
    and every call goes through more Python.

    Args:
        search: Function of detached tensors with annotated arguments, whose name names the operator.
        shapes: The same arguments to empty tensors like the results.
    """
    name = f"geomflow::{search.__name__.strip('_')}"
    torch.library.define(name, torch.library.infer_schema(search, mutates_args=()))
    torch.library.impl(name, "CompositeExplicitAutograd", search)
    torch.library.register_fake(name, shapes)
    return getattr(torch.ops.geomflow, name.split("::")[1]).default


def problem_of(op: str, first: Tensor, second: Tensor, k: int) -> Problem:
    """Return the problem of comparing clouds (B, P, D) with clouds (B, Q, D).

    Args:
        op: Name of the op.
        first: Clouds (B, P, D).
        second: Clouds (B, Q, D).
        k: Neighbours or samples per cloud.
    """
    rows, points = first.shape[0] * first.shape[1], second.shape[1]
    return Problem(op, first.device.type, first.dtype, first.shape[2], rows * points, k, rows, points)
